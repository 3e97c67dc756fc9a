"""Sources: what was told about an account, and what the ledger made of it, for explaining it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from booking_credits.ledger.subjects import booking_subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from booking_credits.ledger.announcements import ObligationKey, OverageStatus
    from booking_credits.ledger.charges import LineKey
    from booking_credits.ledger.entries import Entry
    from booking_credits.ledger.reasons import Refusal
    from booking_credits.output import Json


@dataclass(frozen=True, slots=True)
class Told:
    """A fact on record with the event that told it; `data` is what the event said.

    The answer is None where the fact was accepted.
    """

    fact_no: int
    subject: str
    type: str
    source: str
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    data: Json
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry with its number and the fact that caused it."""

    entry_no: int
    fact_no: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class Revised:
    """A revision of an obligation, and the fact that caused it."""

    fact_no: int
    key: ObligationKey
    revision: int
    status: OverageStatus
    change_minor: int
    total_minor: int


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A line for which a revision was declined, as that was announced.

    `uncovered` is what it would have lacked, by unit, any of which would have done.
    """

    fact_no: int
    booking_id: str
    line_no: int
    uncovered: Mapping[str, str]
    reasons: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class Sources:
    """What an explanation may name: more than it needs does no harm, each in its order."""

    told: Sequence[Told] = ()
    moved: Sequence[Moved] = ()
    revised: Sequence[Revised] = ()
    shortfalls: Sequence[Shortfall] = ()

    def of_subject(self, *subjects: str) -> list[Told]:
        """List what was told about subjects."""
        return [told for told in self.told if told.subject in subjects]

    def of_booking(self, booking_id: str) -> list[Told]:
        """List what was told about a booking."""
        return self.of_subject(booking_subject(booking_id))

    def fact(self, fact_no: int) -> Told | None:
        """Find a fact by its number."""
        return next((told for told in self.told if told.fact_no == fact_no), None)

    def shortfalls_of(self, fact_no: int) -> list[Shortfall]:
        """List the lines for which a fact was declined; none if it was not."""
        return [shortfall for shortfall in self.shortfalls if shortfall.fact_no == fact_no]

    def moves_of(self, key: LineKey) -> list[Moved]:
        """List the entries for a line."""
        return [moved for moved in self.moved if moved.entry.line_key == key]

    def revisions_of(self, key: LineKey) -> list[Revised]:
        """List the revisions of what a line owes."""
        return [r for r in self.revised if (r.key.booking_id, r.key.line_no) == key]
