"""How one line is paid in several units, what it then owes, and when."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.calendars import Timeline
from booking_credits.ledger.charges import (
    NOTHING,
    WHOLE,
    Coverage,
    Fraction,
    cash_for,
    needed,
    rank_before,
    rank_of,
)
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.policies import PolicyBook
from builders import (
    a_book,
    a_booking,
    a_grant,
    a_line,
    a_record,
    a_start,
    an_account,
    at,
    time_passed,
)


@pytest.mark.parametrize(
    ("cost", "left", "expected"),
    [
        (10, (1, 1), 10),
        (10, (1, 3), 4),
        (9, (1, 3), 3),
        (1, (1, 1000), 1),
        (7, (2, 3), 5),
        (10**30, (1, 3), 10**30 // 3 + 1),
    ],
)
def test_a_need_is_rounded_up_to_the_step(cost: int, left: Fraction, expected: int) -> None:
    """What is left of a line is never paid for with less than it costs."""
    assert expected == needed(cost, left)


@pytest.mark.parametrize(
    ("costs", "grants", "takes", "uncovered"),
    [
        ({"coin": 1000}, {"coin": 5000}, [1000], NOTHING),
        ({"coin": 1000}, {"coin": 400}, [400], (3, 5)),
        ({"coin": 1000}, {}, [], WHOLE),
        ({"credit": 3, "coin": 1000}, {"credit": 1, "coin": 5000}, [1, 667], NOTHING),
        ({"credit": 3, "coin": 1000}, {"credit": 1, "coin": 600}, [1, 600], (1, 15)),
        ({"credit": 3, "coin": 1000}, {"credit": 1, "coin": 666}, [1, 666], (1, 1500)),
        ({"minute": 60, "coin": 900, "credit": 7}, {"minute": 40, "credit": 1}, [40, 1], (4, 21)),
        ({"minute": 60, "coin": 900, "credit": 7}, {"minute": 60, "coin": 900}, [60], NOTHING),
        ({"credit": 3, "coin": 1}, {"credit": 2, "coin": 1}, [2, 1], NOTHING),
        ({"coin": 0, "credit": 0}, {"coin": 100}, [], NOTHING),
        ({"coin": 0, "credit": 3}, {"coin": 100}, [], WHOLE),
        ({"credit": 10**18 + 1, "coin": 3}, {"credit": 1}, [1], (10**18, 10**18 + 1)),
    ],
)
def test_a_line_is_paid_unit_after_unit(
    costs: dict[str, int], grants: dict[str, int], takes: list[int], uncovered: Fraction
) -> None:
    """A take of q out of a cost of c pays q/c, exactly; the rest goes to the next unit."""
    facts = [a_grant(unit, quantity, unit=unit) for unit, quantity in grants.items()]
    record = a_record(*facts, a_booking("standup", a_line(costs=costs)))
    coverage = record.charges["standup", 1].coverage
    assert (takes, uncovered) == ([take.quantity for take in coverage.takes], coverage.uncovered)


@pytest.mark.parametrize(
    ("marks", "policy", "eligible"),
    [
        ({}, "coins", True),
        ({"costs": {}}, "coins", False),
        ({"payable_by_credits": False}, "coins", False),
        ({"online_plan": True}, "coins", False),
        ({"discounted": True}, "coins", True),
        ({"discounted": True}, "packs", False),
        ({"product_group": "catering"}, "packs", False),
        ({"product_group": None}, "packs", True),
    ],
)
def test_a_line_may_be_none_of_the_ledgers_business(
    marks: dict[str, Any], policy: str, *, eligible: bool
) -> None:
    """What credits may not pay takes nothing and owes nothing here."""
    facts: list[Fact] = [
        a_grant(),
        a_booking("standup", a_line(**marks)),
        time_passed("2026-05-01 00:00"),
    ]
    record = a_record(*facts, book=a_book(policy=policy))
    charge = record.charges["standup", 1]
    assert eligible == charge.eligible == bool(charge.coverage.takes)
    assert {} == record.obligations


@pytest.mark.parametrize(
    ("price", "uncovered", "expected"),
    [
        (1000, (1, 3), 333),
        (1000, (2, 3), 667),
        (1, (1, 2), 1),
        (3, (1, 2), 2),
        (1, (49, 100), 0),
        (5, (1, 10), 1),
        (1000, NOTHING, 0),
        (1000, WHOLE, 1000),
        (0, WHOLE, 0),
        (None, WHOLE, None),
        (10**20 + 1, (1, 2), (10**20 + 2) // 2),
    ],
)
def test_cash_is_rounded_once_half_up(
    price: int | None, uncovered: Fraction, expected: int | None
) -> None:
    """The price of the uncovered part, to the currency's minor unit; none without a price."""
    record = a_record(a_booking("standup", a_line(price=price)))
    charge = replace(record.charges["standup", 1], coverage=Coverage((), uncovered))
    assert expected == cash_for(charge)


@pytest.mark.parametrize(
    ("policy", "present", "expected"),
    [
        ("coins", None, "drawn"),
        ("packs", None, "held"),
        ("packs", "2026-03-10 09:59", "held"),
        ("packs", "2026-03-10 10:00", "drawn"),
        ("tenant", "2026-03-10 10:00", "held"),
        ("tenant", "2026-03-10 11:00", "drawn"),
    ],
)
def test_takes_are_drawn_at_the_policys_point(
    policy: str, present: str | None, expected: str
) -> None:
    """Coins at once, packs at the start, tenant credits when the line has ended."""
    book = a_book(policy=policy)
    record = _with_present(present, a_grant(), a_booking(), book=book)
    assert 1000 == getattr(record.balances["coin"], expected)


@pytest.mark.parametrize(("policy", "expected"), [("packs", "drawn"), ("tenant", "held")])
def test_a_start_draws_what_is_drawn_at_the_start(policy: str, expected: str) -> None:
    """A booking-started counts when it is learned, whatever the clock says."""
    record = a_record(a_grant(), a_booking(), a_start(), book=a_book(policy=policy))
    assert 1000 == getattr(record.balances["coin"], expected)


@pytest.mark.parametrize(
    ("policy", "present", "owed"),
    [
        ("coins", "2026-03-10 09:59", []),
        ("coins", "2026-03-10 10:00", [1000]),
        ("packs", "2026-03-10 10:00", [1000]),
        ("tenant", "2026-03-31 23:59", []),
        ("tenant", "2026-04-01 00:00", [1000]),
    ],
)
def test_overage_is_due_when_the_policy_says(policy: str, present: str, owed: list[int]) -> None:
    """At the line's start, or at the end of the billing cycle."""
    book = a_book(policy=policy)
    record = _with_present(present, a_booking(), book=book)
    obligations = record.obligations.get(("standup", 1), ())
    assert owed == [obligation.total_minor for obligation in obligations]


def test_the_location_says_when_a_line_is_drawn_and_due() -> None:
    """The order is the account's, draw point and due date are the location's."""
    book = a_book(policy="coins", locations={"mill": "tenant"})
    line = a_line(location="mill")
    record = a_record(a_grant(quantity=400), a_booking("standup", line), book=book)
    assert 400 == record.balances["coin"].held
    assert [] == list(record.obligations)


@pytest.mark.parametrize(
    ("policy", "expected"), [("coins", ["early", "late"]), ("packs", ["late", "early"])]
)
def test_charges_come_in_the_policys_order(policy: str, expected: list[str]) -> None:
    """Coins in the order of booking, packs in the order of service time."""
    facts = [
        a_booking("early", a_line(starts="2026-03-12 10:00"), occurred="2026-03-01 09:00"),
        a_booking("late", a_line(starts="2026-03-11 10:00"), occurred="2026-03-02 09:00"),
    ]
    assert expected == _ranked(*facts, book=a_book(policy=policy))


def test_an_enlarged_booking_keeps_its_place() -> None:
    """A booking counts as booked when it was first made."""
    facts = [
        a_booking("early", occurred="2026-03-01 09:00"),
        a_booking("late", occurred="2026-03-02 09:00"),
        a_booking("early", a_line(minutes=120), revision=2, occurred="2026-03-03 09:00"),
    ]
    assert ["early", "late"] == _ranked(*facts, book=a_book())


def test_ties_fall_to_start_booking_and_line() -> None:
    """Lines booked at one moment come by service start, then booking id, then line number."""
    facts = [
        a_booking("b", a_line(2), a_line(10), a_line(1, starts="2026-03-10 09:00")),
        a_booking("a"),
    ]
    record = a_record(*facts)
    ranked = sorted(record.charges.values(), key=lambda charge: charge.rank)
    assert [("b", 1), ("a", 1), ("b", 2), ("b", 10)] == [charge.key for charge in ranked]


def test_a_rank_sorts_as_its_bytes_do() -> None:
    """A fraction of a second comes after none, and text sorts alike in every place."""
    record = a_record(a_booking())
    standing = record.charges["standup", 1].standing
    instants = [standing.booked_at, standing.booked_at.replace(microsecond=1)]
    ranks = [rank_of(replace(standing, booked_at=i), record.timeline) for i in instants]
    assert ranks == sorted(ranks, key=str.encode)


def test_a_changed_order_puts_earlier_lines_first() -> None:
    """Where an account changed its order, lines of the earlier order come first."""
    facts: list[Fact] = [
        an_account(policy="packs"),
        an_account(since="2026-04-01", policy="coins"),
        a_booking("april", a_line(starts="2026-04-10 10:00"), occurred="2026-01-01 09:00"),
        a_booking("march", a_line(starts="2026-03-10 10:00"), occurred="2026-02-01 09:00"),
    ]
    assert ["march", "april"] == _ranked(*facts, book=a_book())


def test_an_order_may_change_every_day_for_years() -> None:
    """Lines of the thousandth order come after those of the ones before, whatever it is."""
    first, days = date(2026, 1, 1), 1_010
    accounts = [
        an_account(
            since=str(first + timedelta(day)), policy=("packs", "coins")[day % 2], anchor=str(first)
        )
        for day in range(days)
    ]
    timeline = Timeline(accounts, a_book())
    starts = [at(f"{first} 10:00") + timedelta(day) for day in range(days)]
    standing = a_record(a_booking()).charges["standup", 1].standing
    ranks = [
        rank_of(replace(standing, line=replace(standing.line, starts_at=start)), timeline)
        for start in starts
    ]
    assert days - 1 == timeline.order_at(starts[-1])
    assert sorted(ranks) == ranks
    assert all(
        rank_before(start, timeline) < rank for start, rank in zip(starts, ranks, strict=True)
    )


def _ranked(*facts: Fact, book: PolicyBook) -> list[str]:
    """Name the bookings in the order in which they are charged."""
    ranked = sorted(a_record(*facts, book=book).charges.values(), key=lambda charge: charge.rank)
    return [charge.standing.booking_id for charge in ranked]


def _with_present(present: str | None, *facts: Fact, book: PolicyBook) -> AccountRecord:
    passed = [] if present is None else [time_passed(present)]
    return a_record(*facts, *passed, book=book)
