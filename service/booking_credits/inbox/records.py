"""Records: what Kafka's client hands over, as posting knows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from booking_credits.posting.batch import Origin

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

Record: TypeAlias = "ConsumerRecord[Any, Any]"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def origin_of(record: Record) -> Origin:
    """Return a record as it came; a time that no calendar holds is left out."""
    return Origin(
        record.topic,
        record.partition,
        record.offset,
        _instant(record.timestamp),
        record.key,
        record.value,
        tuple(record.headers),
    )


def fingerprint(record: Record) -> bytes:
    """Return what tells a record from any other that may come to stand at its offset."""
    headers = tuple((name, value) for name, value in record.headers)
    content = (record.offset, record.timestamp, record.key, record.value, headers)
    return sha256(repr(content).encode()).digest()


def read_through(record: Record, received_at: datetime) -> datetime | None:
    """Return the instant through which a partition is read that was read up to a record."""
    written_at = _instant(record.timestamp)
    return None if written_at is None else min(written_at, received_at)


def _instant(timestamp_ms: int | None) -> datetime | None:
    if timestamp_ms is None or timestamp_ms < 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        return None
