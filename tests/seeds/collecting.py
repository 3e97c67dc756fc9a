"""Collecting: prints, as JSON, the tests that pytest finds in files, with their marks."""

import json
import sys

import pytest


class Collected:
    """Keeps the names of the marks of every test, by the test's id without its parameters."""

    def __init__(self) -> None:
        self.marks: dict[str, list[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            test_id = item.nodeid.partition("[")[0]
            self.marks[test_id] = sorted({mark.name for mark in item.iter_markers()})


if __name__ == "__main__":
    collected = Collected()
    code = pytest.main(["--collect-only", "-qq", *sys.argv[1:]], plugins=[collected])
    print(f"\n{json.dumps(collected.marks)}")  # noqa: T201 - this is what it is for
    sys.exit(code)
