"""Facts from JSON: what an event's data says, as the ledger knows it.

The data has kept its contract once, so that nothing is checked here but what depends on the
policies. Data on its way in and data on record are read by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from pydantic_core import from_json

from booking_credits.ledger.allotments import Allotment, OpeningBalance, StandingAllotment
from booking_credits.ledger.closing import closed_line_from
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    BookingStarted,
    Correction,
    CreditsGranted,
    Fact,
    GrantRemoved,
    Line,
    Money,
    PackApproved,
    PackPurchased,
    PeriodClosed,
    PlanRenewed,
    Rollover,
    Scope,
    Span,
    TimePassed,
)
from booking_credits.ledger.policies import PolicyBook, Unit

Data: TypeAlias = dict[str, Any]
Reader: TypeAlias = Callable[[Data, datetime, PolicyBook], Fact]

# So that thousands of grants still add up within the database's integers.
STEPS_LIMIT: Final = 10**15

_EVERYTHING: Final = Scope()
_PERIODS: Final = ("plan/", "standing/", "allotment/", "opening/")
_instant: Final = datetime.fromisoformat


class FactError(Exception):
    """Well-formed data that the policies cannot take; names no value but units and policies."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the stable reason and what it is about."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def read_fact(type: str, occurred_at: datetime, payload: str, book: PolicyBook) -> Fact:  # noqa: A002
    """Read a fact from the data of an event that was admitted.

    Raises:
        FactError: the policies lack a unit or a policy that the data names.
    """
    return _READERS[type](from_json(payload), occurred_at, book)


def parse_steps(quantity: str, unit: str, book: PolicyBook) -> int:
    """Turn a decimal into steps of its unit.

    Raises:
        FactError: the unit is unknown, or the quantity too precise or too large for it.
    """
    known = book.units.get(unit)
    if known is None:
        raise FactError("unknown_unit", "a unit that the policies do not name")
    steps = _steps_of(quantity, known.scale)
    if steps is None:
        raise FactError("too_precise", f"{known.name} has {known.scale} decimals")
    return _limited(steps, known)


@lru_cache(maxsize=16_384)
def _steps_of(quantity: str, scale: int) -> int | None:
    """Turn a decimal into steps, of which a whole has ten to the scale; None: too precise."""
    whole, _, decimals = quantity.partition(".")
    kept = decimals.rstrip("0")
    return None if len(kept) > scale else int(whole + kept.ljust(scale, "0"))


def _limited(steps: int, unit: Unit) -> int:
    if steps > STEPS_LIMIT:
        raise FactError("out_of_range", f"over {STEPS_LIMIT} steps of {unit.name}")
    return steps


def _granted(quantity: str, unit: str, book: PolicyBook) -> int | None:
    if quantity != "unlimited":
        return parse_steps(quantity, unit, book)
    parse_steps("0", unit, book)
    return None


def _booking(data: Data, occurred_at: datetime, book: PolicyBook) -> BookingRevised:
    return BookingRevised(
        data["booking_id"],
        data["revision"],
        occurred_at,
        _instant(data["booked_at"]),
        tuple(_line(line, book) for line in data["lines"]),
        data.get("fallback"),
        _correction(data),
    )


def _cancellation(data: Data, occurred_at: datetime, _book: PolicyBook) -> BookingRevised:
    return BookingRevised(
        data["booking_id"], data["revision"], occurred_at, None, (), None, _correction(data)
    )


def _line(data: Data, book: PolicyBook) -> Line:
    price = _money(data.get("price"))
    return Line(
        data["line"],
        _instant(data["starts_at"]),
        _instant(data["ends_at"]),
        data["resource"],
        data.get("location"),
        data.get("product_group"),
        tuple(sorted(_costs(data.get("costs"), price, book))),
        price,
        data.get("payable_by_credits", True),
        data.get("discounted", False),
        data.get("online_plan", False),
    )


def _costs(
    costs: dict[str, str] | None, price: Money | None, book: PolicyBook
) -> Iterator[tuple[str, int]]:
    """Read what a line costs; where it does not say, its price in each money unit."""
    if costs is not None:
        for unit, cost in costs.items():
            yield unit, parse_steps(cost, unit, book)
    elif price is not None:
        for known in book.units.values():
            if known.kind == "money":
                yield known.name, _limited(known.cost_of(price), known)


def _correction(data: Data) -> Correction | None:
    correction = data.get("correction")
    return None if correction is None else Correction(correction["actor"], correction["reason"])


def _start(data: Data, occurred_at: datetime, _book: PolicyBook) -> BookingStarted:
    return BookingStarted(data["booking_id"], data.get("line"), occurred_at)


def _renewal(data: Data, occurred_at: datetime, book: PolicyBook) -> PlanRenewed:
    return PlanRenewed(
        data["plan"],
        date.fromisoformat(data["period_start"]),
        _date_or_none(data.get("period_end")),
        data.get("version", 1),
        tuple(
            Allotment(
                allotment["plan_line"],
                allotment["unit"],
                _granted(allotment["quantity"], allotment["unit"], book),
                _scope(allotment),
                allotment.get("priority", 100),
                _rollover(allotment, book),
            )
            for allotment in data["allotments"]
        ),
        occurred_at,
    )


def _grant(data: Data, occurred_at: datetime, book: PolicyBook) -> CreditsGranted:
    return CreditsGranted(
        _own_id(data["grant_id"]),
        data["unit"],
        _granted(data["quantity"], data["unit"], book),
        occurred_at,
        _instant_or_none(data.get("valid_from")),
        _instant_or_none(data.get("valid_to")),
        data.get("backdated", False),
        _scope(data),
        data.get("priority", 100),
        data.get("source", "manual"),
        data.get("paid", False),
        data.get("member_id"),
        data["actor"],
        data["reason"],
        data.get("reference"),
        data.get("recurrence", "once"),
        _date_or_none(data.get("end_date")),
    )


def _purchase(data: Data, occurred_at: datetime, book: PolicyBook) -> PackPurchased:
    return PackPurchased(
        _own_id(data["pack_id"]),
        data["unit"],
        _granted(data["quantity"], data["unit"], book),
        occurred_at,
        _span(data.get("lifetime")),
        _date_or_none(data.get("starts_on")),
        _scope(data),
        data.get("priority", 100),
        _money(data.get("price")),
        data["sold_via"],
        data.get("licence"),
        data.get("member_id"),
        _rollover(data, book),
    )


def _approval(data: Data, occurred_at: datetime, _book: PolicyBook) -> PackApproved:
    return PackApproved(_own_id(data["pack_id"]), data["document"], data["reference"], occurred_at)


def _removal(data: Data, occurred_at: datetime, book: PolicyBook) -> GrantRemoved:
    unit, quantity = data.get("unit"), data.get("quantity")
    steps = None if unit is None or quantity is None else parse_steps(quantity, unit, book)
    return GrantRemoved(
        data["grant_id"],
        unit,
        steps,
        occurred_at,
        data["actor"],
        data["reason"],
    )


def _rollover(data: Data, book: PolicyBook) -> Rollover | None:
    rollover = data.get("rollover")
    if rollover is None:
        return None
    cap = rollover.get("cap")
    span = Span(rollover["count"], rollover["unit"])
    return Rollover(span, None if cap is None else parse_steps(cap, data["unit"], book))


def _own_id(grant_id: str) -> str:
    if grant_id.startswith(_PERIODS):
        raise FactError("reserved_id", "an id begins as those of periods' grants do")
    return grant_id


def _money(data: Data | None) -> Money | None:
    return None if data is None else Money(data["amount_minor"], data["currency"])


def _span(data: Data | None) -> Span | None:
    return None if data is None else Span(data["count"], data["unit"])


def _scope(data: Data) -> Scope:
    scope = data.get("scope")
    if not scope:
        return _EVERYTHING
    dimensions = (scope.get(name) for name in ("resources", "product_groups", "locations"))
    return Scope(*(tuple(sorted(set(names or ()))) for names in dimensions))


def _account(data: Data, occurred_at: datetime, book: PolicyBook) -> AccountDescribed:
    policy = data.get("policy")
    if policy is not None and policy not in book.policies:
        raise FactError("unknown_policy", "a policy that the policies do not name")
    return AccountDescribed(
        date.fromisoformat(data["from_date"]),
        data["zone"],
        data["cycle"],
        date.fromisoformat(data["anchor_date"]),
        policy,
        data.get("location"),
        data.get("on_account", False),
        occurred_at,
        tuple(_standing_allotment(allotment, book) for allotment in data.get("allotments", ())),
        tuple(_opening_balance(balance, book) for balance in data.get("opening_balance", ())),
    )


def _opening_balance(data: Data, book: PolicyBook) -> OpeningBalance:
    return OpeningBalance(
        data["unit"],
        parse_steps(data["quantity"], data["unit"], book),
        _scope(data),
        _instant_or_none(data.get("valid_to")),
    )


def _standing_allotment(data: Data, book: PolicyBook) -> StandingAllotment:
    plan = data.get("plan")
    return StandingAllotment(
        data["name"],
        data["unit"],
        _granted(data["quantity"], data["unit"], book),
        _scope(data),
        data.get("priority", 100),
        None if plan is None else (plan, data["plan_line"]),
        _rollover(data, book),
    )


def _time(data: Data, occurred_at: datetime, _book: PolicyBook) -> TimePassed:
    return TimePassed(occurred_at, _instant_or_none(data.get("noticed_at")))


def _closing(data: Data, occurred_at: datetime, _book: PolicyBook) -> PeriodClosed:
    period_start, ends_at = date.fromisoformat(data["period_start"]), _instant(data["ends_at"])
    lines = tuple(closed_line_from(said, ends_at) for said in data.get("lines", ()))
    return PeriodClosed(period_start, ends_at, occurred_at, lines)


def _instant_or_none(text: str | None) -> datetime | None:
    return None if text is None else _instant(text)


def _date_or_none(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


_READERS: Final[Mapping[str, Reader]] = MappingProxyType(
    {
        "account-opened": _account,
        "account-changed": _account,
        "booking-created": _booking,
        "booking-updated": _booking,
        "booking-cancelled": _cancellation,
        "booking-started": _start,
        "billing-plan-renewed": _renewal,
        "credits-granted": _grant,
        "credit-pack-purchased": _purchase,
        "credit-pack-approved": _approval,
        "period-closed": _closing,
        "grant-removed": _removal,
        "time-passed": _time,
    }
)
