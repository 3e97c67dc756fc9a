"""Reading: one record of Kafka becomes an arrival, or a dead letter that says why not."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from booking_credits.inbox.facts import FactError, read_fact
from booking_credits.posting.batch import CLOCK_SOURCE, Arrival, DeadLetter, Origin
from booking_credits_contracts import ContractError, ReceivedEvent, read_event

if TYPE_CHECKING:
    from datetime import datetime

    from booking_credits.ledger.policies import PolicyBook

__all__ = ["hash_of", "read_fact", "read_record"]

_HINT_LIMIT = 256


def read_record(origin: Origin, book: PolicyBook, received_at: datetime) -> Arrival | DeadLetter:
    """Read a record; whatever it holds, this raises nothing."""
    try:
        event = read_event(origin.headers, origin.value)
    except ContractError as error:
        return _unreadable(origin, received_at, error.reason, error.detail)
    try:
        return _arrival(event, origin, book, received_at)
    except FactError as error:
        return DeadLetter(
            error.reason,
            error.detail,
            origin,
            received_at,
            event.type,
            event.source,
            event.id,
            event.data.account_id,
        )


def hash_of(type: str, occurred_at: datetime, payload: str) -> bytes:  # noqa: A002
    """Digest what an event says; the same content has the same hash, whatever its id."""
    return sha256(f"{type}\n{occurred_at.isoformat()}\n{payload}".encode()).digest()


def _arrival(
    event: ReceivedEvent, origin: Origin, book: PolicyBook, received_at: datetime
) -> Arrival:
    if event.source == CLOCK_SOURCE:
        raise FactError("reserved_source", "source is the clock's own")
    # The fact is read from what will be on record, so that it can be read again from there.
    # Defaults are left out: what a field was left out for and what it then means are the same
    # content, and a field that a later contract adds makes no other content of an old event.
    payload = event.data.model_dump_json(exclude_defaults=True)
    fact = read_fact(event.type, event.occurred_at, payload, book)
    return Arrival(
        event.data.account_id,
        fact,
        event.type,
        event.source,
        event.id,
        payload,
        hash_of(event.type, event.occurred_at, payload),
        received_at,
        origin,
    )


def _unreadable(origin: Origin, received_at: datetime, reason: str, detail: str) -> DeadLetter:
    hints = {name.lower(): _hint(value) for name, value in origin.headers}
    return DeadLetter(
        reason,
        detail,
        origin,
        received_at,
        hints.get("ce_type"),
        hints.get("ce_source"),
        hints.get("ce_id"),
        _hint(origin.key),
    )


def _hint(value: bytes | None) -> str | None:
    """Return a text that is short and plain enough to be kept beside the record."""
    try:
        text = (value or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if 0 < len(text) <= _HINT_LIMIT and text.isprintable() else None
