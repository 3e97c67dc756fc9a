"""B: what the description of tenants' credits promises, beyond the ledger's own tests."""

from pathlib import Path

import pytest

from booking_credits.ledger.announcements import CoverageDecided
from booking_credits.ledger.charges import NOTHING, WHOLE, Fraction
from booking_credits.ledger.facts import Channel, Cycle, Fact, Line
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    a_renewal,
    a_standing_allotment,
    an_account,
    an_allotment,
    post,
    time_passed,
)
from enquiries.asking import ask_json
from enquiries.test_quote import an_event
from postgres.arrivals import post as post_all
from seeds.figures import owed, owed_minor, remaining, uncovered, used

BOOK = a_book(policy="tenant")
TENANT = an_account(policy="tenant")


def test_credits_pay_without_money() -> None:
    """What credits cover is never owed in cash."""
    record = a_record(_renewal(500), _books("room", 200), _cycle_ends(), book=BOOK)
    assert (500 - 200, []) == (record.balances["credit"].expired, owed(record))


@pytest.mark.parametrize(
    ("cycle", "ends"),
    [("month", "2026-02-01"), ("quarter", "2026-04-01"), ("year", "2027-01-01")],
)
def test_an_allotment_comes_with_every_cycle(cycle: Cycle, ends: str) -> None:
    """What administrators configure for a tenant refreshes by itself as the cycle ends."""
    tenant = an_account(
        policy="tenant", cycle=cycle, allotments=[a_standing_allotment(500)], since="2026-01-01"
    )
    january = a_booking("room", _room(200, "2026-01-10 10:00"), occurred="2026-01-02 09:00")
    record = a_record(tenant, january, book=BOOK)
    assert 300 == remaining(record, "credit")
    post(record, [time_passed(f"{ends} 00:00")])
    assert (500, 300) == (remaining(record, "credit"), record.balances["credit"].expired)


def test_the_cadence_can_be_changed() -> None:
    """From monthly to quarterly: the running month ends as it was, then 500 are for a quarter."""
    allotments = [a_standing_allotment(500)]
    monthly = an_account(policy="tenant", since="2026-03-01", allotments=allotments)
    quarterly = an_account(
        policy="tenant", since="2026-03-15", cycle="quarter", allotments=allotments
    )
    record = a_record(monthly, quarterly, time_passed("2026-04-01 00:00"), book=BOOK)
    june = a_booking("june", _room(500, "2026-06-30 23:00"))
    july = a_booking("july", _room(500, "2026-07-01 00:00"))
    post(record, [june, july, time_passed("2026-07-01 00:00")])
    assert (NOTHING, NOTHING) == (uncovered(record, "june"), uncovered(record, "july"))
    assert 1500 == record.balances["credit"].granted


def test_a_new_tenant_gets_credits_by_itself() -> None:
    """Who moves in on the tenth has the month's 500 at once, and 500 again on the first."""
    tenant = an_account(policy="tenant", since="2026-03-10", allotments=[a_standing_allotment(500)])
    record = a_record(tenant, book=BOOK)
    assert 500 == remaining(record, "credit")
    post(record, [time_passed("2026-04-01 00:00")])
    assert (500, 500) == (remaining(record, "credit"), record.balances["credit"].expired)


def test_unused_credits_do_not_roll_over() -> None:
    """On a monthly cycle what December leaves is lost as January begins."""
    facts: list[Fact] = [
        _renewal(500, period="2026-12-01"),
        a_booking("room", _room(200, "2026-12-03 10:00")),
        time_passed("2027-01-01 00:00"),
        _renewal(500, period="2027-01-01"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (500, 300) == (remaining(record, "credit"), record.balances["credit"].expired)


@pytest.mark.parametrize(
    ("starts", "expected"), [("2026-12-31 23:00", NOTHING), ("2027-01-01 00:00", WHOLE)]
)
def test_on_an_annual_cycle_credits_accumulate(starts: str, expected: Fraction) -> None:
    """What January leaves pays in December, and no later."""
    book = a_book(policy="tenant", cycle="year")
    year = _renewal(500, period="2026-01-01")
    record = a_record(year, a_booking("room", _room(500, starts)), book=book)
    assert expected == uncovered(record, "room")


def test_with_three_credits_left_both_reservations_show_their_cost_in_credits() -> None:
    """Each shows what it costs in credits; what exceeds the allotment is charged at the end."""
    record = a_record(_renewal(3), book=BOOK)
    outcomes = post(
        record,
        [
            a_booking("monday", _room(2, "2026-03-09 10:00", price=3000)),
            a_booking("tuesday", _room(2, "2026-03-10 10:00", price=3000)),
        ],
    )
    contents = [a.content for outcome in outcomes for a in outcome.announcements]
    decided = [content for content in contents if isinstance(content, CoverageDecided)]
    assert [(("credit", 2),)] * 2 == [c.lines[0].charge.line.costs for c in decided]
    post(record, [time_passed("2026-03-31 23:59")])
    assert [] == owed(record)
    post(record, [_cycle_ends()])
    assert [("tuesday", 1500)] == [(o.key.booking_id, o.total_minor) for o in owed(record)]


def test_reconciliation_waits_for_the_end_of_the_cycle() -> None:
    """A cancellation in mid month leaves its credits to the reservation that was short."""
    facts: list[Fact] = [
        _renewal(3),
        a_booking("monday", _room(2, "2026-03-09 10:00", price=3000)),
        a_booking("tuesday", _room(2, "2026-03-10 10:00", price=3000)),
        a_cancellation("monday", occurred="2026-03-08 09:00"),
        _cycle_ends(),
    ]
    record = a_record(*facts, book=BOOK)
    assert (2, 0) == (used(record, "credit"), owed_minor(record))


def test_the_balance_goes_down_as_one_books() -> None:
    """Three of five credits are left to book with, though none is drawn yet."""
    record = a_record(_renewal(5), _books("room", 2), book=BOOK)
    assert (3, 0) == (remaining(record, "credit"), record.balances["credit"].drawn)


@pytest.mark.parametrize("channel", ["card", "invoice"])
def test_credits_go_with_card_and_with_invoice(channel: Channel) -> None:
    """What credits leave uncovered is paid in the way that the reservation says."""
    line = _room(10, price=10000)
    record = a_record(
        _renewal(5), a_booking("room", line, fallback=channel), _cycle_ends(), book=BOOK
    )
    assert [(channel, 5000)] == [(o.key.channel, o.total_minor) for o in owed(record)]


def test_the_same_room_is_booked_with_credits_and_without() -> None:
    """Both ways of paying are there for one amenity, in whatever order they are used."""
    facts: list[Fact] = [
        _renewal(5),
        a_booking("credits", _room(5, "2026-03-09 10:00", price=7500)),
        a_booking("card", _room(5, "2026-03-10 10:00", price=7500), fallback="card"),
        _cycle_ends(),
    ]
    record = a_record(*facts, book=BOOK)
    assert (5, 7500) == (used(record, "credit"), owed_minor(record))


def test_a_rest_can_be_carried_over_by_hand() -> None:
    """An administrator adds last month's rest to this month's credits."""
    rest = a_grant(
        "rest-of-february", 120, unit="credit", granted="2026-03-01 00:00", source="adjustment"
    )
    record = a_record(_renewal(500), rest, _books("room", 600), book=BOOK)
    assert (NOTHING, 20) == (uncovered(record, "room"), remaining(record, "credit"))


@pytest.mark.parametrize("channel", ["card", "invoice"])
def test_example_1_the_fourth_reservation_may_be_paid_otherwise(channel: Channel) -> None:
    """500 credits are used up by three; the fourth costs 100 credits or 100 dollars."""
    facts: list[Fact] = [
        _renewal(500, period="2026-12-01"),
        a_booking("A", _room(200, "2026-12-03 10:00")),
        a_booking("B", _room(150, "2026-12-10 10:00")),
        a_booking("C", _room(150, "2026-12-17 10:00")),
        a_booking("D", _room(100, "2026-12-20 10:00", price=10000), fallback=channel),
        time_passed("2027-01-01 00:00"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (500, 0) == (used(record, "credit"), remaining(record, "credit"))
    assert [("D", channel, 10000)] == [
        (o.key.booking_id, o.key.channel, o.total_minor) for o in owed(record)
    ]


async def test_the_cost_is_shown_when_booking(database: str, tmp_path: Path) -> None:
    """Who has three credits left and asks for a slot of five reads both costs, and what is left."""
    await post_all(database, [TENANT, _renewal(3)])
    slot = a_booking("slot", _room(5, price=7500), fallback="card")
    quoted = await ask_json(
        database, "quote", "mina-and-sons", an_event(tmp_path, slot), folder=tmp_path
    )
    (line,) = quoted["lines"]
    assert ("partly", {"credit": "5"}, {"credit": "2"}) == (
        line["status"],
        line["costs"],
        line["uncovered"],
    )
    assert {"amount_minor": 3000, "currency": "EUR"} == line["cash"]


async def test_example_2_the_export_shows_both(database: str, tmp_path: Path) -> None:
    """Tenant A used 5 credits for two hours in the room, tenant B 75 dollars by card."""
    line = a_line(minutes=120, costs={"credit": 5}, price=7500, currency="USD")
    for tenant in ("tenant-a", "tenant-b"):
        await post_all(database, [TENANT, a_booking(tenant, line, fallback="card")], tenant)
    await post_all(database, [_renewal(5)], "tenant-a")
    for tenant in ("tenant-a", "tenant-b"):
        await post_all(database, [_cycle_ends()], tenant)
    export = await ask_json(database, "export", "--all", folder=tmp_path)
    assert [("credits", {"credit": "5"}, 0, "none"), ("cash", {}, 7500, "owed")] == [
        (r["cost_type"], r["credits"], r["cash_minor"], r["overage"]) for r in export["lines"]
    ]


def _renewal(credits_given: int, period: str = "2026-03-01") -> Fact:
    return a_renewal(an_allotment(credits_given, unit="credit"), period=period)


def _room(credits_needed: int, starts: str = "2026-03-10 10:00", *, price: int = 1000) -> Line:
    return a_line(starts=starts, costs={"credit": credits_needed}, price=price)


def _books(name: str, credits_needed: int) -> Fact:
    return a_booking(name, _room(credits_needed))


def _cycle_ends() -> Fact:
    return time_passed("2026-04-01 00:00")
