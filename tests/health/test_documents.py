"""Documents: what the people on call read is what the code does."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from booking_credits.exit_codes import ExitCode
from booking_credits.health.metrics import PREFIX, Metrics
from booking_credits.health.vitals import Vitals
from booking_credits.ledger.admission import Admission
from booking_credits.settings import Settings
from booking_credits_contracts import Reason

_ROOT = Path(__file__).parents[2]
_OPERATING = (_ROOT / "deploy" / "README.md").read_text()
_README = (_ROOT / "README.md").read_text()


def test_every_metric_is_explained() -> None:
    """The table of signals names what is exposed, nothing else, and says what to do."""
    metrics = Metrics()
    metrics.ask(lambda: Vitals(0.0), lambda: datetime.now(UTC))
    families = [f for f in metrics.registry.collect() if f.name.startswith(PREFIX)]
    exposed = {
        f.name.removeprefix(PREFIX) + ("_total" if f.type == "counter" else "") for f in families
    }
    rows = _rows("Signals")
    assert exposed == {row[0].strip("`") for row in rows}
    assert [] == [row for row in rows if not all(row)]


def test_every_exit_code_is_explained() -> None:
    """The table of exit codes has each with its name."""
    expected = {str(int(code)): f"`{code.name}`" for code in ExitCode}
    assert expected == {row[0]: row[1] for row in _rows("Exit codes")}


def test_every_reason_of_dead_letters_is_explained() -> None:
    """Whatever the contracts and the ledger refuse is in the table of dead letters."""
    explained = {name for row in _rows("Dead letters") for name in re.findall(r"`(\w+)`", row[0])}
    refused = set(get_args(Reason)) | set(get_args(Admission)) - {"accepted", "duplicate"}
    assert set() == refused - explained


def test_every_setting_is_in_the_readme() -> None:
    """The table of settings says names, defaults and descriptions as the code does."""
    expected = []
    for name, field in Settings.model_fields.items():
        default = field.default
        if hasattr(default, "get_secret_value"):
            default = default.get_secret_value()
        shown = "" if default is None else f"`{default}`"
        expected.append(f"| `BOOKING_CREDITS_{name.upper()}` | {shown} | {field.description} |")
    assert expected == [
        line for line in _README.splitlines() if line.startswith("| `BOOKING_CREDITS_")
    ]


def test_every_setting_that_is_referred_to_exists() -> None:
    """No text about operating names a setting that is none."""
    known = {f"BOOKING_CREDITS_{name.upper()}" for name in Settings.model_fields}
    assert set() == set(re.findall(r"BOOKING_CREDITS_[A-Z_]+", _OPERATING)) - known


def _rows(section: str) -> list[tuple[str, ...]]:
    """Return the cells of a section's table, without its head."""
    text = _OPERATING.partition(f"## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines[1:]]
