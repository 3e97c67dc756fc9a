import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONTRACTS = Path(__file__).parents[2] / "contracts"

Headers = list[tuple[str, bytes | None]]


@pytest.fixture(scope="session")
def contracts() -> Path:
    """The folder of the contracts."""
    return CONTRACTS


@pytest.fixture(scope="session")
def example() -> Callable[[str], Any]:
    """Return the data of the example at `direction/type/case`."""

    def read(name: str) -> Any:
        return json.loads((CONTRACTS / "examples" / f"{name}.json").read_text())

    return read


@pytest.fixture(scope="session")
def headers_of() -> Callable[[str], Headers]:
    """Return the headers of an event of a type in binary mode."""

    def write(event_type: str) -> Headers:
        return [
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", b"evt-1"),
            ("ce_source", b"/bookings"),
            ("ce_type", event_type.encode()),
            ("ce_time", b"2026-02-20T14:03:11Z"),
        ]

    return write
