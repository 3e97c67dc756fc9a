"""Arrivals: facts with the events that would have told them, and how they are posted."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any, TypeAlias

import pytest

from booking_credits.clock.clock import close, tick
from booking_credits.inbox.reading import read_fact, read_record
from booking_credits.ledger.allotments import Allotment, StandingAllotment
from booking_credits.ledger.closing import Closing
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    BookingStarted,
    CreditsGranted,
    Fact,
    GrantFact,
    GrantRemoved,
    Line,
    Money,
    PackApproved,
    PackPurchased,
    PeriodClosed,
    PlanRenewed,
    Scope,
    TimePassed,
)
from booking_credits.ledger.policies import PolicyBook
from booking_credits.outbox.rendering import render
from booking_credits.postgres.kept_records import VALUES_KEPT
from booking_credits.postgres.pool import open_pool
from booking_credits.posting import appending, part
from booking_credits.posting.batch import Arrival, Batch, Origin
from booking_credits.posting.post import Poster
from booking_credits_contracts import write_headers
from builders import ACCOUNT, UNITS, a_book, at

SOURCE = "/tests"
RECORDED_AT = at("2026-04-01 12:00")

Json: TypeAlias = dict[str, Any]


def arrival(
    fact: Fact,
    account_id: str = ACCOUNT,
    *,
    event_id: str | None = None,
    recorded_at: datetime = RECORDED_AT,
) -> Arrival:
    """Let a fact of an account arrive; the same fact comes by the same event unless it is named."""
    if isinstance(fact, TimePassed):
        return tick(account_id, fact.occurred_at, recorded_at)
    if isinstance(fact, PeriodClosed):
        closing = Closing(fact.ends_at, fact.period_start, fact.ends_at, fact.occurred_at)
        return close(account_id, closing, recorded_at)
    origin = record_of(fact, account_id, event_id=event_id)
    made = read_record(origin, a_book(), recorded_at)
    assert isinstance(made, Arrival), made
    return replace(made, origin=None)


def record_of(fact: Fact, account_id: str = ACCOUNT, *, event_id: str | None = None) -> Origin:
    """Write the record by which Kafka would bring a fact."""
    event_type, data = _event(fact)
    value = json.dumps({"account_id": account_id, **data}).encode()
    content = f"{event_type}\n{fact.occurred_at}\n".encode() + value
    headers = write_headers(
        id=event_id or sha256(content).hexdigest()[:24],
        source=SOURCE,
        type=event_type,
        time=fact.occurred_at,
    )
    return Origin("facts", 0, 0, fact.occurred_at, account_id.encode(), value, tuple(headers))


def arrivals(facts: Iterable[Fact], account_id: str = ACCOUNT) -> list[Arrival]:
    """Let facts of an account arrive, in their order."""
    return [arrival(fact, account_id) for fact in facts]


@asynccontextmanager
async def a_poster(
    dsn: str, book: PolicyBook | None = None, *, values_kept: int = VALUES_KEPT
) -> AsyncIterator[Poster]:
    """Post to a database as the service does, with a single connection."""
    book = book or a_book()
    pool = await open_pool(dsn, application_name="tests", max_size=1)
    try:
        read = partial(read_fact, book=book)
        yield Poster(pool, book, read_fact=read, render=render, values_kept=values_kept)
    finally:
        await pool.close()


@contextmanager
def appending_after(facts: int) -> Iterator[None]:
    """Give the database what was settled after so many facts, which usually are many more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appending, "_FACTS_AT_ONCE", facts)
        patch.setattr(appending, "_TURN_SECONDS", 0.0)
        patch.setattr(part, "_ANNOUNCEMENTS_AT_ONCE", min(facts, part._ANNOUNCEMENTS_AT_ONCE))
        yield


async def post(dsn: str, facts: Iterable[Fact], account_id: str = ACCOUNT) -> None:
    """Post facts of an account that nothing speaks against, in one batch."""
    async with a_poster(dsn) as poster:
        posted = await poster.post(Batch(tuple(arrivals(facts, account_id))))
    assert [] == posted.dead_letters


def as_published(fact: Fact) -> Fact:
    """Say what a publisher or the clock can: versions count from 1, and no window is empty."""
    match fact:
        case TimePassed():
            return replace(fact, noticed_at=RECORDED_AT)
        case PlanRenewed():
            return replace(fact, version=fact.version + 1)
        case CreditsGranted(valid_from=datetime() as start, valid_to=datetime() as end):
            return replace(fact, valid_to=end if start < end else None)
        case _:
            return fact


def _event(fact: Fact) -> tuple[str, Json]:
    match fact:
        case BookingRevised(lines=()):
            return "booking-cancelled", _revision(fact)
        case BookingRevised():
            event_type = "booking-created" if fact.revision == 1 else "booking-updated"
            return event_type, _booking(fact)
        case BookingStarted():
            return "booking-started", {"booking_id": fact.booking_id, "line": fact.line_no}
        case AccountDescribed():
            return "account-opened", _description(fact)
        case TimePassed() | PeriodClosed():
            raise TypeError("the clock publishes nothing")
        case _:
            return _grant_event(fact)


def _grant_event(fact: GrantFact) -> tuple[str, Json]:
    match fact:
        case PlanRenewed():
            return "billing-plan-renewed", _renewal(fact)
        case CreditsGranted():
            return "credits-granted", _grant(fact)
        case PackPurchased():
            return "credit-pack-purchased", _pack(fact)
        case PackApproved():
            approval = {"document": fact.document, "reference": fact.reference}
            return "credit-pack-approved", {"pack_id": fact.pack_id, **approval}
        case GrantRemoved():
            return "grant-removed", _removal(fact)


def _revision(fact: BookingRevised) -> Json:
    correction = fact.correction
    return {
        "booking_id": fact.booking_id,
        "revision": fact.revision,
        "correction": correction and {"actor": correction.actor, "reason": correction.reason},
    }


def _booking(fact: BookingRevised) -> Json:
    return {
        **_revision(fact),
        "booked_at": _instant(fact.booked_at),
        "fallback": fact.fallback,
        "lines": [_line(line) for line in fact.lines],
    }


def _line(line: Line) -> Json:
    return {
        "line": line.line_no,
        "starts_at": _instant(line.starts_at),
        "ends_at": _instant(line.ends_at),
        "resource": line.resource,
        "location": line.location,
        "product_group": line.product_group,
        "costs": {unit: _decimal(cost, unit) for unit, cost in line.costs},
        "price": _money(line.price),
        "payable_by_credits": line.payable_by_credits,
        "discounted": line.discounted,
        "online_plan": line.online_plan,
    }


def _renewal(fact: PlanRenewed) -> Json:
    return {
        "plan": fact.plan,
        "period_start": fact.period_start.isoformat(),
        "period_end": fact.period_end and fact.period_end.isoformat(),
        "version": fact.version,
        "allotments": [
            {
                "plan_line": allotment.plan_line,
                "unit": allotment.unit,
                "quantity": _granted(allotment.quantity, allotment.unit),
                "scope": _scope(allotment.scope),
                "priority": allotment.priority,
                "rollover": _rollover(allotment),
            }
            for allotment in fact.allotments
        ],
    }


def _grant(fact: CreditsGranted) -> Json:
    return {
        "grant_id": fact.grant_id,
        "unit": fact.unit,
        "quantity": _granted(fact.quantity, fact.unit),
        "valid_from": _instant(fact.valid_from),
        "valid_to": _instant(fact.valid_to),
        "backdated": fact.backdated,
        "scope": _scope(fact.scope),
        "priority": fact.priority,
        "source": fact.source,
        "paid": fact.paid,
        "member_id": fact.member_id,
        "actor": fact.actor,
        "reason": fact.reason,
        "reference": fact.reference,
        "recurrence": fact.recurrence,
        "end_date": fact.end_date and fact.end_date.isoformat(),
    }


def _removal(fact: GrantRemoved) -> Json:
    unit, quantity = fact.unit, fact.quantity
    return {
        "grant_id": fact.grant_id,
        "unit": unit,
        "quantity": None if quantity is None or unit is None else _granted(quantity, unit),
        "actor": fact.actor,
        "reason": fact.reason,
    }


def _rollover(allotment: Allotment | PackPurchased | StandingAllotment) -> Json | None:
    if allotment.rollover is None:
        return None
    span, cap = allotment.rollover.span, allotment.rollover.cap
    quantity = None if cap is None else _granted(cap, allotment.unit)
    return {"count": span.count, "unit": span.unit, "cap": quantity}


def _pack(fact: PackPurchased) -> Json:
    span, starts_on = fact.lifetime, fact.starts_on
    return {
        "pack_id": fact.pack_id,
        "unit": fact.unit,
        "quantity": _granted(fact.quantity, fact.unit),
        "lifetime": span and {"count": span.count, "unit": span.unit},
        "starts_on": starts_on and starts_on.isoformat(),
        "price": _money(fact.price),
        "sold_via": fact.sold_via,
        "licence": fact.licence,
        "scope": _scope(fact.scope),
        "priority": fact.priority,
        "member_id": fact.member_id,
        "rollover": _rollover(fact),
    }


def _money(money: Money | None) -> Json | None:
    if money is None:
        return None
    return {"amount_minor": money.amount_minor, "currency": money.currency}


def _description(fact: AccountDescribed) -> Json:
    return {
        "from_date": fact.from_date.isoformat(),
        "location": fact.location,
        "zone": fact.zone,
        "cycle": fact.cycle,
        "anchor_date": fact.anchor_date.isoformat(),
        "policy": fact.policy,
        "on_account": fact.on_account,
        "allotments": [_standing_allotment(allotment) for allotment in fact.allotments],
        "opening_balance": [
            {
                "unit": balance.unit,
                "quantity": _decimal(balance.quantity, balance.unit),
                "scope": _scope(balance.scope),
                "valid_to": _instant(balance.valid_to),
            }
            for balance in fact.opening_balance
        ],
    }


def _standing_allotment(allotment: StandingAllotment) -> Json:
    plan, plan_line = allotment.plan_line or (None, None)
    return {
        "name": allotment.name,
        "unit": allotment.unit,
        "quantity": _granted(allotment.quantity, allotment.unit),
        "scope": _scope(allotment.scope),
        "priority": allotment.priority,
        "plan": plan,
        "plan_line": plan_line,
        "rollover": _rollover(allotment),
    }


def _scope(scope: Scope) -> Json:
    dimensions = ("resources", "product_groups", "locations")
    return {name: list(getattr(scope, name)) for name in dimensions if getattr(scope, name)}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _granted(steps: int | None, unit: str) -> str:
    return "unlimited" if steps is None else _decimal(steps, unit)


def _decimal(steps: int, unit: str) -> str:
    scale = next(known.scale for known in UNITS if known.name == unit)
    return f"{Decimal(steps).scaleb(-scale):f}"
