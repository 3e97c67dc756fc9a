"""Postings: what facts have posted to an account, as far as a statement needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from booking_credits.ledger.facts import PeriodClosed

if TYPE_CHECKING:
    from datetime import datetime

    from booking_credits.ledger.buckets import Bucket
    from booking_credits.ledger.facts import Channel
    from booking_credits.ledger.outcomes import Outcome

# Against a period: of its time, of a later time, or of an earlier one and posted since that was
# closed.
Part: TypeAlias = Literal["within", "later", "late"]


@dataclass(frozen=True, slots=True)
class PostedAround:
    """Wanted: sums of what was posted since an instant (None: ever), and late for before it.

    Late is what came after the last close, which is fact `closed_fact` unless it is on record.
    """

    since: datetime | None
    ends_at: datetime
    closed_fact: int | None


@dataclass(frozen=True, slots=True)
class Flow:
    """A quantity of a unit that moved between two buckets."""

    unit: str
    source: Bucket
    target: Bucket
    part: Part
    quantity: int


@dataclass(frozen=True, slots=True)
class Owing:
    """A change of what is owed for a line, in the period or late for an earlier one."""

    currency: str
    channel: Channel
    is_late: bool
    change_minor: int


@dataclass(frozen=True, slots=True)
class Sums:
    """What was posted around a period; `owing` is that of lines which were closed before."""

    flows: tuple[Flow, ...] = ()
    owing: tuple[Owing, ...] = ()


class Postings:
    """The outcomes that a record has accepted, beside sums of those before it was loaded.

    A whole record knows all of them.
    """

    def __init__(self, *, whole: bool) -> None:
        """Begin with none."""
        self.whole = whole
        self.outcomes: list[Outcome] = []
        self.sums: dict[PostedAround, Sums] = {}
        self.closed_fact: int | None = None

    def add(self, outcome: Outcome) -> None:
        """Add what a fact posted."""
        self.outcomes.append(outcome)
        if isinstance(outcome.fact, PeriodClosed):
            self.closed_fact = outcome.numbers.fact
