"""ARCHITECTURE.md is true: every test and file that it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
INVARIANTS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("## Invariants")[2].splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| invariant"))
]
TESTS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


@pytest.mark.parametrize(("file", "test"), sorted({*TESTS}))
def test_a_test_that_is_named_exists(file: str, test: str) -> None:
    """A test that ARCHITECTURE.md relies on is there under this name."""
    assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("row", INVARIANTS, ids=lambda row: row[0])
def test_an_invariant_names_both_guards_and_a_test(row: list[str]) -> None:
    """Every row says how code holds it, how Postgres holds it, and which test proves it."""
    assert 4 == len(row)
    assert all(row)
    assert "::" in row[3]


@pytest.mark.parametrize("file", re.findall(r"`(tests/[\w/]+\.py)`", TEXT))
def test_a_file_that_is_named_exists(file: str) -> None:
    """A file that ARCHITECTURE.md points to is there."""
    assert (ROOT / file).is_file()


def test_there_are_invariants() -> None:
    """The table was found and is not empty."""
    assert len(INVARIANTS) >= 10
    assert len(TESTS) >= len(INVARIANTS)
