"""What the service reads: the data of each event that others publish.

Fields that are unknown are ignored, so that a publisher may add some; types are strict. A field
that may be null may also be left out.
"""

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from booking_credits_contracts.identifiers import Id, LongId, Text
from booking_credits_contracts.quantities import (
    Costs,
    GrantQuantity,
    Money,
    Quantity,
    require_positive,
)
from booking_credits_contracts.times import Instant, LocalDate, Zone

LINE_DURATION_LIMIT: Final = timedelta(days=366)

ItemT = TypeVar("ItemT")

Revision = Annotated[int, Field(ge=1, le=1_000_000_000)]
LineNumber = Annotated[int, Field(ge=1, le=1_000_000)]
Priority = Annotated[int, Field(ge=0, le=1000)]


def _require_some(items: tuple[ItemT, ...]) -> tuple[ItemT, ...]:
    # A min_length would count without the items that are refused, and so blame the list as well.
    if not items:
        raise PydanticCustomError("too_short", "at least one is needed")
    return items


Names = Annotated[
    tuple[Id, ...],
    Field(max_length=200, json_schema_extra={"minItems": 1}),
    AfterValidator(_require_some),
]


class Received(BaseModel):
    """Part of an event that the service reads: immutable, strict on types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)


class AccountEvent(Received):
    """Data about one account, whose id is also the message's key."""

    account_id: Id


class Scope(Received):
    """What a grant may pay for: within every dimension that it names.

    Unlike elsewhere an unknown field is refused: ignoring a dimension would widen the grant.
    """

    model_config = ConfigDict(extra="forbid")

    resources: Names | None = None
    product_groups: Names | None = None
    locations: Names | None = None


EVERYTHING: Final = Scope()


class Span(Received):
    """A number of local days or months."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    unit: Literal["days", "months"]


class Rollover(Span):
    """For how long past its own end a grant stays usable, and how much of it (null: all)."""

    cap: Quantity | None = None


class StandingAllotment(Received):
    """What an account is given in each billing period. A lower priority is used first.

    Where it names a plan and a line of it, a renewal of that line for a period replaces it there.
    """

    name: Id
    unit: Id
    quantity: GrantQuantity
    scope: Scope = EVERYTHING
    priority: Priority = 100
    plan: Id | None = None
    plan_line: Id | None = None
    rollover: Rollover | None = None

    @model_validator(mode="after")
    def _check_plan(self) -> Self:
        if (self.plan is None) != (self.plan_line is None):
            raise PydanticCustomError("plan_in_part", "a plan and a line of it go together")
        return self


class OpeningBalance(Received):
    """What an account brings along of a unit; without `valid_to` it has no end."""

    unit: Id
    quantity: Annotated[Quantity, AfterValidator(require_positive)]
    scope: Scope = EVERYTHING
    valid_to: Instant | None = None


class AccountState(AccountEvent):
    """`account-changed`: the account's calendar and rules from a local date.

    What is newly allotted is given whole in the running period already. What is allotted otherwise
    or no longer stays as it is in the running period.
    """

    from_date: LocalDate
    location: Id | None = None
    zone: Zone
    cycle: Literal["month", "quarter", "year"]
    anchor_date: LocalDate
    policy: Id | None = None
    on_account: bool = False
    allotments: Annotated[tuple[StandingAllotment, ...], Field(max_length=64)] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if len({allotment.name for allotment in self.allotments}) < len(self.allotments):
            raise PydanticCustomError("duplicate_allotment", "an allotment's name occurs twice")
        return self


class AccountOpened(AccountState):
    """`account-opened`: the same, with what the account brings along from that date on."""

    opening_balance: Annotated[tuple[OpeningBalance, ...], Field(max_length=16)] = ()

    @model_validator(mode="after")
    def _check_units(self) -> Self:
        if len({balance.unit for balance in self.opening_balance}) < len(self.opening_balance):
            raise PydanticCustomError("duplicate_unit", "a unit is brought along twice")
        return self


class Correction(Received):
    """Who changes a line that has already started, and why."""

    actor: Text
    reason: Text


class BookingLine(Received):
    """One occurrence of a booking: `[starts_at, ends_at)` on one resource.

    `costs` maps each unit that may pay to the quantity that would pay the whole line; where it is
    null, each money unit may, with what the price comes to at the worth that the policies give
    it. Without a `price` an uncovered part is reported as unpriced.
    """

    line: LineNumber
    starts_at: Instant
    ends_at: Instant
    resource: Id
    location: Id | None = None
    product_group: Id | None = None
    costs: Costs | None = None
    price: Money | None = None
    payable_by_credits: bool = True
    discounted: bool = False
    online_plan: bool = False

    @model_validator(mode="after")
    def _check_duration(self) -> Self:
        duration = self.ends_at - self.starts_at
        if duration <= timedelta(0):
            raise PydanticCustomError("ends_before_start", "a line ends after it starts")
        if duration > LINE_DURATION_LIMIT:
            raise PydanticCustomError("too_long", "a line lasts at most 366 days")
        return self


class BookingState(AccountEvent):
    """`booking-created`, `booking-updated`: the booking's whole present state."""

    booking_id: Id
    revision: Revision
    booked_at: Instant
    member_id: Id | None = None
    fallback: Literal["invoice", "card", "on_account", "deny"] | None = None
    correction: Correction | None = None
    lines: Annotated[
        tuple[BookingLine, ...],
        Field(max_length=500, json_schema_extra={"minItems": 1}),
        AfterValidator(_require_some),
    ]

    @model_validator(mode="after")
    def _check_line_numbers(self) -> Self:
        if len({line.line for line in self.lines}) < len(self.lines):
            raise PydanticCustomError("duplicate_line", "a line number occurs twice")
        return self


class BookingCancelled(AccountEvent):
    """`booking-cancelled`: the revision in which the booking is cancelled."""

    booking_id: Id
    revision: Revision
    correction: Correction | None = None


class BookingStarted(AccountEvent):
    """`booking-started`: someone checked in, to one line or (null) to all of them."""

    booking_id: Id
    line: LineNumber | None = None


class Allotment(Received):
    """What one line of a plan grants for a period. A lower priority is used first."""

    plan_line: Id
    unit: Id
    quantity: GrantQuantity
    scope: Scope = EVERYTHING
    priority: Priority = 100
    rollover: Rollover | None = None


class BillingPlanRenewed(AccountEvent):
    """`billing-plan-renewed`: a plan's allotments for `[period_start, period_end)`.

    Without an end the period runs to the next boundary of the account's calendar. A higher
    version replaces a lower one of the same plan line and start.
    """

    plan: Id
    period_start: LocalDate
    period_end: LocalDate | None = None
    version: Revision = 1
    allotments: Annotated[tuple[Allotment, ...], Field(max_length=64)]

    @model_validator(mode="after")
    def _check_period_and_plan_lines(self) -> Self:
        if self.period_end is not None and self.period_end <= self.period_start:
            raise PydanticCustomError("ends_before_start", "a period ends after it starts")
        if len({allotment.plan_line for allotment in self.allotments}) < len(self.allotments):
            raise PydanticCustomError("duplicate_plan_line", "a plan line occurs twice")
        return self


class CreditsGranted(AccountEvent):
    """`credits-granted`: a grant given by hand, usable for service times `[valid_from, valid_to)`.

    Without `valid_from` it counts from the event's time; `backdated` lets it count from an
    earlier `valid_from`. Given monthly it is granted anew in each of the account's months, through
    `end_date`.
    """

    grant_id: Id
    unit: Id
    quantity: GrantQuantity
    valid_from: Instant | None = None
    valid_to: Instant | None = None
    backdated: bool = False
    scope: Scope = EVERYTHING
    priority: Priority = 100
    source: Literal["manual", "adjustment", "opening_balance"] = "manual"
    paid: bool = False
    member_id: Id | None = None
    actor: Text
    reason: Text
    reference: Text | None = None
    recurrence: Literal["once", "monthly"] = "once"
    end_date: LocalDate | None = None

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        if self.recurrence == "monthly" and self.valid_to is not None:
            raise PydanticCustomError("end_of_monthly", "what recurs ends on its end_date")
        if self.recurrence == "once" and self.end_date is not None:
            raise PydanticCustomError("end_of_once", "what is given once ends at its valid_to")
        if self.valid_from and self.valid_to and self.valid_to <= self.valid_from:
            raise PydanticCustomError("ends_before_start", "a grant ends after it starts")
        return self


class CreditPackPurchased(AccountEvent):
    """`credit-pack-purchased`: a pack that counts from its purchase once that is approved.

    The lifetime is in whole local days from `starts_on`, or else from the day of the purchase. With
    a rollover and no lifetime the pack's own end is that of the billing period it begins in.
    """

    pack_id: Id
    unit: Id
    quantity: GrantQuantity
    lifetime: Span | None = None
    starts_on: LocalDate | None = None
    price: Money | None = None
    sold_via: Literal["point_of_sale", "online", "licence", "charge_sheet"]
    licence: Text | None = None
    scope: Scope = EVERYTHING
    priority: Priority = 100
    member_id: Id | None = None
    rollover: Rollover | None = None


class CreditPackApproved(AccountEvent):
    """`credit-pack-approved`: the invoice or charge sheet that a pack's purchase stands on."""

    pack_id: Id
    document: Literal["invoice", "charge_sheet"]
    reference: Text


class GrantRemoved(AccountEvent):
    """`grant-removed`: a grant taken back, by a quantity of its unit or else whole."""

    grant_id: LongId
    unit: Id | None = None
    quantity: Annotated[Quantity, AfterValidator(require_positive)] | None = None
    actor: Text
    reason: Text

    @model_validator(mode="after")
    def _check_unit(self) -> Self:
        if self.quantity is not None and self.unit is None:
            raise PydanticCustomError("unit_missing", "a quantity is of a unit")
        return self


ReceivedData = (
    AccountState
    | AccountOpened
    | BookingState
    | BookingCancelled
    | BookingStarted
    | BillingPlanRenewed
    | CreditsGranted
    | CreditPackPurchased
    | CreditPackApproved
    | GrantRemoved
)

RECEIVED: Final[Mapping[str, type[ReceivedData]]] = MappingProxyType(
    {
        "account-opened": AccountOpened,
        "account-changed": AccountState,
        "booking-created": BookingState,
        "booking-updated": BookingState,
        "booking-cancelled": BookingCancelled,
        "booking-started": BookingStarted,
        "billing-plan-renewed": BillingPlanRenewed,
        "credits-granted": CreditsGranted,
        "credit-pack-purchased": CreditPackPurchased,
        "credit-pack-approved": CreditPackApproved,
        "grant-removed": GrantRemoved,
    }
)
"""The data of each event type that the service reads."""
