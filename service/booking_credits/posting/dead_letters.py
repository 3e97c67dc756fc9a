"""Dead letters: what could not be posted, as it is kept."""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from uuid import UUID, uuid5

from booking_credits.postgres.registry import headers_json
from booking_credits.posting.batch import Arrival, DeadLetter, Origin

# On a record that was replayed: the first letter that its event became.
REPLAYED_FROM: Final = "dlq-replayed-from"

_NAMESPACE: Final = UUID("6a6b8f0e-3f0f-5a53-9d0b-0d6a5ad6c0aa")


def letter_of(arrival: Arrival, reason: str, detail: str) -> DeadLetter:
    """Turn an arrival that cannot be posted into a dead letter."""
    origin = arrival.origin or Origin(
        arrival.source, 0, 0, None, None, arrival.payload.encode(), ()
    )
    return DeadLetter(
        reason,
        detail,
        origin,
        arrival.recorded_at,
        arrival.type,
        arrival.source,
        arrival.event_id,
        arrival.account_id,
    )


def dead_letter_row(letter: DeadLetter) -> tuple[object, ...]:
    """Write a letter as `put_dead_letters` takes it; the same record has the same id."""
    origin = letter.origin
    # A topic may be made anew, with another record in the same place.
    content = sha256(repr((origin.timestamp, origin.key, origin.value)).encode()).hexdigest()
    name = f"{origin.topic}/{origin.partition}/{origin.offset}/{content}"
    if not origin.headers and letter.event_id is not None:
        name = f"{letter.source}/{letter.event_id}"
    return (
        uuid5(_NAMESPACE, name),
        letter.reason,
        letter.detail,
        origin.topic,
        origin.partition,
        origin.offset,
        origin.timestamp,
        origin.key,
        origin.value,
        headers_json(origin.headers),
        letter.source,
        letter.event_id,
        letter.type,
        letter.account_id,
        letter.received_at,
        _replayed_from(origin),
    )


def _replayed_from(origin: Origin) -> UUID | None:
    """Read which letter a record is replayed from; anyone may write that header."""
    for name, value in origin.headers:
        if name == REPLAYED_FROM and value is not None:
            try:
                return UUID(value.decode())
            except ValueError:
                return None
    return None
