"""Whatever arrives, reading gives an event or a refusal that repeats nothing of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_credits_contracts import RECEIVED, ContractError, ReceivedEvent, read_event

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples" / "received"
VALUES = {path: json.loads(path.read_text()) for path in sorted(EXAMPLES.glob("*/valid-*.json"))}
SECRET = "Swordfish\n"

HEADER_NAMES = ["content-type", *(f"ce_{name}" for name in ("specversion", "id", "source", "type"))]
HEADER_TEXTS = [b"1.0", b"evt-1", b"2026-02-20T14:03:11Z", *(name.encode() for name in RECEIVED)]
MEDIA_TYPES = [b"application/json", b"application/cloudevents+json"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.datetimes().map(lambda instant: instant.isoformat() + "-14:00")
    | st.sampled_from(
        ["NaN", "1e3", "9999-12-31T23:59:59-14:00", "\x00", "UTC", "EUR", "unlimited"]
    )
)
anything = st.recursive(
    scalars,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=5,
)
raw_headers = st.lists(
    st.tuples(
        st.sampled_from([*HEADER_NAMES, "ce_time"]) | st.text(),
        st.none() | st.binary() | st.sampled_from([*HEADER_TEXTS, *MEDIA_TYPES]),
    )
)


@st.composite
def nearly_right_values(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid event with up to three of its parts replaced by anything."""
    path = draw(st.sampled_from(list(VALUES)))
    data = json.loads(json.dumps(VALUES[path]))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(list_places(data))))
        holder[key] = draw(anything)
    return path.parent.name, json.dumps(data).encode()


def list_places(part: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place within a value as its holder and its key."""
    keys = part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
    for key in list(keys):
        yield part, key
        yield from list_places(part[key])


def read(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> ReceivedEvent | ContractError:
    try:
        return read_event(headers, value)
    except ContractError as error:
        return error


def complete_headers(event_type: str, media_type: bytes) -> list[tuple[str, bytes | None]]:
    return [
        ("content-type", media_type),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"evt-1"),
        ("ce_source", b"/bookings"),
        ("ce_type", event_type.encode()),
        ("ce_time", b"2026-02-20T14:03:11Z"),
    ]


@given(raw_headers, st.none() | st.binary() | anything.map(lambda data: json.dumps(data).encode()))
@settings(max_examples=300, deadline=None)
def test_any_record_is_an_event_or_refused(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    """Arbitrary headers and bytes raise nothing but a ContractError."""
    assert isinstance(read(headers, value), ReceivedEvent | ContractError)


@given(st.sampled_from(list(RECEIVED)), st.sampled_from(MEDIA_TYPES), st.binary())
@settings(max_examples=100, deadline=None)
def test_any_value_is_an_event_or_refused(event_type: str, media_type: bytes, value: bytes) -> None:
    """Right headers before arbitrary bytes raise nothing but a ContractError."""
    assert isinstance(read(complete_headers(event_type, media_type), value), ContractError)


@given(nearly_right_values())
@settings(max_examples=500, deadline=None)
def test_nearly_right_data_reads_alike_in_both_modes(typed: tuple[str, bytes]) -> None:
    """Data that is off by a little is an event in both modes or refused in both."""
    event_type, value = typed
    binary = read(complete_headers(event_type, MEDIA_TYPES[0]), value)
    attributes = {
        "specversion": "1.0",
        "id": "evt-1",
        "source": "/bookings",
        "type": event_type,
        "time": "2026-02-20T14:03:11Z",
    }
    envelope = json.dumps(attributes | {"data": json.loads(value)}).encode()
    structured = read([("content-type", MEDIA_TYPES[1])], envelope)
    if isinstance(binary, ReceivedEvent):
        assert binary == structured
    else:
        assert isinstance(structured, ContractError)
        assert binary.reason == structured.reason


@pytest.mark.parametrize(
    "path",
    [path for path in VALUES if path.stem != "valid-with-unknown-field"],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_refusal_repeats_nothing(path: Path) -> None:
    """A refusal holds no value and no key of the message, and leads back to neither."""
    headers = complete_headers(path.parent.name, MEDIA_TYPES[0])
    places = len(list(list_places(VALUES[path])))
    for number in range(places):
        for with_key in (False, True):
            data = json.loads(json.dumps(VALUES[path]))
            holder, key = list(list_places(data))[number]
            holder[key] = {SECRET: SECRET} if with_key else SECRET
            outcome = read(headers, json.dumps(data).encode())
            assert isinstance(outcome, ContractError)
            assert SECRET.strip() not in f"{outcome!r} {outcome}"
            assert (None, None) == (outcome.__cause__, outcome.__context__)
