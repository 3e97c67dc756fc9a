"""Histories: files of events, each beside what the service publishes for it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from booking_credits.cli import app
from booking_credits.exit_codes import ExitCode

FOLDER = Path(__file__).parents[1] / "histories"
PUBLISHED = ".published.jsonl"
HISTORIES = sorted(f for f in FOLDER.glob("*.jsonl") if not f.name.endswith(PUBLISHED))


@pytest.mark.parametrize("file", HISTORIES, ids=lambda file: file.stem)
def test_a_history_comes_to_what_stands_beside_it(file: Path) -> None:
    """Not a byte of what is published changes unless someone means it to."""
    result = CliRunner().invoke(app, ["simulate", str(file)])
    expected = file.with_suffix(PUBLISHED).read_text(encoding="utf-8")
    assert (ExitCode.FINISHED, expected) == (result.exit_code, result.stdout), result.stderr


def test_every_expectation_has_its_history() -> None:
    """There are histories, and nothing is left of one that has gone."""
    assert HISTORIES
    expected = {file.with_suffix(PUBLISHED) for file in HISTORIES}
    assert expected == set(FOLDER.glob(f"*{PUBLISHED}"))
