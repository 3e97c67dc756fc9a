"""Statements: they add up, each begins where the last one ended, and nothing is stated twice."""

from datetime import datetime, timedelta

from hypothesis import given

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import PeriodStatement, StatedOverage, StatedUnit
from booking_credits.ledger.closing import closing_of
from booking_credits.ledger.facts import Fact, PeriodClosed
from booking_credits.ledger.policies import PolicyBook
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_line,
    a_record,
    a_renewal,
    an_allotment,
    at,
    on,
    post,
    time_passed,
)
from ledger.histories import books, histories

PACKS_BOOK = a_book(policy="packs")
MARCH = PeriodClosed(on("2026-03-01"), at("2026-04-01 00:00"), at("2026-04-04 00:00"))
APRIL = PeriodClosed(on("2026-04-01"), at("2026-05-01 00:00"), at("2026-05-04 00:00"))
RENEWALS: list[Fact] = [
    a_renewal(an_allotment(5000)),
    a_renewal(an_allotment(5000), period="2026-04-01", occurred="2026-04-01 00:00"),
]
STANDUP = a_booking("standup", a_line(costs={"coin": 1000}))
BIG = a_booking("big", a_line(starts="2026-03-12 10:00", costs={"coin": 5000}, price=5000))
HELD = a_booking("held", a_line(starts="2026-04-02 10:00", costs={"coin": 700}))


def test_a_statement_adds_up() -> None:
    """What was issued, drawn and lost in March, and what is owed for it."""
    passing = [time_passed("2026-03-13 00:00"), time_passed("2026-04-01 00:00")]
    stated = _stated(RENEWALS[0], STANDUP, BIG, *passing, MARCH)
    assert (StatedUnit("coin", 0, 5000, 5000, 0, 0, 0, 0),) == stated.units
    assert (StatedOverage("EUR", "invoice", 1000, 0),) == stated.overages
    assert (on("2026-03-01"), on("2026-04-01"), "UTC") == (
        stated.start_date,
        stated.end_date,
        stated.zone,
    )


def test_what_happened_in_the_grace_is_the_next_period() -> None:
    """April's credits are there when March is closed, and are stated in April."""
    facts = [*RENEWALS, HELD, time_passed("2026-04-01 00:00"), time_passed("2026-04-02 10:00")]
    march, april = _statements(*facts, MARCH, time_passed("2026-05-01 00:00"), APRIL)
    assert (StatedUnit("coin", 0, 5000, 0, 5000, 0, 0, 0),) == march.units
    assert (StatedUnit("coin", 0, 5000, 700, 4300, 0, 0, 0),) == april.units


def test_what_is_learned_late_is_an_adjustment() -> None:
    """A cancellation that came too late for March gives back in April what March had stated."""
    called_off = a_cancellation("big", occurred="2026-03-11 09:00")
    late = [called_off, a_booking("more", a_line(starts="2026-03-15 10:00", price=300))]
    facts = [RENEWALS[0], STANDUP, BIG, time_passed("2026-04-01 00:00"), MARCH, *late]
    march, april = _statements(*facts, time_passed("2026-05-01 00:00"), APRIL)
    assert (StatedOverage("EUR", "invoice", 1000, 0),) == march.overages
    assert (StatedOverage("EUR", "invoice", 0, -1000),) == april.overages
    assert 0 == april.units[0].closing


def test_what_is_late_for_its_time_moves_the_balance() -> None:
    """A renewal of March that is learned when March is closed is an adjustment in April."""
    longer = a_renewal(an_allotment(800), ends="2026-12-01", occurred="2026-03-01 00:00")
    facts = [RENEWALS[1], time_passed("2026-04-01 00:00"), MARCH, longer]
    march, april = _statements(*facts, time_passed("2026-05-01 00:00"), APRIL)
    assert (StatedUnit("coin", 0, 0, 0, 0, 0, 0, 0),) == march.units
    assert (StatedUnit("coin", 0, 5000, 0, 5000, 0, 800, 800),) == april.units


@given(books, histories())
def test_statements_follow_one_another(book: PolicyBook, facts: list[Fact]) -> None:
    """However facts and closings come, every statement adds up and begins where the last ended."""
    record = AccountRecord(ACCOUNT, book)
    closes: dict[str, int] = {}
    open_from = at("2026-03-01 00:00")
    told: list[Fact] = [fact for fact in facts if not isinstance(fact, PeriodClosed)]
    for number, fact in enumerate([*told, *_passing(told)]):
        post(record, [fact])
        if number % 4 == 3:
            closing = closing_of(record.timeline, open_from)
            open_from = closing.ends_at
            due = PeriodClosed(closing.period_start, closing.ends_at, closing.closes_at)
            [outcome] = post(record, [due])
            [content] = [announcement.content for announcement in outcome.announcements]
            assert isinstance(content, PeriodStatement)
            for unit in content.units:
                assert closes.get(unit.unit, 0) == unit.opening
                gone = unit.drawn + unit.expired + unit.removed
                assert unit.opening + unit.issued - gone + unit.adjusted == unit.closing
                closes[unit.unit] = unit.closing


def _passing(facts: list[Fact]) -> list[Fact]:
    """Let days pass after everything has happened."""
    last: datetime = max(fact.occurred_at for fact in facts)
    return [time_passed(last + timedelta(days=40 * number)) for number in range(1, 9)]


def _stated(*facts: Fact) -> PeriodStatement:
    return _statements(*facts)[-1]


def _statements(*facts: Fact) -> list[PeriodStatement]:
    outcomes = post(a_record(book=PACKS_BOOK), facts)
    contents = (a.content for outcome in outcomes for a in outcome.announcements)
    return [content for content in contents if isinstance(content, PeriodStatement)]
