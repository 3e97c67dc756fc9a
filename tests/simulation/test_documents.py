"""The README shows what simulating really prints."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from booking_credits.cli import app

ROOT = Path(__file__).parents[2]
SHOWN = re.findall(
    r"^```console\n\$ booking-credits (simulate .*)\n((?:.*\n)*?)```$",
    (ROOT / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("command", "expected"), SHOWN)
def test_what_the_readme_shows_is_what_is_printed(
    command: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every character of it."""
    monkeypatch.chdir(ROOT)
    assert expected == CliRunner().invoke(app, shlex.split(command)).stdout


def test_the_readme_shows_a_simulation() -> None:
    """There is something to compare."""
    assert SHOWN
