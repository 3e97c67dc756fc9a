"""How events travel: CloudEvents on Kafka in both modes, and what is refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from booking_credits_contracts import (
    RECEIVED,
    VALUE_LIMIT_BYTES,
    ContractError,
    read_event,
    write_headers,
)

Headers = list[tuple[str, bytes | None]]

NAME = "received/booking-created/valid-two-hours-in-the-oak-room"
TYPE = "booking-created"


@pytest.fixture
def headers(headers_of: Callable[[str], Headers]) -> Headers:
    """The headers of a booking-created."""
    return headers_of(TYPE)


@pytest.fixture
def value(example: Callable[[str], Any]) -> bytes:
    """The value of a booking-created in binary mode."""
    return json.dumps(example(NAME)).encode()


def replace(headers: Headers, name: str, raw: bytes | None) -> Headers:
    return [*((known, text) for known, text in headers if known != name), (name, raw)]


def drop(headers: Headers, name: str) -> Headers:
    return [(known, raw) for known, raw in headers if known != name]


def refuse(headers: Headers, value: bytes | None) -> tuple[str, str]:
    """Return reason and detail of the refusal."""
    with pytest.raises(ContractError) as refused:
        read_event(headers, value)
    return refused.value.reason, refused.value.detail


def structure(event_type: str, data: object, **attributes: object) -> bytes:
    envelope = {
        "specversion": "1.0",
        "id": "evt-1",
        "source": "/bookings",
        "type": event_type,
        "time": "2026-02-20T14:03:11Z",
        "data": data,
    }
    return json.dumps(envelope | attributes).encode()


def structured(content_type: bytes = b"application/cloudevents+json") -> Headers:
    return [("content-type", content_type)]


@pytest.mark.parametrize("event_type", RECEIVED)
def test_both_modes_agree_with_the_sdk(
    event_type: str, example: Callable[[str], Any], contracts: Path
) -> None:
    """What the CloudEvents SDK writes in either mode reads as the same event."""
    case = min((contracts / "examples" / "received" / event_type).glob("valid-*.json")).stem
    event = CloudEvent(
        attributes={
            "id": "evt-1",
            "source": "/bookings",
            "type": event_type,
            "time": datetime(2026, 2, 20, 15, 3, 11, tzinfo=timezone(timedelta(hours=1))),
            "datacontenttype": "application/json",
            "partitionkey": "acorn",
        },
        data=example(f"received/{event_type}/{case}"),
    )
    messages = [to_binary(event, JSONFormat()), to_structured(event, JSONFormat())]
    binary, structured = (read_event(list(sent.headers.items()), sent.value) for sent in messages)
    assert binary == structured
    assert ("evt-1", "/bookings", event_type) == (binary.id, binary.source, binary.type)
    assert datetime(2026, 2, 20, 14, 3, 11, tzinfo=UTC) == binary.occurred_at
    assert isinstance(binary.data, RECEIVED[event_type])


def test_the_sdk_reads_what_is_written(value: bytes) -> None:
    """Written headers and a value are an event in binary mode to the SDK too."""
    occurred_at = datetime(2026, 2, 20, 14, 3, 11, 250000, tzinfo=UTC)
    written = write_headers(
        id="evt-1", source="/credits", type=TYPE, time=occurred_at, subject="acorn"
    )
    event = from_kafka(KafkaMessage(dict(written), None, value), JSONFormat())
    assert ("evt-1", "/credits", TYPE) == (event.get_id(), event.get_source(), event.get_type())
    assert (occurred_at, "acorn") == (event.get_time(), event.get_subject())
    assert json.loads(value) == event.get_data()


def test_written_headers_are_read_back(value: bytes) -> None:
    """Reading headers that were written gives the attributes again, times in UTC."""
    occurred_at = datetime(2026, 2, 20, 15, 3, 11, tzinfo=timezone(timedelta(hours=1)))
    written = write_headers(id="evt-1", source="/credits", type=TYPE, time=occurred_at)
    assert [
        ("content-type", b"application/json"),
        ("ce_specversion", b"1.0"),
        ("ce_id", b"evt-1"),
        ("ce_source", b"/credits"),
        ("ce_type", b"booking-created"),
        ("ce_time", b"2026-02-20T14:03:11Z"),
    ] == written
    event = read_event(written, value)
    assert ("evt-1", "/credits", occurred_at) == (event.id, event.source, event.occurred_at)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "two words"},
        {"source": "s" * 257},
        {"time": datetime(2026, 2, 20)},  # noqa: DTZ001 (without a zone is the point)
        {"subject": "a\nb"},
    ],
)
def test_a_wrong_attribute_is_not_written(wrong: dict[str, Any]) -> None:
    """Nothing is written that would be refused when read."""
    right: dict[str, Any] = {
        "id": "evt-1",
        "source": "/credits",
        "type": TYPE,
        "time": datetime(2026, 2, 20, tzinfo=UTC),
    }
    with pytest.raises(ValueError, match="validation error"):
        write_headers(**right | wrong)


@pytest.mark.parametrize(
    "content_type",
    [b"application/json", b"Application/JSON; charset=utf-8", b" application/json ;", None],
)
def test_binary_mode_is_json_or_unnamed(
    headers: Headers, value: bytes, content_type: bytes | None
) -> None:
    """A value without content type is read as JSON."""
    others = drop(headers, "content-type")
    sent = others if content_type is None else [*others, ("Content-Type", content_type)]
    assert TYPE == read_event(sent, value).type


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/cloudevents+json",
        b"Application/CloudEvents+JSON; charset=UTF-8",
    ],
)
def test_structured_mode_is_told_by_the_content_type(value: bytes, content_type: bytes) -> None:
    """Case and parameters of the content type do not matter."""
    sent = structure(TYPE, json.loads(value), subject="acorn", datacontenttype="application/json")
    assert "evt-1" == read_event(structured(content_type), sent).id


@pytest.mark.parametrize(
    "content_type",
    [b"text/plain", b"application/cloudevents+avro", b"application/cloudevents-batch+json", b""],
)
def test_other_content_types_are_refused(
    headers: Headers, value: bytes, content_type: bytes
) -> None:
    """What is neither JSON nor a CloudEvent in JSON is not guessed at."""
    reason, _ = refuse(replace(headers, "content-type", content_type), value)
    assert "unsupported_content_type" == reason


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type", "time"])
def test_an_attribute_is_required(headers: Headers, value: bytes, attribute: str) -> None:
    """An attribute that is missing or null is named, in both modes."""
    name = f"ce_{attribute}"
    expected = ("missing_attribute", f"{attribute}: missing")
    assert expected == refuse(drop(headers, name), value)
    assert ("missing_attribute", f"{name}: null") == refuse(replace(headers, name, None), value)
    envelope = json.loads(structure(TYPE, json.loads(value)))
    del envelope[attribute]
    assert expected == refuse(structured(), json.dumps(envelope).encode())


@pytest.mark.parametrize(
    ("attribute", "wrong", "kind"),
    [
        ("specversion", "0.3", "literal_error"),
        ("specversion", "1", "literal_error"),
        ("id", "", "string_pattern_mismatch"),
        ("id", "e" * 129, "string_too_long"),
        ("id", "evt\x001", "string_pattern_mismatch"),
        ("source", "s" * 257, "string_too_long"),
        ("source", "/two words", "string_pattern_mismatch"),
        ("time", "1771596191", "string_pattern_mismatch"),
        ("time", "2026-02-20T14:03:11", "string_pattern_mismatch"),
        ("time", "9999-12-31T23:59:59-14:00", "less_than"),
    ],
)
def test_a_wrong_attribute_is_refused(
    headers: Headers, value: bytes, attribute: str, wrong: str, kind: str
) -> None:
    """Attributes have limits as fields have, the same in both modes."""
    expected = ("invalid_attribute", f"{attribute}: {kind}")
    assert expected == refuse(replace(headers, f"ce_{attribute}", wrong.encode()), value)
    sent = structure(TYPE, json.loads(value), **{attribute: wrong})
    assert expected == refuse(structured(), sent)


@pytest.mark.parametrize(
    "event_type",
    ["booking-moved", "Booking-Created", "io.example.booking-created", "balance-changed"],
)
def test_an_unknown_type_is_refused(headers: Headers, value: bytes, event_type: str) -> None:
    """A type is exactly the name of an event that is read."""
    expected = ("unknown_type", "type: not one that is read")
    assert expected == refuse(replace(headers, "ce_type", event_type.encode()), value)
    assert expected == refuse(structured(), structure(event_type, json.loads(value)))


def test_a_header_that_is_not_utf8_is_refused(headers: Headers, value: bytes) -> None:
    """Each header that is read is UTF-8; those that are not read may be anything."""
    for name, _ in headers:
        expected = ("not_utf8", f"{name}: not UTF-8")
        assert expected == refuse(replace(headers, name, b"\xff\xfe"), value)
    unread: Headers = [("traceparent", b"\xff"), ("retries", None)]
    assert "evt-1" == read_event([*headers, *unread], value).id


def test_of_a_repeated_header_the_last_counts(headers: Headers, value: bytes) -> None:
    """Kafka allows a header twice; clients take the last, and so does this."""
    assert "evt-2" == read_event([*headers, ("ce_id", b"evt-2")], value).id


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty_value"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b'{"account_id": "\xff"}', "not_utf8"),
        (b'{"account_id": "\\ud800"}', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"null", "schema"),
        (b"[]", "schema"),
        (b"{}", "schema"),
    ],
)
def test_a_value_that_is_no_event_is_refused(
    headers: Headers, value: bytes | None, reason: str
) -> None:
    """Tombstones, broken text and other JSON each have their reason."""
    assert reason == refuse(headers, value)[0]


def test_structured_data_is_required() -> None:
    """An envelope without data, or with binary data, is refused."""
    envelope = json.loads(structure(TYPE, None))
    assert ("schema", "data: model_type") == refuse(structured(), json.dumps(envelope).encode())
    del envelope["data"]
    envelope["data_base64"] = "e30="
    assert ("schema", "data: missing") == refuse(structured(), json.dumps(envelope).encode())


def test_a_value_is_at_most_one_mebibyte(headers: Headers, value: bytes) -> None:
    """The largest value is read, one more byte is not."""
    largest = value.ljust(VALUE_LIMIT_BYTES)
    assert 1024 * 1024 == len(largest)
    assert "evt-1" == read_event(headers, largest).id
    assert "too_large" == refuse(headers, largest + b" ")[0]


def test_only_the_first_problems_are_named(headers: Headers, value: bytes) -> None:
    """However much is wrong, the detail stays short."""
    data = json.loads(value)
    data["lines"] = [{}] * 500
    _, detail = refuse(headers, json.dumps(data).encode())
    assert detail.startswith("lines.0.line: missing; lines.0.starts_at: missing;")
    assert detail.endswith("; and 1990 more")


def test_a_refusal_reads_well() -> None:
    """Its text is the reason and the detail, and it keeps both."""
    error = ContractError("schema", "zone: missing")
    assert "schema: zone: missing" == str(error)
    assert ("schema", "zone: missing") == (error.reason, error.detail)
