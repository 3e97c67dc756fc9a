"""Facts: what happened, as the ledger knows it.

Instants are aware datetimes in UTC, dates are local calendar dates, quantities are integers in
the unit's smallest step and money is integers in the currency's minor unit. A fact belongs to a
subject (a booking, a grant, a plan's period, the account itself, its clock); what is true of a
subject is a fold over the facts of that subject alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from booking_credits.ledger.subjects import (
    ACCOUNT_SUBJECT,
    CLOCK_SUBJECT,
    CLOSING_SUBJECT,
    booking_subject,
    escaped,
    grant_subject,
)

if TYPE_CHECKING:
    from datetime import date, datetime

    from booking_credits.ledger.allotments import Allotment, OpeningBalance, StandingAllotment
    from booking_credits.ledger.closing import ClosedLine

Channel: TypeAlias = Literal["invoice", "card", "on_account"]
# What becomes of what credits leave uncovered.
Fallback: TypeAlias = Channel | Literal["deny"]
Answer: TypeAlias = Literal["declined", "refused"]
Recurrence: TypeAlias = Literal["once", "monthly"]
Cycle: TypeAlias = Literal["month", "quarter", "year"]
SaleChannel: TypeAlias = Literal["point_of_sale", "online", "licence", "charge_sheet"]
Document: TypeAlias = Literal["invoice", "charge_sheet"]


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the currency's minor unit, with its ISO 4217 code."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Span:
    """A number of local days or months."""

    count: int
    unit: Literal["days", "months"]


@dataclass(frozen=True, slots=True)
class Rollover:
    """For how long a grant stays usable past its own end, and how much of it (None: all)."""

    span: Span
    cap: int | None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a grant may pay: every dimension that is named must contain the line."""

    resources: tuple[str, ...] = ()
    product_groups: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()

    def contains(self, line: Line) -> bool:
        """Say whether every named dimension contains the line."""
        return (
            (not self.resources or line.resource in self.resources)
            and (not self.product_groups or line.product_group in self.product_groups)
            and (not self.locations or line.location in self.locations)
        )


@dataclass(frozen=True, slots=True)
class Line:
    """One occurrence of a booking: `[starts_at, ends_at)`, its cash price and its cost by unit."""

    line_no: int
    starts_at: datetime
    ends_at: datetime
    resource: str
    location: str | None
    product_group: str | None
    costs: tuple[tuple[str, int], ...]
    price: Money | None
    payable_by_credits: bool = True
    discounted: bool = False
    online_plan: bool = False


@dataclass(frozen=True, slots=True)
class Correction:
    """Marks a revision that may change a line which has started: by whom and why."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class BookingRevised:
    """A booking's whole state at one revision; without lines it is cancelled.

    The answer is no part of what was said, so two facts that differ in it alone are equal.
    """

    booking_id: str
    revision: int
    occurred_at: datetime
    booked_at: datetime | None
    lines: tuple[Line, ...]
    fallback: Fallback | None = None
    correction: Correction | None = None
    answer: Answer | None = field(default=None, compare=False)

    @property
    def subject(self) -> str:
        """The booking."""
        return booking_subject(self.booking_id)


@dataclass(frozen=True, slots=True)
class BookingStarted:
    """Someone began to use a booking, or one line of it."""

    booking_id: str
    line_no: int | None
    occurred_at: datetime

    @property
    def subject(self) -> str:
        """The booking."""
        return booking_subject(self.booking_id)


@dataclass(frozen=True, slots=True)
class CreditsGranted:
    """Credits given by a person; without quantity unlimited, without `valid_to` by policy.

    Given monthly they are a standing grant, whose last day is `end_date`.
    """

    grant_id: str
    unit: str
    quantity: int | None
    occurred_at: datetime
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    backdated: bool = False
    scope: Scope = field(default_factory=Scope)
    priority: int = 100
    source: str = "manual"
    paid: bool = False
    member_id: str | None = None
    actor: str = ""
    reason: str = ""
    reference: str | None = None
    recurrence: Recurrence = "once"
    end_date: date | None = None

    @property
    def subject(self) -> str:
        """The grant."""
        return grant_subject(self.grant_id)


@dataclass(frozen=True, slots=True)
class PackPurchased:
    """A pack of credits bought; without quantity unlimited, without lifetime open-ended.

    The lifetime counts from `starts_on`, without which it is the local day of the purchase. A pack
    that rolls over and has no lifetime ends with the billing period in which it begins.
    """

    pack_id: str
    unit: str
    quantity: int | None
    occurred_at: datetime
    lifetime: Span | None = None
    starts_on: date | None = None
    scope: Scope = field(default_factory=Scope)
    priority: int = 100
    price: Money | None = None
    sold_via: SaleChannel = "point_of_sale"
    licence: str | None = None
    member_id: str | None = None
    rollover: Rollover | None = None

    @property
    def subject(self) -> str:
        """The grant."""
        return grant_subject(self.pack_id)


@dataclass(frozen=True, slots=True)
class PackApproved:
    """A purchase put on an invoice or a charge sheet, from which on it counts."""

    pack_id: str
    document: Document
    reference: str
    occurred_at: datetime

    @property
    def subject(self) -> str:
        """The grant."""
        return grant_subject(self.pack_id)


@dataclass(frozen=True, slots=True)
class GrantRemoved:
    """Someone took back a grant: a quantity of its unit, or without one the whole of it.

    One that was refused says so in its answer, which is no part of what was said.
    """

    grant_id: str
    unit: str | None
    quantity: int | None
    occurred_at: datetime
    actor: str
    reason: str
    answer: Answer | None = field(default=None, compare=False)

    @property
    def subject(self) -> str:
        """The grant, or what yields it as one of a period."""
        return grant_subject(self.grant_id)


@dataclass(frozen=True, slots=True)
class PlanRenewed:
    """A plan's allotments for the period that begins on a local date."""

    plan: str
    period_start: date
    period_end: date | None
    version: int
    allotments: tuple[Allotment, ...]
    occurred_at: datetime

    @property
    def subject(self) -> str:
        """The plan's period."""
        return f"plan/{escaped(self.plan)}/{self.period_start}"


@dataclass(frozen=True, slots=True)
class AccountDescribed:
    """The account's calendar, policy and allotments from a local date on."""

    from_date: date
    zone: str
    cycle: Cycle
    anchor_date: date
    policy: str | None
    location: str | None
    on_account: bool
    occurred_at: datetime
    allotments: tuple[StandingAllotment, ...] = ()
    opening_balance: tuple[OpeningBalance, ...] = ()

    @property
    def subject(self) -> str:
        """The account itself."""
        return ACCOUNT_SUBJECT


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The clock posted this instant: what was due by then has happened.

    `noticed_at` is when the clock got to it, which is later where it had stood still.
    """

    occurred_at: datetime
    noticed_at: datetime | None = None

    @property
    def subject(self) -> str:
        """The account's clock."""
        return CLOCK_SUBJECT


@dataclass(frozen=True, slots=True)
class PeriodClosed:
    """A billing period, named by its local start date, was closed when that was due.

    `ends_at` is its end: what starts before it is no longer open. The lines that it closes are
    listed when it is settled (before, None) and no part of what was said.
    """

    period_start: date
    ends_at: datetime
    occurred_at: datetime
    lines: tuple[ClosedLine, ...] | None = field(default=None, compare=False)

    @property
    def subject(self) -> str:
        """The account's closings."""
        return CLOSING_SUBJECT


BookingFact: TypeAlias = BookingRevised | BookingStarted
GrantFact: TypeAlias = CreditsGranted | PlanRenewed | PackPurchased | PackApproved | GrantRemoved
Fact: TypeAlias = BookingFact | GrantFact | AccountDescribed | TimePassed | PeriodClosed

BOOKING_FACTS = (BookingRevised, BookingStarted)
ANSWERED_FACTS = (BookingRevised, GrantRemoved)
GRANT_FACTS = (CreditsGranted, PlanRenewed, PackPurchased, PackApproved, GrantRemoved)
