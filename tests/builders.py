"""Builders: facts about Mina's company and her colleagues' meetings, readable where it matters.

Everything has a usual value, so a test names only what it is about. Instants are given as text,
"2026-03-10 10:00" in UTC, or as datetimes; dates likewise. Units are `coin` (money, cents),
`minute` (time) and `credit` (count); the three policies are `coins`, `tenant` and `packs`.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.allotments import Allotment, OpeningBalance, StandingAllotment
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    BookingStarted,
    Correction,
    CreditsGranted,
    Cycle,
    Fact,
    Fallback,
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
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import DefaultTerms, Policy, PolicyBook, Unit
from booking_credits.ledger.settlement import settle

ACCOUNT = "mina-and-sons"
COIN_COSTS: Mapping[str, int] = {"coin": 1000}
ANYWHERE = Scope()

UNITS = (Unit("coin", "money", 2), Unit("minute", "time", 0), Unit("credit", "count", 0))

COINS = Policy(
    name="coins",
    from_at=None,
    draw_on="booking",
    unit_order=("time", "count", "money"),
    grant_order="expiry_first",
    overage_due="start",
    channel="invoice",
    one_time_months=12,
    excluded_product_groups=frozenset(),
    discounts_combine=True,
    removal_in_use="refuse",
)
TENANT = Policy(
    name="tenant",
    from_at=None,
    draw_on="completion",
    unit_order=("time", "count", "money"),
    grant_order="expiry_first",
    overage_due="cycle_end",
    channel="invoice",
    one_time_months=None,
    excluded_product_groups=frozenset(),
    discounts_combine=True,
)
PACKS = Policy(
    name="packs",
    from_at=None,
    draw_on="start",
    unit_order=("time", "count", "money"),
    grant_order="expiry_first",
    overage_due="start",
    channel="invoice",
    one_time_months=None,
    excluded_product_groups=frozenset({"catering"}),
    discounts_combine=False,
)


def at(text: str, zone: str = "UTC") -> datetime:
    """Read "2026-03-10 10:00" in a zone as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def on(text: str) -> date:
    """Read "2026-03-10" as a date."""
    return date.fromisoformat(text)


def a_book(
    *policies: Policy,
    policy: str = "coins",
    zone: str = "UTC",
    cycle: Cycle = "month",
    anchor: str = "2026-01-01",
    locations: Mapping[str, str] | None = None,
) -> PolicyBook:
    """Build a book of the given policies (usually the three), and what accounts live by."""
    versions: dict[str, tuple[Policy, ...]] = {}
    for version in policies or (COINS, TENANT, PACKS):
        versions[version.name] = (*versions.get(version.name, ()), version)
    return PolicyBook(
        units={unit.name: unit for unit in UNITS},
        policies=versions,
        locations=dict(locations or {}),
        default=DefaultTerms(policy, zone, cycle, on(anchor)),
    )


def a_line(
    line_no: int = 1,
    *,
    starts: datetime | str = "2026-03-10 10:00",
    minutes: int = 60,
    costs: Mapping[str, int] = COIN_COSTS,
    price: int | None = 1000,
    currency: str = "EUR",
    resource: str = "fishbowl",
    location: str | None = "harbour",
    product_group: str | None = "rooms",
    payable_by_credits: bool = True,
    discounted: bool = False,
    online_plan: bool = False,
) -> Line:
    """Book the fishbowl at the harbour for an hour, for ten coins or ten euros."""
    starts_at = _instant(starts)
    return Line(
        line_no=line_no,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=minutes),
        resource=resource,
        location=location,
        product_group=product_group,
        costs=tuple(sorted(costs.items())),
        price=None if price is None else Money(price, currency),
        payable_by_credits=payable_by_credits,
        discounted=discounted,
        online_plan=online_plan,
    )


def a_booking(
    booking_id: str = "standup",
    *lines: Line,
    revision: int = 1,
    occurred: datetime | str = "2026-03-01 09:00",
    booked: datetime | str | None = None,
    fallback: Fallback | None = None,
    corrected_by: str | None = None,
) -> BookingRevised:
    """Make or revise a booking; without lines it has the usual one."""
    occurred_at = _instant(occurred)
    return BookingRevised(
        booking_id=booking_id,
        revision=revision,
        occurred_at=occurred_at,
        booked_at=occurred_at if booked is None else _instant(booked),
        lines=lines or (a_line(),),
        fallback=fallback,
        correction=None if corrected_by is None else Correction(corrected_by, "made free"),
    )


def a_cancellation(
    booking_id: str = "standup",
    *,
    revision: int = 2,
    occurred: datetime | str = "2026-03-02 09:00",
    corrected_by: str | None = None,
) -> BookingRevised:
    """Cancel a booking."""
    correction = None if corrected_by is None else Correction(corrected_by, "cancelled by staff")
    return BookingRevised(booking_id, revision, _instant(occurred), None, (), None, correction)


def a_start(
    booking_id: str = "standup",
    *,
    occurred: datetime | str = "2026-03-10 09:50",
    line_no: int | None = None,
) -> BookingStarted:
    """Begin to use a booking, or one line of it."""
    return BookingStarted(booking_id, line_no, _instant(occurred))


def a_grant(
    grant_id: str = "welcome",
    quantity: int | None = 5000,
    *,
    unit: str = "coin",
    granted: datetime | str = "2026-01-01 00:00",
    valid_from: datetime | str | None = None,
    valid_to: datetime | str | None = None,
    backdated: bool = False,
    scope: Scope = ANYWHERE,
    priority: int = 100,
    source: str = "manual",
    paid: bool = False,
    member: str | None = None,
    monthly: bool = False,
    ends_on: str | None = None,
) -> CreditsGranted:
    """Give fifty coins by hand, for use anywhere."""
    return CreditsGranted(
        grant_id=grant_id,
        unit=unit,
        quantity=quantity,
        occurred_at=_instant(granted),
        valid_from=None if valid_from is None else _instant(valid_from),
        valid_to=None if valid_to is None else _instant(valid_to),
        backdated=backdated,
        scope=scope,
        priority=priority,
        source=source,
        paid=paid,
        member_id=member,
        actor="petra",
        reason="welcome",
        recurrence="monthly" if monthly else "once",
        end_date=None if ends_on is None else on(ends_on),
    )


def a_pack(
    pack_id: str = "pack",
    quantity: int | None = 5,
    *,
    unit: str = "credit",
    bought: datetime | str = "2026-03-01 09:00",
    lifetime: Span | None = None,
    starts_on: str | None = None,
    scope: Scope = ANYWHERE,
    priority: int = 100,
    price: int | None = None,
    rollover: Rollover | None = None,
) -> PackPurchased:
    """Buy a free pack of five credits that never ends."""
    return PackPurchased(
        pack_id=pack_id,
        unit=unit,
        quantity=quantity,
        occurred_at=_instant(bought),
        lifetime=lifetime,
        starts_on=None if starts_on is None else on(starts_on),
        scope=scope,
        priority=priority,
        price=None if price is None else Money(price, "EUR"),
        rollover=rollover,
    )


def an_approval(
    pack_id: str = "pack", *, occurred: datetime | str = "2026-03-02 09:00"
) -> PackApproved:
    """Put a pack on an invoice."""
    return PackApproved(pack_id, "invoice", "inv-1", _instant(occurred))


def a_removal(
    grant_id: str = "g1",
    quantity: int | None = None,
    *,
    unit: str | None = None,
    occurred: datetime | str = "2026-03-05 09:00",
    by: str = "petra",
) -> GrantRemoved:
    """Remove a grant, whole unless a quantity is said."""
    return GrantRemoved(grant_id, unit, quantity, _instant(occurred), by, "given by mistake")


def an_allotment(
    quantity: int | None = 5000,
    *,
    plan_line: str = "base",
    unit: str = "coin",
    scope: Scope = ANYWHERE,
    priority: int = 100,
    rollover: Rollover | None = None,
) -> Allotment:
    """Allot fifty coins of a plan."""
    return Allotment(plan_line, unit, quantity, scope, priority, rollover)


def a_renewal(
    *allotments: Allotment,
    plan: str = "hot-desk",
    period: str = "2026-03-01",
    ends: str | None = None,
    version: int = 1,
    occurred: datetime | str = "2026-03-01 00:00",
) -> PlanRenewed:
    """Renew a plan for a period; without allotments it has the usual one."""
    return PlanRenewed(
        plan=plan,
        period_start=on(period),
        period_end=None if ends is None else on(ends),
        version=version,
        allotments=allotments or (an_allotment(),),
        occurred_at=_instant(occurred),
    )


def an_account(
    *,
    since: str = "2026-01-01",
    zone: str = "UTC",
    cycle: Cycle = "month",
    anchor: str = "2026-01-01",
    policy: str | None = None,
    location: str | None = "harbour",
    on_account: bool = False,
    allotments: Iterable[StandingAllotment] = (),
    brings: Iterable[OpeningBalance] = (),
    occurred: datetime | str = "2026-01-01 00:00",
) -> AccountDescribed:
    """Open or change the account."""
    return AccountDescribed(
        from_date=on(since),
        zone=zone,
        cycle=cycle,
        anchor_date=on(anchor),
        policy=policy,
        location=location,
        on_account=on_account,
        occurred_at=_instant(occurred),
        allotments=tuple(allotments),
        opening_balance=tuple(brings),
    )


def a_standing_allotment(
    quantity: int | None = 500,
    *,
    name: str = "allowance",
    unit: str = "credit",
    scope: Scope = ANYWHERE,
    priority: int = 100,
    plan_line: tuple[str, str] | None = None,
    rollover: Rollover | None = None,
) -> StandingAllotment:
    """Allot five hundred credits a period."""
    return StandingAllotment(name, unit, quantity, scope, priority, plan_line, rollover)


def time_passed(instant: datetime | str) -> TimePassed:
    """Let the account's present be an instant."""
    return TimePassed(_instant(instant))


def a_closing(ends: datetime | str) -> PeriodClosed:
    """Close the period that ends at an instant, three days later."""
    ends_at = _instant(ends)
    return PeriodClosed((ends_at - timedelta(days=1)).date(), ends_at, ends_at + timedelta(days=3))


def a_record(*facts: Fact, book: PolicyBook | None = None) -> AccountRecord:
    """Put facts on record, one after the other."""
    record = AccountRecord(ACCOUNT, book or a_book())
    post(record, facts)
    return record


def post(
    record: AccountRecord, facts: Iterable[Fact], *, is_answered: bool = False
) -> list[Outcome]:
    """Settle the facts that are news, put them on record and return what each changed."""
    outcomes: list[Outcome] = []
    for fact in facts:
        if admit(record.facts_of(fact.subject), fact) == "accepted":
            outcomes.append(settle(record, fact, is_answered=is_answered))
            record.accept(outcomes[-1])
    return outcomes


def _instant(moment: datetime | str) -> datetime:
    return at(moment) if isinstance(moment, str) else moment
