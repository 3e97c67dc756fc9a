"""What the service publishes: written and read back without a difference."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from booking_credits_contracts import (
    PUBLISHED,
    Balance,
    BalanceChanged,
    Cause,
    Entry,
)

CONTRACTS = Path(__file__).parents[2] / "contracts"
EXAMPLES = sorted((CONTRACTS / "examples" / "published").glob("*/valid-*.json"))
SCHEMA: Any = json.loads((CONTRACTS / "schemas/published/balance-changed.schema.json").read_text())


def make_entry(**parts: Any) -> Entry:
    """Build an entry by the names of its fields alone; Hypothesis would add the aliases."""
    return Entry(**parts)


ids = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=128)
counts = st.integers(1, 2**53 - 1)
quantities = st.from_regex(r"[0-9]{1,15}(\.[0-9]{1,6})?", fullmatch=True)
instants = st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (bounds are naive)
buckets = st.sampled_from(["granted", "available", "held", "drawn", "expired", "removed"])
balances = st.builds(
    Balance,
    **dict.fromkeys(("granted", "available", "held", "drawn", "expired", "removed"), quantities),
)
entries = st.builds(
    make_entry,
    entry=counts,
    grant_id=ids,
    from_bucket=buckets,
    to_bucket=buckets,
    quantity=quantities,
    booking_id=st.none() | ids,
    line=st.none() | st.integers(1, 1_000_000),
)
balance_changes = st.builds(
    BalanceChanged,
    account_id=ids,
    sequence=counts,
    previous_sequence=st.just(0),
    part=st.just(1),
    parts=counts,
    recorded_at=instants,
    cause=st.builds(Cause, fact=counts, type=ids, source=ids, id=ids, occurred_at=instants),
    unit=ids,
    before=balances,
    after=balances,
    entries=st.lists(entries, max_size=3).map(tuple),
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_is_written_as_it_was_read(path: Path) -> None:
    """Reading and writing keeps every field under its name on the wire."""
    model = PUBLISHED[path.parent.name]
    event = model.model_validate_json(path.read_text())
    written = event.model_dump_json(by_alias=True)
    assert event == model.model_validate_json(written)
    assert json.loads(path.read_text()) == json.loads(written)


@given(balance_changes)
@settings(max_examples=100, deadline=None)
def test_a_balance_change_makes_the_round_trip(event: BalanceChanged) -> None:
    """Any balance change is written as the schema says and read back equal."""
    written = event.model_dump_json(by_alias=True)
    Draft202012Validator(SCHEMA).validate(json.loads(written))
    assert event == BalanceChanged.model_validate_json(written)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_field_is_always_written(path: Path) -> None:
    """No published field may be left out, and none may be added."""
    model = PUBLISHED[path.parent.name]
    data = json.loads(path.read_text())
    for name in data:
        with pytest.raises(ValidationError):
            model.model_validate_json(json.dumps({k: v for k, v in data.items() if k != name}))
    with pytest.raises(ValidationError):
        model.model_validate_json(json.dumps(data | {"added": 1}))


def test_an_entry_names_its_buckets_from_and_to() -> None:
    """In Python the names cannot be keywords, on the wire they are plain."""
    entry = Entry(
        entry=1,
        grant_id="welcome-birch",
        from_bucket="available",
        to_bucket="held",
        quantity="1.5",
        booking_id="b-1",
        line=1,
    )
    written = json.loads(entry.model_dump_json(by_alias=True))
    assert ("available", "held") == (written["from"], written["to"])


def test_a_balance_has_room_for_sums() -> None:
    """A bucket sums many grants and so may have more digits than one quantity."""
    most = "9" * 19 + ".999999"
    balance = Balance(granted=most, available=most, held="0", drawn="0", expired="0", removed="0")
    assert most == balance.granted
    with pytest.raises(ValidationError):
        Balance(granted="9" * 20, available="0", held="0", drawn="0", expired="0", removed="0")
