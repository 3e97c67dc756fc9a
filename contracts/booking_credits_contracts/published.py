"""What the service publishes: the data of each event that others read.

Closed: these models hold exactly what the schemas list. A reader must still ignore fields and
tolerate values that it does not know, for later versions add some.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from booking_credits_contracts.identifiers import Id, LongId, Source
from booking_credits_contracts.quantities import (
    AMOUNT_MINOR_LIMIT,
    AmountMinor,
    Change,
    Costs,
    Currency,
    Money,
    Quantity,
    Total,
)
from booking_credits_contracts.received import LineNumber, Revision
from booking_credits_contracts.times import Instant

# Above this a JSON number is no longer exact in every language.
_EXACT_LIMIT: Final = 2**53 - 1

Ordinal = Annotated[int, Field(ge=1, le=_EXACT_LIMIT)]
Bucket = Literal["granted", "available", "held", "drawn", "expired", "removed"]
LineStatus = Literal["covered", "partly", "uncovered", "not_eligible"]
BookingStatus = Literal["covered", "partly", "uncovered", "not_eligible", "cancelled", "declined"]


class Published(BaseModel):
    """Part of an event that the service publishes: immutable, closed, strict on types."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class Cause(Published):
    """The fact that caused the event: its number in the account, and the event it came by."""

    fact: Ordinal
    type: Id
    source: Source
    id: LongId
    occurred_at: Instant


class LedgerEvent(Published):
    """What every published event says.

    `sequence` counts the account's events; `previous_sequence` is that of the event of the same
    type before it, 0 if there is none. A large event comes as `parts` messages.
    """

    account_id: Id
    sequence: Ordinal
    previous_sequence: Annotated[int, Field(ge=0, le=_EXACT_LIMIT)]
    part: Ordinal
    parts: Ordinal
    recorded_at: Instant
    cause: Cause

    @model_validator(mode="after")
    def _check_numbering(self) -> Self:
        if self.previous_sequence >= self.sequence:
            raise PydanticCustomError("previous_not_before", "sequence numbers grow")
        if self.part > self.parts:
            raise PydanticCustomError("part_after_last", "part is at most parts")
        return self


class Balance(Published):
    """An account's credits in one unit: granted is the sum of the five others.

    What an unlimited grant gave counts as granted once it is taken, and never as available.
    """

    granted: Total
    available: Total
    held: Total
    drawn: Total
    expired: Total
    removed: Total


class Entry(Published):
    """A quantity of one grant that moved from one bucket to another."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    entry: Ordinal
    grant_id: LongId
    from_bucket: Bucket = Field(validation_alias="from", serialization_alias="from")
    to_bucket: Bucket = Field(validation_alias="to", serialization_alias="to")
    quantity: Quantity
    booking_id: Id | None
    line: LineNumber | None


class BalanceChanged(LedgerEvent):
    """`balance-changed`: the `before` of each event is the `after` of the one before it."""

    unit: Id
    before: Balance
    after: Balance
    entries: tuple[Entry, ...]


class Refusal(Published):
    """Why a part is uncovered, with the grants that were refused for this reason."""

    reason: Literal[
        "no_grant",
        "unit_mismatch",
        "out_of_scope",
        "pending_approval",
        "not_yet_valid",
        "expired",
        "removed",
        "exhausted",
    ]
    grants: tuple[LongId, ...]


class BillingPeriod(Published):
    """The local dates `[start, end)` in `zone`."""

    start: date
    end: date
    zone: Annotated[str, Field(max_length=64)]


class OverageDetected(LedgerEvent):
    """`overage-detected`: one revision of the obligation to pay what credits did not cover.

    `total_minor` is owed after this revision and `change_minor` is the difference it made, both
    in the currency's minor unit; both and the currency are null where the line has no price.
    """

    obligation_id: UUID
    revision: Ordinal
    status: Literal["detected", "adjusted", "reversed", "unpriced"]
    booking_id: Id
    line: LineNumber
    billing_period: BillingPeriod
    channel: Literal["invoice", "card", "on_account"]
    currency: Currency | None
    change_minor: Annotated[int, Field(ge=-AMOUNT_MINOR_LIMIT, le=AMOUNT_MINOR_LIMIT)] | None
    total_minor: AmountMinor | None
    starts_at: Instant
    ends_at: Instant
    reasons: tuple[Refusal, ...]

    @model_validator(mode="after")
    def _check_price(self) -> Self:
        unpriced = self.currency is None
        if unpriced != (self.total_minor is None) or unpriced != (self.change_minor is None):
            raise PydanticCustomError("half_priced", "currency, total and change come together")
        allowed = {"unpriced", "reversed"} if unpriced else {"detected", "adjusted", "reversed"}
        if self.status not in allowed:
            raise PydanticCustomError("status_against_price", "unpriced means without a price")
        return self


class Take(Published):
    """What one grant pays."""

    grant_id: LongId
    unit: Id
    quantity: Quantity


class Cash(Money):
    """The price of what credits do not cover."""

    model_config = ConfigDict(extra="forbid")


class LineCoverage(Published):
    """How one line is paid; `state` says whether its draw point has passed.

    `uncovered` maps each unit to what is missing in it; `cash` is the price of that part.
    """

    line: LineNumber
    status: LineStatus
    state: Literal["held", "drawn"]
    costs: Costs
    takes: tuple[Take, ...]
    uncovered: Costs
    cash: Cash | None
    reasons: tuple[Refusal, ...]


class ShortLine(Published):
    """A line that a revision would have left short: what would be missing in each unit, and why."""

    booking_id: Id
    line: LineNumber
    uncovered: Costs
    reasons: tuple[Refusal, ...]


class CoverageDecided(LedgerEvent):
    """`coverage-decided`: how the booking's lines are paid now; a cancelled one has none.

    A declined revision changed nothing: the lines are those that stand without it, and
    `left_short` names those because of which it was declined, be they of this booking or others.
    """

    booking_id: Id
    revision: Revision
    status: BookingStatus
    lines: tuple[LineCoverage, ...]
    left_short: tuple[ShortLine, ...]


class LineInTheWay(Published):
    """A booking's line because of which a request was refused."""

    booking_id: Id
    line: LineNumber


class RequestRejected(LedgerEvent):
    """`request-rejected`: what the event named as cause asked for will not be done.

    Once nothing is in the way any more it may be asked for again, by another event.
    """

    request: Literal["grant_removal"]
    reason: Literal["grant_in_use"]
    grant_id: LongId
    in_the_way: tuple[LineInTheWay, ...]


class CreditsExpiring(LedgerEvent):
    """`credits-expiring`: what of a grant nobody has taken, some days before it is lost."""

    grant_id: LongId
    unit: Id
    quantity: Quantity
    expires_at: Instant


class StatedUnit(Published):
    """One unit in a period: what was neither used nor gone when it began, and when it ended.

    `opening + issued - drawn - expired - removed + adjusted` is `closing`.
    """

    unit: Id
    opening: Change
    issued: Change
    drawn: Change
    expired: Change
    removed: Change
    adjusted: Change
    closing: Change


class StatedOverage(Published):
    """What is owed for the period by a channel, and what changed of earlier ones meanwhile."""

    currency: Currency
    channel: Literal["invoice", "card", "on_account"]
    owed_minor: Annotated[int, Field(ge=-_EXACT_LIMIT, le=_EXACT_LIMIT)]
    adjusted_minor: Annotated[int, Field(ge=-_EXACT_LIMIT, le=_EXACT_LIMIT)]


class PeriodClosed(LedgerEvent):
    """`period-closed`: the statement of a period, which begins where the one before it ended."""

    billing_period: BillingPeriod
    units: tuple[StatedUnit, ...]
    overages: tuple[StatedOverage, ...]


PublishedData = (
    BalanceChanged
    | OverageDetected
    | CoverageDecided
    | RequestRejected
    | CreditsExpiring
    | PeriodClosed
)

PUBLISHED: Final[Mapping[str, type[PublishedData]]] = MappingProxyType(
    {
        "balance-changed": BalanceChanged,
        "overage-detected": OverageDetected,
        "coverage-decided": CoverageDecided,
        "request-rejected": RequestRejected,
        "credits-expiring": CreditsExpiring,
        "period-closed": PeriodClosed,
    }
)
"""The data of each event type that the service publishes."""
