"""Outcomes: everything that one fact changes, and the numbers that it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from booking_credits.ledger.announcements import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from booking_credits.ledger.announcements import Announcement, Kind, Obligation
    from booking_credits.ledger.buckets import Buckets
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.entries import Entry, GrantRecord
    from booking_credits.ledger.facts import Fact


@dataclass(frozen=True, slots=True)
class Numbers:
    """The last numbers given in an account; `last` is the last sequence of each kind."""

    fact: int = 0
    entry: int = 0
    sequence: int = 0
    last: tuple[int, ...] = (0,) * len(KINDS)

    def last_of(self, kind: Kind) -> int:
        """Return the sequence number of the last announcement of a kind."""
        return self.last[KINDS.index(kind)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fact changes: everything that is to be written, and nothing else.

    In `charges` None says that the line stands no more. `grants` are those that entries concern
    or that are new or read otherwise; those that are `gone` have given everything back and are on
    record no more. `next_start` is when the clock brings the next grant of a standing grant. Its
    entries take effect at `effective_at`: when the fact occurred, but never in a closed period.
    """

    fact: Fact
    effective_at: datetime
    numbers: Numbers
    timeline: Timeline
    present: datetime | None
    entries: tuple[tuple[int, Entry], ...]
    charges: Mapping[LineKey, Charge | None]
    grants: Mapping[str, GrantRecord]
    obligations: Mapping[LineKey, tuple[Obligation, ...]]
    balances: Mapping[str, Buckets]
    announcements: tuple[Announcement, ...]
    gone: frozenset[str] = frozenset()
    next_start: datetime | None = None
