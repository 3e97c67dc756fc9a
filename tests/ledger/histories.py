"""Histories: generated facts of one account, in a world so small that they get in each other's way.

Services start within four days on a grid of eight hours; quantities and costs are a few steps.
So grants run out, lines displace one another, and many things happen at the same time.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from booking_credits.ledger.allotments import Allotment, OpeningBalance, StandingAllotment
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    CreditsGranted,
    Fact,
    Fallback,
    GrantRemoved,
    Line,
    PackPurchased,
    PlanRenewed,
    Rollover,
    Scope,
    Span,
)
from booking_credits.ledger.grants import plan_grant_id
from booking_credits.ledger.policies import PolicyBook
from builders import (
    COINS,
    PACKS,
    TENANT,
    a_book,
    a_booking,
    a_cancellation,
    a_closing,
    a_grant,
    a_line,
    a_pack,
    a_removal,
    a_renewal,
    a_standing_allotment,
    a_start,
    an_account,
    an_allotment,
    an_approval,
    at,
    time_passed,
)

GRID = timedelta(hours=8)
FIRST_START = at("2026-03-02 00:00")
FIRST_DAY = date(2026, 3, 2)
PLACES = 12  # Places on the grid at which a service may start.

_SCOPES = (
    Scope(),
    Scope(),
    Scope(),
    Scope(),
    Scope(resources=("fishbowl",)),
    Scope(resources=("fishbowl", "treehouse")),
    Scope(product_groups=("rooms",)),
    Scope(locations=("harbour",)),
)
_COSTS: tuple[dict[str, int], ...] = (
    {"coin": 3},
    {"coin": 4},
    {"coin": 9},
    {"coin": 6, "credit": 4},
    {"coin": 3, "credit": 7},
    {"coin": 7, "credit": 2},
    {"credit": 7},
    {"coin": 10, "credit": 3},
    {"coin": 7, "credit": 3, "minute": 5},
    {"coin": 2, "credit": 1, "minute": 3},
    {"coin": 0, "credit": 3},
    {"coin": 0},
    {},
)
_PRICES = (100, 100, 1000, 1, 0, None)
_LATER_COINS = replace(
    COINS, from_at=at("2026-03-03 08:00"), grant_order="specific_first", draw_on="start"
)
_LATER_PACKS = replace(
    PACKS,
    from_at=at("2026-03-04 00:00"),
    unit_order=("money", "count", "time"),
    grant_order="paid_last",
)
_COINS_ONLY = replace(COINS, shortfall="deny")
_LATER_TENANT = replace(TENANT, from_at=at("2026-03-03 00:00"), shortfall="deny", issue="month")
_MONTHLY_TENANT = replace(TENANT, issue="month")
_ON_ACCOUNT = replace(PACKS, shortfall="on_account")
IN_BOOKING_ORDER = a_book(policy="coins")
BOOKS: tuple[PolicyBook, ...] = (
    IN_BOOKING_ORDER,
    a_book(
        *(COINS, _MONTHLY_TENANT, PACKS),
        policy="tenant",
        cycle="quarter",
        zone="America/New_York",
        anchor="2026-01-05",
    ),
    a_book(
        replace(PACKS, expiry_notice_days=1),
        *(COINS, TENANT),
        policy="packs",
        zone="Asia/Kathmandu",
        anchor="2026-01-31",
    ),
    a_book(COINS, _LATER_COINS, TENANT, PACKS, _LATER_PACKS, locations={"mill": "tenant"}),
    a_book(
        *(COINS, _LATER_COINS, TENANT, PACKS, _LATER_PACKS),
        policy="packs",
        locations={"mill": "coins"},
        anchor="2026-01-05",
    ),
    a_book(_COINS_ONLY, TENANT, _LATER_TENANT, _ON_ACCOUNT, locations={"mill": "tenant"}),
    a_book(_COINS_ONLY, TENANT, _LATER_TENANT, _ON_ACCOUNT, policy="packs"),
)

books = st.sampled_from(BOOKS)
# Acts happen before the services, between them and after them.
_instants = st.integers(-6, PLACES + 6).map(lambda place: FIRST_START + place * GRID)
_starts = st.integers(0, PLACES - 1).map(lambda place: FIRST_START + place * GRID)
_closings = st.sets(
    st.integers(0, PLACES + 1).map(lambda place: FIRST_START + place * GRID),
    min_size=1,
    max_size=3,
)
_ends = st.integers(3, PLACES + 6).map(lambda place: FIRST_START + place * GRID)
_days = st.integers(-1, 4).map(lambda day: FIRST_DAY + timedelta(days=day))
_quantities = st.sampled_from((3, 5, 8, 8, 13, 20, 1, None))
_few, _some = st.sampled_from((1, 2, 2, 3, 4)), st.sampled_from((4, 6, 8))
_scopes = st.sampled_from(_SCOPES)
_priorities = st.sampled_from((100, 100, 100, 50))
# At times credits may not pay a line.
_marks: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    ({}, {}, {}, {}, {}, {}, {"discounted": True}, {"online_plan": True})
)
_ONE_DAY, _TWO_DAYS = Span(1, "days"), Span(2, "days")
_rollovers = st.sampled_from(
    (None, None, None, Rollover(_ONE_DAY, 3), Rollover(_TWO_DAYS, 1), Rollover(_ONE_DAY, None))
)
_capped = st.sampled_from((Rollover(_TWO_DAYS, 2), Rollover(_TWO_DAYS, 3)))
_units = st.sampled_from(("coin", "coin", "credit", "credit", "minute"))


@st.composite
def _lines(draw: st.DrawFn, line_no: int) -> Line:
    return a_line(
        line_no,
        starts=draw(_starts),
        minutes=draw(st.sampled_from((60, 480))),
        costs=draw(st.sampled_from(_COSTS)),
        price=draw(st.sampled_from(_PRICES)),
        resource=draw(st.sampled_from(("fishbowl", "treehouse"))),
        location=draw(st.sampled_from(("harbour", "mill", None))),
        product_group=draw(st.sampled_from(("rooms", "rooms", "rooms", "desks", "catering"))),
        **draw(_marks),
    )


@st.composite
def _revised(draw: st.DrawFn, line: Line) -> Line | None:
    """Keep, move, enlarge, cheapen, reprice or drop a line."""
    act = draw(st.sampled_from(("keep", "move", "enlarge", "cheapen", "reprice", "drop")))
    if act == "drop":
        return None
    if act == "move":
        starts_at = draw(_starts)
        return replace(line, starts_at=starts_at, ends_at=starts_at + timedelta(hours=1))
    if act == "enlarge":
        return replace(line, costs=tuple((unit, cost + 4) for unit, cost in line.costs))
    if act == "cheapen":
        return replace(line, costs=tuple((unit, cost // 3) for unit, cost in line.costs))
    if act == "reprice":
        return replace(line, price=a_line(price=draw(st.sampled_from(_PRICES))).price)
    return line


@st.composite
def _bookings(draw: st.DrawFn, booking_id: str) -> list[Fact]:
    """Make a booking, revise it, cancel it, bring it back and start it."""
    lines = [draw(_lines(number)) for number in range(1, 1 + draw(st.integers(1, 3)))]
    booked = draw(_instants)
    fallback = draw(_fallbacks)
    facts: list[Fact] = [a_booking(booking_id, *lines, occurred=booked, fallback=fallback)]
    for revision in range(2, 2 + draw(st.integers(0, 3))):
        occurred = draw(_instants)
        by = draw(st.sampled_from((None, None, "petra")))
        kept = [after for line in lines if (after := draw(_revised(line))) is not None]
        if len(kept) < 3 and draw(st.booleans()):
            free = min({1, 2, 3} - {line.line_no for line in kept})
            kept.append(draw(_lines(free)))
        if kept:
            lines = kept
            facts.append(
                a_booking(
                    booking_id,
                    *lines,
                    revision=revision,
                    occurred=occurred,
                    booked=booked,
                    corrected_by=by,
                )
            )
        else:
            facts.append(
                a_cancellation(booking_id, revision=revision, occurred=occurred, corrected_by=by)
            )
    for _ in range(draw(st.integers(0, 1))):
        line_no = draw(st.sampled_from((None, 1, 2)))
        facts.append(a_start(booking_id, occurred=draw(_instants), line_no=line_no))
    return facts


@st.composite
def _plain_bookings(draw: st.DrawFn, booking_id: str) -> list[Fact]:
    """Book one line or two that coins may pay, and at times move or cancel them."""
    booked = draw(_instants)
    facts: list[Fact] = []
    for revision in range(1, 2 + draw(st.sampled_from((0, 0, 1, 1, 2)))):
        lines = [
            a_line(number, starts=draw(_starts), costs={"coin": draw(_few)})
            for number in range(1, 1 + draw(st.integers(0 if revision > 1 else 1, 2)))
        ]
        occurred = booked + (revision - 1) * GRID
        if lines:
            facts.append(
                a_booking(booking_id, *lines, revision=revision, occurred=occurred, booked=booked)
            )
        else:
            facts.append(a_cancellation(booking_id, revision=revision, occurred=occurred))
    return facts


@st.composite
def _grants(draw: st.DrawFn, grant_id: str) -> CreditsGranted:
    """Give credits by hand, for a window or from now on, at times backdated."""
    return a_grant(
        grant_id,
        draw(_quantities),
        unit=draw(_units),
        granted=draw(_instants),
        valid_from=draw(st.sampled_from((FIRST_START, None)) | _instants),
        valid_to=draw(st.none() | _ends),
        backdated=draw(st.sampled_from((True, True, False))),
        scope=draw(_scopes),
        priority=draw(_priorities),
        paid=draw(st.booleans()),
    )


@st.composite
def _packs(draw: st.DrawFn, pack_id: str) -> list[Fact]:
    """Buy a pack, now or for later, and approve it or leave it pending."""
    starts_on = draw(st.none() | _days)
    pack = a_pack(
        pack_id,
        draw(_quantities),
        unit=draw(_units),
        bought=draw(_instants),
        lifetime=draw(_lifetimes),
        starts_on=None if starts_on is None else starts_on.isoformat(),
        scope=draw(_scopes),
        priority=draw(_priorities),
        price=draw(st.sampled_from((None, 0, 500))),
        rollover=draw(_rollovers),
    )
    approvals = [an_approval(pack_id, occurred=at) for at in draw(_approved)]
    return [pack, *approvals]


@st.composite
def _allotments(draw: st.DrawFn, plan_line: str, unit: str) -> Allotment:
    return an_allotment(
        draw(_quantities),
        plan_line=plan_line,
        unit=unit,
        scope=draw(_scopes),
        priority=draw(_priorities),
        rollover=draw(_rollovers),
    )


@st.composite
def _removals(draw: st.DrawFn, units: dict[str, str]) -> list[Fact]:
    """Take back some of the grants, one of them perhaps twice; `units` are the grants'."""
    removals: list[Fact] = []
    for _ in range(draw(st.sampled_from((0, 0, 1, 2, 3)))):
        grant_id = draw(st.sampled_from(sorted(units)))
        quantity = draw(st.sampled_from((None, 1, 2, 5, 8)))
        unit = None if quantity is None else units[grant_id]
        removals.append(a_removal(grant_id, quantity, unit=unit, occurred=draw(_instants)))
    return removals


@st.composite
def _renewals(draw: st.DrawFn, plan: str) -> list[PlanRenewed]:
    """Renew a plan for a period in one or more versions, in windows that may overlap."""
    period = draw(_days)
    unit = draw(_units)
    renewals: list[PlanRenewed] = []
    for version in range(draw(st.integers(1, 3))):
        days = draw(st.sampled_from((None, None, 1, 2, 3)))
        renewals.append(
            a_renewal(
                *[draw(_allotments(name, unit)) for name in draw(_plan_lines)],
                plan=plan,
                period=period.isoformat(),
                ends=None if days is None else (period + timedelta(days=days)).isoformat(),
                version=version,
                occurred=draw(_instants),
            )
        )
    return renewals


_lifetimes = st.sampled_from((None, Span(2, "days"), Span(3, "days"), Span(1, "months")))
_approved = st.lists(_instants, max_size=2)
_fallbacks: st.SearchStrategy[Fallback | None] = st.sampled_from(
    (None, None, "card", "deny", "deny", "on_account")
)
_plan_lines = st.sampled_from((("base",), ("base",), ("base", "extra"), ("extra",)))


@st.composite
def _standing_allotment(draw: st.DrawFn, name: str) -> StandingAllotment:
    return a_standing_allotment(
        draw(_quantities),
        name=name,
        unit=draw(_units),
        scope=draw(_scopes),
        priority=draw(_priorities),
        plan_line=draw(st.sampled_from((None, ("p0", "base")))),
        rollover=draw(_rollovers),
    )


_standing_allotments = st.one_of(
    st.just(()),
    st.tuples(_standing_allotment("allowance")),
    st.tuples(_standing_allotment("allowance"), _standing_allotment("extra")),
)


_opening_balances = st.lists(
    st.builds(OpeningBalance, _units, st.sampled_from((2, 9)), _scopes, st.none() | _ends),
    max_size=2,
    unique_by=lambda balance: balance.unit,
)


@st.composite
def _monthly_grants(draw: st.DrawFn, grant_id: str) -> CreditsGranted:
    """Give credits for every month, for some months back or from now on, at times with an end."""
    ends_on = draw(st.none() | st.none() | _days)
    return a_grant(
        grant_id,
        draw(_quantities),
        unit=draw(_units),
        granted=draw(_instants),
        valid_from=draw(st.sampled_from((at("2026-01-10 00:00"), None)) | _instants),
        backdated=draw(st.sampled_from((True, True, False))),
        scope=draw(_scopes),
        priority=draw(_priorities),
        monthly=True,
        ends_on=None if ends_on is None else ends_on.isoformat(),
    )


@st.composite
def _descriptions(draw: st.DrawFn) -> AccountDescribed:
    return an_account(
        since=draw(_days).isoformat(),
        zone=draw(st.sampled_from(("UTC", "America/New_York", "Asia/Kathmandu"))),
        cycle=draw(st.sampled_from(("month", "quarter", "year"))),
        anchor=draw(
            st.sampled_from(("2026-01-01", "2026-01-31", "2026-01-04", "2026-01-05", "2026-03-05"))
        ),
        policy=draw(st.sampled_from((None, "coins", "tenant", "packs"))),
        on_account=draw(st.booleans()),
        allotments=draw(_standing_allotments),
        brings=draw(_opening_balances),
        occurred=draw(_instants),
    )


def _units_of(facts: list[Fact]) -> dict[str, str]:
    """Find the units of the grants that facts give, sell or renew."""
    units = {f"allotment/allowance/{unit}/2026-03-05": unit for unit in ("coin", "credit")}
    for fact in facts:
        if isinstance(fact, CreditsGranted) and fact.recurrence == "monthly":
            units[f"standing/{fact.grant_id}/2026-03-01"] = fact.unit
        if isinstance(fact, CreditsGranted):
            units[fact.grant_id] = fact.unit
        if isinstance(fact, PackPurchased):
            units[fact.pack_id] = fact.unit
        if isinstance(fact, PlanRenewed):
            units |= {plan_grant_id(fact, a): a.unit for a in fact.allotments}
    return units


@st.composite
def _ahead(draw: st.DrawFn) -> list[Fact]:
    """Book into a period that begins within these days for an allotment, and think better of it.

    At times the clock gets there, and renewals take the place of what was allotted.
    """
    allotment = replace(draw(_standing_allotment("allowance")), plan_line=("ahead", "base"))
    account = an_account(
        since="2026-03-01",
        anchor="2026-01-05",
        policy=draw(st.sampled_from(("coins", "tenant", "packs"))),
        allotments=[allotment],
        occurred=draw(_instants),
    )
    starts = FIRST_START + 10 * GRID
    costs = {allotment.unit: draw(st.integers(2, 9))}
    lines = [a_line(starts=starts, costs=costs, resource="fishbowl"), draw(_lines(2))]
    facts: list[Fact] = [account, a_booking("ahead", *lines, occurred=FIRST_START - GRID)]
    if draw(st.integers(0, 2)) == 0:
        facts.append(a_cancellation("ahead", occurred=FIRST_START - GRID))
    if draw(st.booleans()):
        facts.append(time_passed("2026-03-05 06:00"))
    for version in draw(st.sampled_from(((), (0,), (1,), (0, 1)))):
        renewed = draw(_allotments("base", allotment.unit))
        facts.append(a_renewal(renewed, plan="ahead", period="2026-03-05", version=version))
    return facts


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Draw an account's facts, none of which contradicts another, in an order of arrival."""
    facts: list[Fact] = draw(st.just([]) | _ahead())
    for number in range(draw(st.integers(1, 5))):
        facts += draw(_bookings(f"b{number}"))
    for number in range(draw(st.integers(1, 3))):
        facts.append(draw(_grants(f"g{number}")))
    for number in range(draw(st.sampled_from((1, 1, 0, 2)))):
        facts.append(draw(_monthly_grants(f"m{number}")))
    for number in range(draw(st.integers(0, 2))):
        facts += draw(_packs(f"k{number}"))
    for number in range(draw(st.integers(0, 2))):
        facts += draw(_renewals(f"p{number}"))
    facts += draw(_removals(_units_of(facts)))
    for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2)))):
        facts.append(draw(_descriptions()))
    instants: set[datetime] = draw(st.sets(_instants, max_size=4))
    facts += [time_passed(instant) for instant in sorted(instants)]
    closings = [a_closing(instant) for instant in sorted(draw(_closings))]
    if draw(st.booleans()):
        return draw(st.permutations([*facts, *closings]))
    late = [fact for fact in facts if _corrects(fact)]
    first = draw(st.permutations([fact for fact in facts if not _corrects(fact)]))
    return [*first, *closings, *draw(st.permutations(late))]


@st.composite
def crowded_histories(draw: st.DrawFn) -> list[Fact]:
    """Draw facts of one unit: small grants, some with a cap, and lines that nearly all may pay."""
    facts: list[Fact] = [
        a_grant(
            f"g{number}",
            draw(_few),
            granted=draw(_instants),
            valid_to=draw(st.none() | _ends),
            priority=draw(_priorities),
        )
        for number in range(draw(st.integers(0, 3)))
    ]
    for number in range(draw(st.integers(1, 2))):
        first = draw(_days)
        facts += [
            a_renewal(
                an_allotment(draw(_some), rollover=draw(_capped)),
                plan=f"p{number}",
                period=first.isoformat(),
                ends=(first + timedelta(days=2)).isoformat(),
                version=version,
                occurred=draw(_instants),
            )
            for version in range(draw(st.integers(1, 2)))
        ]
    facts += draw(_removals(_units_of(facts)))
    for number in range(draw(st.integers(3, 8))):
        facts += draw(_plain_bookings(f"b{number}"))
    return draw(st.permutations(facts))


def _corrects(fact: Fact) -> bool:
    """Say whether a fact changes what was said before: told late, it meets closed lines."""
    return (
        isinstance(fact, GrantRemoved)
        or (isinstance(fact, PlanRenewed) and fact.version > 0)
        or (isinstance(fact, BookingRevised) and fact.revision > 1)
    )
