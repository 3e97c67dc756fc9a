"""The README is true: its commands run, and its table of settings is the settings."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from booking_credits.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Whoever reads it is not within make test, under which a make of its own says where it works.
ENVIRONMENT = {name: text for name, text in os.environ.items() if "MAKE" not in name}
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("block", BLOCKS)
def test_a_command_block_of_the_readme_runs(block: str) -> None:
    """Each block ends well; the demonstration ends in the line that the README promises."""
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert 0 == done.returncode, done.stdout[-2000:] + done.stderr[-2000:]
    if "make run" in block:
        last = done.stdout.rstrip().splitlines()[-1]
        assert re.fullmatch(r"demo: \d+ events in, \d+ entries, \d+ overages, 0 violations", last)


def test_the_readme_has_commands() -> None:
    """There is something for the test above to run."""
    assert any("make run ONCE=1" in block for block in BLOCKS)


def test_the_table_of_settings_is_the_settings() -> None:
    """Each setting stands in the README with its default and description, and nothing else does."""
    expected = {
        (f"BOOKING_CREDITS_{name.upper()}", _shown(field.default), field.description)
        for name, field in Settings.model_fields.items()
    }
    rows = re.findall(r"^\| `(BOOKING_CREDITS_\w+)` \| (.*?) \| (.*) \|$", README, re.MULTILINE)

    assert expected == set(rows)


def _shown(default: object) -> str:
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return "" if default is None else f"`{default}`"
