"""What is posted together: facts that arrived, letters that could not be read, positions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from datetime import datetime

    from booking_credits.ledger.facts import Fact


# The source of what the clock posts, under which no event may come from outside.
CLOCK_SOURCE: Final = "booking-credits/clock"


@dataclass(frozen=True, slots=True)
class Origin:
    """A record as it came from Kafka; header values may be null."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A fact of an account with the event that told it.

    `payload` is the event's data as JSON text and `payload_hash` its digest together with the
    type and the time. `origin` is None for what did not come from Kafka. Where its way is
    traced, `traceparent` goes out with what it causes. What `is_answered` comes again with the
    answer that it was given, and is not asked about anew.
    """

    account_id: str
    fact: Fact
    type: str
    source: str
    event_id: str
    payload: str
    payload_hash: bytes
    recorded_at: datetime
    origin: Origin | None = None
    traceparent: str | None = None
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be posted: why, and what is known of its event.

    `detail` names fields and kinds of error, never a value of the payload.
    """

    reason: str
    detail: str
    origin: Origin
    received_at: datetime
    type: str | None = None
    source: str | None = None
    event_id: str | None = None
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """A partition read up to `next_offset` by the owner that holds it at this epoch.

    `read_through` is the time of the last record, as far as it says one.
    """

    topic: str
    partition: int
    next_offset: int
    fingerprint: bytes
    owner: UUID
    epoch: int
    read_through: datetime | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What is posted in one transaction, arrivals in the order in which they came."""

    arrivals: tuple[Arrival, ...]
    dead_letters: tuple[DeadLetter, ...] = ()
    advances: tuple[Advance, ...] = ()


@dataclass
class Posted:
    """What became of a batch: arrivals by `(type, outcome)`, and what was written.

    Outcomes are `posted`, `duplicate` and the reasons of dead letters. `overages` sums up the
    changes of what is owed, in minor units, by currency and whether they add to it. `rows_read`
    counts what was read of the ledger to post it.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    entries: int = 0
    announcements: int = 0
    dead_letters: list[DeadLetter] = field(default_factory=list)
    shards: set[int] = field(default_factory=set)
    overages: Counter[tuple[str, bool]] = field(default_factory=Counter)
    rows_read: int = 0


class Fenced(Exception):
    """Another consumer owns one of the batch's partitions now; nothing was posted."""
