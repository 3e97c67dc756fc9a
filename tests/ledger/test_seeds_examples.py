"""What the three kinds of credits promise their users: A coins, B tenant credits, C packs."""

from collections.abc import Mapping

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import CoverageDecided, Obligation
from booking_credits.ledger.charges import NOTHING, WHOLE, Fraction
from booking_credits.ledger.facts import CreditsGranted, Cycle, Fact, Line, Scope, Span
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_pack,
    a_record,
    a_renewal,
    a_standing_allotment,
    a_start,
    an_account,
    an_allotment,
    an_approval,
    at,
    on,
    post,
    time_passed,
)

COINS_BOOK = a_book(policy="coins")
TENANT_BOOK = a_book(policy="tenant")
PACKS_BOOK = a_book(policy="packs")


def test_a_coins_are_drawn_when_a_booking_is_made() -> None:
    """A: when a member books, coins are used at once."""
    record = a_record(a_grant(quantity=5000), a_booking(), book=COINS_BOOK)
    assert (1000, 4000) == _used_and_remaining(record, "coin")


def test_a_coins_of_a_member_belong_to_the_company() -> None:
    """A: coins given to a member pay whatever the company books."""
    record = a_record(a_grant(member="ada"), a_booking(), book=COINS_BOOK)
    assert NOTHING == _uncovered(record)


def test_a_one_coin_is_one_unit_of_the_currency() -> None:
    """A: four of ten coins leave six of ten euros to be invoiced."""
    facts: list[Fact] = [a_grant(quantity=400), a_booking(), time_passed("2026-03-10 10:00")]
    (owed,) = _owed(a_record(*facts, book=COINS_BOOK))
    assert (600, "EUR", "invoice") == (owed.total_minor, owed.key.currency, owed.key.channel)


@pytest.mark.parametrize(
    ("starts", "expected"), [("2027-03-05 10:00", NOTHING), ("2027-03-06 10:00", WHOLE)]
)
def test_a_coins_given_once_expire_twelve_months_later(starts: str, expected: Fraction) -> None:
    """A: they pay bookings up to twelve months from the day they were granted, none after."""
    facts: list[Fact] = [
        a_grant(granted="2026-03-05 12:00"),
        a_booking("standup", a_line(starts=starts)),
    ]
    assert expected == _uncovered(a_record(*facts, book=COINS_BOOK))


def test_a_monthly_coins_are_used_or_lost() -> None:
    """A: what March leaves is lost, and April begins with its own."""
    facts: list[Fact] = [
        a_renewal(an_allotment(5000), period="2026-03-01"),
        a_booking(),
        time_passed("2026-04-01 00:00"),
        a_renewal(an_allotment(5000), period="2026-04-01"),
    ]
    record = a_record(*facts, book=COINS_BOOK)
    assert 4000 == record.balances["coin"].expired
    assert (1000, 5000) == _used_and_remaining(record, "coin")


def test_a_monthly_coins_renew_themselves_until_their_end_date() -> None:
    """A: given monthly they reset with every month, and stop with the day that was set."""
    coins = a_grant(quantity=5000, granted="2026-03-01 00:00", monthly=True, ends_on="2026-04-30")
    record = a_record(coins, a_booking(), time_passed("2026-04-01 00:00"), book=COINS_BOOK)
    assert 4000 == record.balances["coin"].expired
    assert (1000, 5000) == _used_and_remaining(record, "coin")

    post(record, [a_booking("may", a_line(starts="2026-05-01 10:00"))])
    assert WHOLE == _uncovered(record, "may")


def test_a_coins_of_one_month_pay_no_other() -> None:
    """A: next month's booking waits for next month's coins."""
    april = a_booking("standup", a_line(starts="2026-04-02 10:00"))
    record = a_record(a_renewal(period="2026-03-01"), april, book=COINS_BOOK)
    assert WHOLE == _uncovered(record)
    post(record, [a_renewal(period="2026-04-01")])
    assert NOTHING == _uncovered(record)


def test_a_a_plan_may_give_unlimited_coins() -> None:
    """A: an unlimited plan covers everything and says what was used."""
    lines = [a_line(number, costs={"coin": 10**9}) for number in range(1, 6)]
    facts: list[Fact] = [a_renewal(an_allotment(None)), a_booking("retreat", *lines)]
    record = a_record(*facts, book=COINS_BOOK)
    assert {NOTHING} == {charge.coverage.uncovered for charge in record.charges.values()}
    assert 5 * 10**9 == record.balances["coin"].drawn


def test_a_coins_pay_the_resources_that_were_selected() -> None:
    """A: coins for the treehouse do not pay the fishbowl."""
    treehouse = a_grant(scope=Scope(resources=("treehouse",)))
    facts: list[Fact] = [
        treehouse,
        a_booking("up", a_line(resource="treehouse")),
        a_booking("down", a_line(resource="fishbowl")),
    ]
    record = a_record(*facts, book=COINS_BOOK)
    assert (NOTHING, WHOLE) == (_uncovered(record, "up"), _uncovered(record, "down"))


def test_a_making_a_used_booking_free_gives_its_coins_back() -> None:
    """A: an administrator makes the booking free, and its coins can be used again."""
    free = a_booking(
        "standup",
        a_line(costs={"coin": 0}, price=0),
        revision=2,
        occurred="2026-03-11 09:00",
        corrected_by="petra",
    )
    record = a_record(a_grant(quantity=5000), a_booking(), free, book=COINS_BOOK)
    assert (0, 5000) == _used_and_remaining(record, "coin")


def test_a_cancelling_before_the_start_gives_all_back() -> None:
    """A: a cancelled booking's coins are available again."""
    record = a_record(a_grant(quantity=5000), a_booking(), a_cancellation(), book=COINS_BOOK)
    assert (0, 5000) == _used_and_remaining(record, "coin")


def test_a_the_log_shows_issuance_and_usage() -> None:
    """A: every movement of coins is an entry, from which used and remaining add up."""
    record = a_record(book=COINS_BOOK)
    outcomes = post(record, [a_grant(quantity=5000), a_booking()])
    log = [entry for outcome in outcomes for _, entry in outcome.entries]
    assert [
        ("granted", "available", 5000, None),
        ("available", "drawn", 1000, ("standup", 1)),
    ] == [(e.source, e.target, e.quantity, e.line_key) for e in log]


def test_a_monthly_coins_refer_to_the_first_of_the_month() -> None:
    """A: the reference date of a period's coins is the day on which it begins."""
    late = a_renewal(period="2026-03-01", occurred="2026-03-09 00:00")
    (record,) = a_record(late, book=COINS_BOOK).grants.values()
    assert at("2026-03-01 00:00") == record.grant.from_at


def test_b_example_1_credits_only() -> None:
    """B: 500 credits, three December bookings use them up, January begins with 500 again."""
    facts: list[Fact] = [
        a_renewal(an_allotment(500, unit="credit"), period="2026-12-01"),
        a_booking("A", _room(200, "2026-12-03 10:00")),
        a_booking("B", _room(150, "2026-12-10 10:00")),
        a_booking("C", _room(150, "2026-12-17 10:00")),
    ]
    record = a_record(*facts, book=TENANT_BOOK)
    assert (500, 0) == _used_and_remaining(record, "credit")
    post(record, [a_booking("D", _room(100, "2026-12-20 10:00"))])
    assert WHOLE == _uncovered(record, "D")
    post(record, [time_passed("2027-01-01 00:00")])
    post(record, [a_renewal(an_allotment(500, unit="credit"), period="2027-01-01")])
    assert 500 == record.balances["credit"].available


def test_b_example_2_credits_and_card() -> None:
    """B: who has credits is not charged; who has none pays 75 dollars by card."""
    line = a_line(minutes=120, costs={"credit": 5}, price=7500, currency="USD")
    booking = a_booking("A", line, fallback="card")
    over = time_passed("2026-04-01 00:00")
    with_credits = a_record(_credits(5), booking, over, book=TENANT_BOOK)
    without = a_record(booking, over, book=TENANT_BOOK)
    assert ((5, 0), []) == (_used_and_remaining(with_credits, "credit"), _owed(with_credits))
    (owed,) = _owed(without)
    assert (7500, "USD", "card") == (owed.total_minor, owed.key.currency, owed.key.channel)


def test_b_what_exceeds_the_allotment_is_charged() -> None:
    """B: with three credits left, two bookings of two leave one credit's worth to be invoiced."""
    facts: list[Fact] = [
        _credits(3),
        a_booking("monday", _room(2, "2026-03-09 10:00", price=3000)),
        a_booking("tuesday", _room(2, "2026-03-10 10:00", price=3000)),
        time_passed("2026-04-01 00:00"),
    ]
    (owed,) = _owed(a_record(*facts, book=TENANT_BOOK))
    assert ("tuesday", 1500) == (owed.key.booking_id, owed.total_minor)


def test_b_credits_are_deducted_after_the_reservation() -> None:
    """B: credits are held for a booking and drawn once it is over."""
    record = a_record(_credits(5), a_booking("A", _room(2)), book=TENANT_BOOK)
    assert (2, 0) == (record.balances["credit"].held, record.balances["credit"].drawn)
    post(record, [time_passed("2026-03-10 11:00")])
    assert (0, 2) == (record.balances["credit"].held, record.balances["credit"].drawn)


def test_b_each_day_of_a_reservation_is_shown() -> None:
    """B: a reservation over several days has a cost and a coverage for each."""
    days = [_room(2, f"2026-03-1{day} 10:00", line_no=day) for day in (1, 2, 3)]
    record = a_record(_credits(5), book=TENANT_BOOK)
    (outcome,) = post(record, [a_booking("A", *days)])
    (decided,) = [a.content for a in outcome.announcements if a.kind == "coverage-decided"]
    assert isinstance(decided, CoverageDecided)
    uncovered = [line.charge.coverage.uncovered for line in decided.lines]
    assert [NOTHING, NOTHING, (1, 2)] == uncovered


@pytest.mark.parametrize(
    ("cycle", "ends"),
    [("month", "2026-02-01"), ("quarter", "2026-04-01"), ("year", "2027-01-01")],
)
def test_b_credits_refresh_with_the_billing_cycle(cycle: Cycle, ends: str) -> None:
    """B: credits last as long as the cycle, so they accumulate only over a year."""
    book = a_book(policy="tenant", cycle=cycle)
    renewal = a_renewal(an_allotment(500, unit="credit"), period="2026-01-01")
    (record,) = a_record(renewal, book=book).grants.values()
    assert at(f"{ends} 00:00") == record.grant.to_at


def test_b_a_new_tenant_has_the_whole_allotment_at_once() -> None:
    """B: who moves in on the tenth has 500 credits to the end of the month."""
    renewal = a_renewal(an_allotment(500, unit="credit"), period="2026-03-10")
    (record,) = a_record(renewal, book=TENANT_BOOK).grants.values()
    assert (500, at("2026-04-01 00:00")) == (record.grant.quantity, record.grant.to_at)


def test_b_an_admin_can_add_credits_by_hand() -> None:
    """B: a bonus pays what the allotment leaves uncovered."""
    facts: list[Fact] = [
        a_renewal(an_allotment(1, unit="credit")),
        a_booking("A", _room(3)),
        a_grant("bonus", 5, unit="credit", source="adjustment"),
    ]
    assert NOTHING == _uncovered(a_record(*facts, book=TENANT_BOOK), "A")


def test_b_late_credits_take_the_invoice_back() -> None:
    """B: credits that arrive after the cycle ended reverse what had been charged."""
    facts: list[Fact] = [a_booking("A", _room(3, price=3000)), time_passed("2026-04-01 00:00")]
    record = a_record(*facts, book=TENANT_BOOK)
    assert [3000] == [owed.total_minor for owed in _owed(record)]
    post(record, [a_renewal(an_allotment(5, unit="credit"), occurred="2026-04-02 00:00")])
    assert [] == _owed(record)


def test_c_credits_are_taken_at_the_time_of_the_event() -> None:
    """C: what counts is when the meeting is, not when it was booked."""
    april = _credits(5, valid_from="2026-04-01 00:00", valid_to="2026-05-01 00:00")
    booking = a_booking("A", _room(2, "2026-04-10 10:00"), occurred="2026-03-01 09:00")
    record = a_record(april, booking, book=PACKS_BOOK)
    assert 2 == record.balances["credit"].held
    post(record, [time_passed("2026-04-10 10:00")])
    assert 2 == record.balances["credit"].drawn


def test_c_unused_credits_expire_with_their_pack() -> None:
    """C: a month after its start a pack's unused credits are gone."""
    pack = _credits(5, valid_from="2026-03-01 00:00", valid_to="2026-04-01 00:00")
    facts: list[Fact] = [pack, a_booking("A", _room(2)), time_passed("2026-04-01 00:00")]
    record = a_record(*facts, book=PACKS_BOOK)
    assert (2, 0) == _used_and_remaining(record, "credit")
    assert 3 == record.balances["credit"].expired


def test_c_an_open_ended_pack_lasts_until_it_is_used_up() -> None:
    """C: without a lifetime credits roll from period to period."""
    booking = a_booking("A", _room(5, "2031-03-10 10:00"))
    record = a_record(_credits(5), time_passed("2031-03-01 00:00"), booking, book=PACKS_BOOK)
    assert NOTHING == _uncovered(record, "A")


def test_c_credits_bought_later_pay_a_booking_on_account() -> None:
    """C: a pack that covers the meeting's time pays it, though the booking came first."""
    booking = a_booking("A", _room(2), fallback="on_account")
    record = a_record(an_account(on_account=True, policy="packs"), booking, book=PACKS_BOOK)
    assert (WHOLE, []) == (_uncovered(record, "A"), _owed(record))
    post(record, [_credits(5, granted="2026-03-05 00:00")])
    assert (NOTHING, (2, 3)) == (_uncovered(record, "A"), _used_and_remaining(record, "credit"))


def test_c_a_meeting_without_credits_is_charged_when_it_has_begun() -> None:
    """C: nothing is owed before; then it is, in the billing period that contains the meeting."""
    record = a_record(
        an_account(on_account=True, policy="packs"),
        a_booking("A", _room(2, price=4000), fallback="on_account"),
        time_passed("2026-03-10 09:59"),
        book=PACKS_BOOK,
    )
    assert [] == _owed(record)
    post(record, [time_passed("2026-04-20 00:00")])
    (owed,) = _owed(record)
    assert (4000, "on_account") == (owed.total_minor, owed.key.channel)
    assert (on("2026-03-01"), on("2026-04-01")) == (owed.key.period_start, owed.period_end)


def test_c_credits_used_beyond_those_bought_are_charged() -> None:
    """C: three of four credits leave a quarter of the price."""
    facts: list[Fact] = [
        _credits(3),
        a_booking("A", _room(4, price=1001)),
        time_passed("2026-03-10 10:00"),
    ]
    (owed,) = _owed(a_record(*facts, book=PACKS_BOOK))
    assert 250 == owed.total_minor


@pytest.mark.parametrize("marks", [{"online_plan": True}, {"discounted": True}])
def test_c_credits_do_not_combine(marks: Mapping[str, bool]) -> None:
    """C: neither online plans nor discounted bookings are paid with credits."""
    line = a_line(costs={"credit": 2}, **dict(marks))  # type: ignore[arg-type]
    record = a_record(_credits(5), a_booking("A", line), book=PACKS_BOOK)
    assert not record.charges["A", 1].eligible
    assert (0, 5) == _used_and_remaining(record, "credit")


@pytest.mark.parametrize(
    ("cancelled", "expected"),
    [("2026-03-10 09:59", (0, 5)), ("2026-03-10 10:00", (2, 3)), ("2026-03-10 10:30", (2, 3))],
)
def test_c_a_cancellation_refunds_until_the_start(
    cancelled: str, expected: tuple[int, int]
) -> None:
    """C: credits come back unless the booking had started when it was cancelled."""
    cancellation = a_cancellation("A", occurred=cancelled)
    record = a_record(_credits(5), a_booking("A", _room(2)), cancellation, book=PACKS_BOOK)
    assert expected == _used_and_remaining(record, "credit")


def test_c_a_cancellation_after_an_early_start_refunds_nothing() -> None:
    """C: who has begun early has begun, in whichever order that is learned."""
    facts: list[Fact] = [
        _credits(5),
        a_booking("A", _room(2)),
        a_cancellation("A", occurred="2026-03-10 09:55"),
        a_start("A", occurred="2026-03-10 09:50"),
    ]
    assert (2, 3) == _used_and_remaining(a_record(*facts, book=PACKS_BOOK), "credit")


def test_c_a_started_booking_is_refunded_by_hand() -> None:
    """C: credits given by staff make up for what the cancellation does not return."""
    facts: list[Fact] = [
        _credits(5),
        a_booking("A", _room(2)),
        a_cancellation("A", occurred="2026-03-10 10:30"),
        a_grant("goodwill", 2, unit="credit", granted="2026-03-11 09:00"),
    ]
    assert (2, 5) == _used_and_remaining(a_record(*facts, book=PACKS_BOOK), "credit")


def test_c_the_three_numbers_of_an_account() -> None:
    """C: how many credits there are, how many are used and how many remain."""
    facts: list[Fact] = [
        _credits(5),
        a_grant("second", 10, unit="credit"),
        a_booking("A", _room(7)),
    ]
    balance = a_record(*facts, book=PACKS_BOOK).balances["credit"]
    assert (15, 7, 8) == (balance.granted, balance.held + balance.drawn, balance.available)


def test_c_a_pack_counts_once_it_is_on_an_approved_invoice() -> None:
    """C: until its purchase is approved, even a free pack pays nothing and is no balance."""
    record = a_record(a_pack(quantity=5), a_booking("A", _room(2)), book=PACKS_BOOK)
    assert WHOLE == _uncovered(record, "A")
    assert {} == record.balances

    post(record, [an_approval(occurred="2026-03-09 09:00")])
    assert NOTHING == _uncovered(record, "A")
    assert (2, 3) == _used_and_remaining(record, "credit")


def test_c_what_a_pack_leaves_expires_with_its_lifetime() -> None:
    """C: of a pack that lives one month, the rest is lost one month after its first day."""
    facts: list[Fact] = [
        a_pack(quantity=5, bought="2026-03-01 09:00", lifetime=Span(1, "months")),
        an_approval(),
        a_booking("A", _room(2)),
        time_passed("2026-04-01 00:00"),
    ]
    record = a_record(*facts, book=PACKS_BOOK)
    assert 3 == record.balances["credit"].expired
    assert (2, 0) == _used_and_remaining(record, "credit")


def test_c_a_pack_bought_after_the_meeting_does_not_pay_it() -> None:
    """C: who met before a pack was bought is charged, even if the pack was to start earlier."""
    late = a_pack(bought="2026-03-11 09:00", starts_on="2026-03-01")
    record = a_record(a_booking("A", _room(2)), late, an_approval(), book=PACKS_BOOK)
    assert WHOLE == _uncovered(record, "A")


def test_b_a_new_tenant_has_the_credits_of_the_current_cycle() -> None:
    """B: 500 a cycle, set up in mid December; three bookings use them up, January has its own."""
    account = an_account(
        since="2026-12-07", policy="tenant", allotments=[a_standing_allotment(500)]
    )
    rooms = {"A": 200, "B": 150, "C": 150}
    bookings = [
        a_booking(room, _room(cost, "2026-12-10 10:00"), occurred="2026-12-08 09:00")
        for room, cost in rooms.items()
    ]
    record = a_record(account, *bookings, book=TENANT_BOOK)
    assert (500, 0) == _used_and_remaining(record, "credit")

    post(record, [time_passed("2027-01-01 00:00")])
    assert (500, 500) == _used_and_remaining(record, "credit")


def _room(
    credits_needed: int, starts: str = "2026-03-10 10:00", *, price: int = 1000, line_no: int = 1
) -> Line:
    return a_line(line_no, starts=starts, costs={"credit": credits_needed}, price=price)


def _credits(
    quantity: int,
    *,
    granted: str = "2026-01-01 00:00",
    valid_from: str | None = None,
    valid_to: str | None = None,
) -> CreditsGranted:
    return a_grant(
        "pack",
        quantity,
        unit="credit",
        granted=granted,
        valid_from=valid_from,
        valid_to=valid_to,
    )


def _uncovered(record: AccountRecord, booking_id: str = "standup") -> Fraction:
    return record.charges[booking_id, 1].coverage.uncovered


def _used_and_remaining(record: AccountRecord, unit: str) -> tuple[int, int]:
    balance = record.balances[unit]
    return balance.held + balance.drawn, balance.available


def _owed(record: AccountRecord) -> list[Obligation]:
    """List what is owed in cash."""
    return [o for held in record.obligations.values() for o in held if o.is_open]
