"""Announcements: what the ledger tells the world about one fact.

Each carries the account's sequence number and that of the announcement of the same kind before
it, so that a reader of one kind alone can prove that it missed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from datetime import date, datetime

    from booking_credits.ledger.buckets import Buckets
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.entries import Entry
    from booking_credits.ledger.facts import Channel
    from booking_credits.ledger.reasons import Refusal

Kind: TypeAlias = Literal[
    "balance-changed",
    "overage-detected",
    "coverage-decided",
    "request-rejected",
    "credits-expiring",
    "period-closed",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
PLACES = {kind: place for place, kind in enumerate(KINDS)}
OverageStatus: TypeAlias = Literal["detected", "adjusted", "reversed", "unpriced"]
Request: TypeAlias = Literal["grant_removal"]
Rejection: TypeAlias = Literal["grant_in_use"]


@dataclass(frozen=True, slots=True)
class ObligationKey:
    """What tells obligations apart: line, billing period, currency (None: unpriced), channel."""

    booking_id: str
    line_no: int
    period_start: date
    currency: str | None
    channel: Channel


@dataclass(frozen=True, slots=True)
class Obligation:
    """The cash owed for a line, as last announced; an open one is owed now."""

    key: ObligationKey
    period_end: date
    zone: str
    revision: int
    total_minor: int
    is_open: bool
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class BalanceChanged:
    """The buckets of one unit before and after a fact, and the entries between them.

    `entries` are pairs of the entry's number and the entry.
    """

    kind: ClassVar[Kind] = "balance-changed"
    unit: str
    before: Buckets
    after: Buckets
    entries: tuple[tuple[int, Entry], ...]


@dataclass(frozen=True, slots=True)
class OverageDetected:
    """An obligation's new revision, with its change since the one before."""

    kind: ClassVar[Kind] = "overage-detected"
    obligation: Obligation
    status: OverageStatus
    change_minor: int
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class DecidedLine:
    """A line's coverage with the reasons for what it leaves uncovered."""

    charge: Charge
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class CoverageDecided:
    """How each line of a booking is paid as of a fact; a cancelled booking has none.

    Where the revision was declined, `lines` are those that stand without it and `left_short` are
    the lines of this booking and of others that it would have left short.
    """

    kind: ClassVar[Kind] = "coverage-decided"
    booking_id: str
    revision: int
    lines: tuple[DecidedLine, ...]
    is_declined: bool = False
    left_short: tuple[DecidedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestRejected:
    """What was asked of a grant and refused: why, and the lines that are in the way."""

    kind: ClassVar[Kind] = "request-rejected"
    request: Request
    reason: Rejection
    grant_id: str
    in_the_way: tuple[LineKey, ...]


@dataclass(frozen=True, slots=True)
class CreditsExpiring:
    """What of a grant nobody has taken and nobody will be able to take after its end."""

    kind: ClassVar[Kind] = "credits-expiring"
    grant_id: str
    unit: str
    quantity: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StatedUnit:
    """What happened in a period to the credits of a unit that are neither used nor gone.

    `opening + issued - drawn - expired - removed + adjusted = closing`. All but the balances may
    be negative; `adjusted` is what late facts changed of periods that were closed before.
    """

    unit: str
    opening: int
    issued: int
    drawn: int
    expired: int
    removed: int
    adjusted: int
    closing: int


@dataclass(frozen=True, slots=True)
class StatedOverage:
    """What is owed for a period by one channel, and what changed of earlier periods meanwhile."""

    currency: str
    channel: Channel
    owed_minor: int
    adjusted_minor: int


@dataclass(frozen=True, slots=True)
class PeriodStatement:
    """A period that was closed, by its local dates, and its statement."""

    kind: ClassVar[Kind] = "period-closed"
    start_date: date
    end_date: date
    zone: str
    units: tuple[StatedUnit, ...]
    overages: tuple[StatedOverage, ...]


Content: TypeAlias = (
    BalanceChanged
    | OverageDetected
    | CoverageDecided
    | RequestRejected
    | CreditsExpiring
    | PeriodStatement
)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing to tell: its place in the account's sequence, and its content."""

    sequence: int
    previous_sequence: int
    content: Content

    @property
    def kind(self) -> Kind:
        """What kind of thing it tells."""
        return self.content.kind
