"""Golden vectors: worked examples, with every figure, from how such systems fail in practice.

Where an example came with rules other than ours, a comment says so and our figures stand. Examples
of what this ledger has no notion of (prices in tiers, debts that a purchase pays off, a member's
limit within the company's credits) are left out.
"""

from dataclasses import replace

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import OverageDetected
from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.charges import NOTHING, Take
from booking_credits.ledger.facts import CreditsGranted, Fact, Line, Rollover, Span
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    a_renewal,
    a_start,
    an_account,
    an_allotment,
    at,
    on,
    post,
    time_passed,
)

PACKS = a_book(policy="packs")
COINS = a_book(policy="coins")


@pytest.mark.parametrize(
    ("cancelled", "expected"),
    [
        (None, {"june": 60, "open": 30}),
        # A fee of half the minutes is not charged: a cancellation gives back all or nothing.
        ("2026-06-12 09:59", {"june": 0, "open": 0}),
        ("2026-06-12 10:00", {"june": 60, "open": 30}),
    ],
)
def test_what_ends_first_pays_first(cancelled: str | None, expected: dict[str, int]) -> None:
    """60 minutes to 1 July and 120 without an end: 90 minutes take 60 and 30."""
    facts: list[Fact] = [
        _june(60),
        a_grant("open", 120, unit="minute"),
        a_booking("standup", _minutes(90, "2026-06-12 10:00")),
        time_passed("2026-06-12 10:00"),
    ]
    if cancelled is not None:
        facts.append(a_cancellation(occurred=cancelled))
    record = a_record(*facts, book=PACKS)
    assert expected == {grant_id: _used(record, grant_id) for grant_id in ("june", "open")}


def test_a_late_grant_adjusts_the_overage() -> None:
    """120 minutes at 30.00 an hour, 60 covered: 30.00; 45 more: 7.50, which is 22.50 less."""
    line = _minutes(120, "2026-06-12 10:00", price=6000)
    record = a_record(_june(60), a_booking("standup", line), book=PACKS)
    outcomes = post(
        record,
        [
            time_passed("2026-06-12 10:00"),
            a_grant("late", 45, unit="minute", valid_from="2026-06-01 00:00", backdated=True),
        ],
    )
    contents = [a.content for outcome in outcomes for a in outcome.announcements]
    overages = [content for content in contents if isinstance(content, OverageDetected)]
    assert [(1, 3000, 3000), (2, -2250, 750)] == [
        (o.obligation.revision, o.change_minor, o.obligation.total_minor) for o in overages
    ]


def test_a_line_over_a_boundary_is_paid_where_it_starts() -> None:
    """In Paris from 23:00 on 30 June to 1:00 on 1 July: June's grant pays all of it."""
    # The example cut it at midnight, 22:00 UTC: 60 minutes each. Here a line is paid whole, by
    # grants that are valid at its start.
    facts: list[Fact] = [
        an_account(zone="Europe/Paris", policy="packs"),
        a_renewal(an_allotment(200, unit="minute"), period="2026-06-01"),
        a_renewal(an_allotment(200, unit="minute"), period="2026-07-01"),
        a_booking("standup", _minutes(120, "2026-06-30 21:00")),
    ]
    record = a_record(*facts)
    assert at("2026-06-30 22:00") == record.grants["plan/hot-desk/base/2026-06-01"].grant.to_at
    assert [120, 0] == [
        _used(record, f"plan/hot-desk/base/2026-{month}-01") for month in ("06", "07")
    ]


def test_an_hour_that_comes_twice_is_an_hour_longer() -> None:
    """In New York 0:30 to 2:30 on 1 November is three hours, drawn at their end."""
    starts, ends = (at(f"2026-11-01 {t}", "America/New_York") for t in ("00:30", "02:30"))
    assert (at("2026-11-01 04:30"), at("2026-11-01 07:30")) == (starts, ends)
    line = replace(_minutes(180, "2026-11-01 04:30"), ends_at=ends)
    record = a_record(_grant(180), a_booking("standup", line), book=a_book(policy="tenant"))
    post(record, [time_passed("2026-11-01 07:29")])
    assert 0 == record.balances["minute"].drawn
    post(record, [time_passed("2026-11-01 07:30")])
    assert 180 == record.balances["minute"].drawn


def test_an_overage_is_rounded_once() -> None:
    """50 of 60 minutes at 19.99 an hour are 16.658333: 16.66."""
    line = _minutes(60, "2026-06-12 10:00", price=1999)
    record = a_record(
        _grant(10), a_booking("standup", line), time_passed("2026-06-12 10:00"), book=PACKS
    )
    assert [1666] == _owed(record)


def test_a_bookings_overage_is_the_sum_of_its_lines() -> None:
    """Three times 10 of 60 minutes at 19.99: 3.33 each, 9.99 in all."""
    # The example rounded the whole, to 10.00, and gave the odd cent to the first line. Here each
    # line is rounded and stays what it is whatever becomes of the others.
    lines = [
        _minutes(60, f"2026-06-12 1{hour}:00", price=1999, line_no=hour + 1) for hour in range(3)
    ]
    grants = [
        a_grant(
            f"g{hour}",
            50,
            unit="minute",
            valid_from=f"2026-06-12 1{hour}:00",
            valid_to=f"2026-06-12 1{hour}:30",
        )
        for hour in range(3)
    ]
    record = a_record(
        *grants, a_booking("day", *lines), time_passed("2026-06-13 00:00"), book=PACKS
    )
    assert [333, 333, 333] == _owed(record)


@pytest.mark.parametrize(("occurred", "used"), [("09:59:59", 0), ("10:00:00", 60)])
def test_a_cancellation_counts_by_when_it_was_made(occurred: str, used: int) -> None:
    """A second before the start all comes back, at the start nothing, whenever it is learned."""
    facts: list[Fact] = [
        _grant(100),
        a_booking("standup", _minutes(60, "2026-03-10 10:00")),
        time_passed("2026-03-10 10:00"),
        a_start(occurred="2026-03-10 10:00:00"),
        time_passed("2026-03-10 10:03"),
        a_cancellation(occurred=f"2026-03-10 {occurred}"),
    ]
    assert used == _used(a_record(*facts, book=PACKS), "grant")


@pytest.mark.parametrize(
    ("late", "expired", "rolled"),
    [
        (0, 80, 100),
        # 50 minutes of June that are learned in July come out of what had expired.
        (50, 30, 100),
        # 150 take all of that, and 70 of what had rolled over.
        (150, 0, 30),
    ],
)
def test_what_rolls_over_is_capped(late: int, expired: int, rolled: int) -> None:
    """420 of June's 600 minutes are used: of the 180 left 100 roll over, and 80 expire."""
    rollover = Rollover(Span(1, "months"), 100)
    facts: list[Fact] = [
        a_renewal(an_allotment(600, unit="minute", rollover=rollover), period="2026-06-01"),
        a_booking("june", _minutes(420, "2026-06-10 10:00")),
        time_passed("2026-07-01 00:00"),
    ]
    if late:
        facts.append(a_booking("late", _minutes(late, "2026-06-20 10:00")))
    record = a_record(*facts, book=PACKS)
    buckets = record.grants["plan/hot-desk/base/2026-06-01"].buckets
    assert (420 + late, expired, rolled) == (buckets.drawn, buckets.expired, buckets.available)


def test_an_anchor_on_the_31st_is_clamped_anew_each_month() -> None:
    """31 January, 28 February, 31 March, 30 April, 31 May."""
    record = a_record(an_account(anchor="2027-01-31", since="2027-01-31"))
    starts = []
    instant = at("2027-01-31 12:00")
    for _ in range(5):
        period = record.timeline.period_at(instant)
        starts.append(period.start_date)
        instant = period.end
    expected = ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]
    assert [on(day) for day in expected] == starts


def test_what_is_held_does_not_expire() -> None:
    """60 of 100 are held for 30 June: as July begins 40 expire, and a late start still draws 60."""
    record = _held_for_30_june()
    assert Buckets(granted=100, drawn=60, expired=40) == record.grants["june"].buckets
    post(record, [a_start(occurred="2026-06-30 09:55")])
    assert Buckets(granted=100, drawn=60, expired=40) == record.grants["june"].buckets


def test_what_comes_back_after_the_end_expires() -> None:
    """Cancelled on 29 June and learned on 2 July: 100 have expired, and none is available."""
    record = _held_for_30_june()
    post(record, [a_cancellation(occurred="2026-06-29 12:00")])
    assert Buckets(granted=100, expired=100) == record.grants["june"].buckets


def test_a_cancellation_may_come_first() -> None:
    """The booking that follows stays cancelled, and takes nothing."""
    # The example's cancellation bears the revision of the booking itself; here it is the next.
    record = a_record(_grant(100), book=PACKS)
    before = record.balances
    post(
        record, [a_cancellation(revision=2), a_booking("standup", _minutes(60, "2026-03-10 10:00"))]
    )
    assert ({}, before) == (record.charges, record.balances)


@pytest.mark.parametrize(("quantity", "expected"), [(100, "duplicate"), (200, "renewal_conflict")])
def test_a_renewal_twice_is_one_grant(quantity: int, expected: str) -> None:
    """With the same content it is a duplicate; with another quantity it is set aside."""
    first, again = (a_renewal(an_allotment(n, unit="minute")) for n in (100, quantity))
    record = a_record(first, book=PACKS)
    assert expected == admit(record.facts_of(again.subject), again)
    post(record, [again])
    assert 100 == record.balances["minute"].granted


def test_an_unlimited_grant_takes_over_what_coins_paid() -> None:
    """240 minutes at 20.00 an hour: 50.00 in coins and 30.00 owed, until hours are unlimited."""
    # Of the example's two policies, to fill up what is uncovered or to work all out anew, ours is
    # the second: coverage never depends on which grant was learned of first.
    line = a_line(
        starts="2026-06-12 10:00",
        minutes=240,
        costs={"minute": 240, "coin": 8000},
        price=8000,
    )
    record = a_record(a_grant("coins", 5000), a_booking("standup", line), book=COINS)
    assert ((Take("coins", 5000),), (3, 8)) == _coverage(record)
    post(record, [a_grant("hours", None, unit="minute", granted="2026-06-01 00:00")])
    assert ((Take("hours", 240),), NOTHING) == _coverage(record)
    assert 5000 == record.balances["coin"].available


def _held_for_30_june() -> AccountRecord:
    """Hold 60 of 100 minutes that end on 1 July for a line on 30 June; it is 2 July."""
    facts: list[Fact] = [
        _june(100),
        a_booking("standup", _minutes(60, "2026-06-30 10:00")),
        time_passed("2026-07-02 00:00"),
    ]
    return a_record(*facts, book=PACKS)


def _june(minutes: int) -> CreditsGranted:
    return a_grant(
        "june", minutes, unit="minute", granted="2026-06-01 00:00", valid_to="2026-07-01 00:00"
    )


def _grant(minutes: int) -> CreditsGranted:
    return a_grant("grant", minutes, unit="minute")


def _minutes(minutes: int, starts: str, *, price: int = 1000, line_no: int = 1) -> Line:
    return a_line(line_no, starts=starts, minutes=minutes, costs={"minute": minutes}, price=price)


def _used(record: AccountRecord, grant_id: str) -> int:
    buckets = record.grants[grant_id].buckets
    return buckets.held + buckets.drawn


def _owed(record: AccountRecord) -> list[int]:
    return [o.total_minor for held in record.obligations.values() for o in held if o.is_open]


def _coverage(record: AccountRecord) -> tuple[tuple[Take, ...], tuple[int, int]]:
    coverage = record.charges["standup", 1].coverage
    return coverage.takes, coverage.uncovered
