"""Every promise of the systems that this service serves is held by a test, or is no ledger's."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| seed |")
]
TEST_ID = re.compile(r"`(tests/[\w/]+\.py::\w+)`")
NO_LEDGERS = re.compile(r"not-ledger: \w.{9,}")
# A test that is marked so may not run, or may fail without anyone noticing.
UNPROVEN = {"skip", "skipif", "xfail"}


@pytest.fixture(scope="module")
def marks() -> dict[str, list[str]]:
    """Let pytest itself find the tests, in a process of their own."""
    files = sorted({test_id.partition("::")[0] for test_id in TEST_ID.findall(TEXT)})
    done = subprocess.run(
        [sys.executable, FOLDER / "collecting.py", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert 0 == done.returncode, done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_each_seed_has_rows() -> None:
    """The table was found, with promises of all three."""
    assert {"A", "B", "C"} == {row[0] for row in ROWS}
    assert len(ROWS) > 60


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}: {row[1]}")
def test_a_promise_is_held_or_is_no_ledgers(
    row: tuple[str, ...], marks: dict[str, list[str]]
) -> None:
    """It names tests that pytest finds and would run, or says why no ledger could hold it."""
    assert 3 == len(row)
    held_by = row[2]
    test_ids = TEST_ID.findall(held_by)
    assert bool(test_ids) != bool(NO_LEDGERS.fullmatch(held_by))
    assert not TEST_ID.sub("", held_by).strip(", ") or not test_ids
    assert [] == [test_id for test_id in test_ids if test_id not in marks]
    assert [] == [test_id for test_id in test_ids if UNPROVEN.intersection(marks[test_id])]


def test_no_promise_stands_twice() -> None:
    """Each row says something else."""
    assert len(ROWS) == len({row[:2] for row in ROWS})
