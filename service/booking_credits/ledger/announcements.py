"""Announcements: what the ledger tells the world about one fact.

Each carries the account's sequence number and that of the announcement of the same kind before
it, so that a reader of one kind alone can prove that it missed nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from datetime import date, datetime

    from booking_credits.ledger.buckets import Buckets
    from booking_credits.ledger.charges import Charge
    from booking_credits.ledger.entries import Entry
    from booking_credits.ledger.facts import Channel
    from booking_credits.ledger.reasons import Refusal

Kind: TypeAlias = Literal["balance-changed", "overage-detected", "coverage-decided"]
KINDS: tuple[Kind, ...] = ("balance-changed", "overage-detected", "coverage-decided")
OverageStatus: TypeAlias = Literal["detected", "adjusted", "reversed", "unpriced"]


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

    unit: str
    before: Buckets
    after: Buckets
    entries: tuple[tuple[int, Entry], ...]


@dataclass(frozen=True, slots=True)
class OverageDetected:
    """An obligation's new revision, with its change since the one before."""

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
    """How each line of a booking is paid as of a fact; a cancelled booking has none."""

    booking_id: str
    revision: int
    lines: tuple[DecidedLine, ...]


Content: TypeAlias = BalanceChanged | OverageDetected | CoverageDecided


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing to tell: its kind, its place in the account's sequence, and its content."""

    kind: Kind
    sequence: int
    previous_sequence: int
    content: Content


def kind_of(content: Content) -> Kind:
    """Name the kind of an announcement's content."""
    if isinstance(content, BalanceChanged):
        return "balance-changed"
    return "overage-detected" if isinstance(content, OverageDetected) else "coverage-decided"
