"""Statements: they add up, each begins where the last one ended, and nothing is stated twice."""

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import PeriodStatement, StatedOverage, StatedUnit
from booking_credits.ledger.closing import Closing, closing_of
from booking_credits.ledger.facts import Fact, PeriodClosed
from booking_credits.ledger.policies import PolicyBook
from builders import (
    ACCOUNT,
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


def test_an_account_that_is_opened_late_owes_nothing_twice() -> None:
    """March is stated as closed, and not again for the hours by which its zone ends it later."""
    record = a_record(BIG, time_passed("2026-03-13 00:00"), book=PACKS_BOOK)
    march = _close(record)
    post(record, [an_account(zone="America/New_York"), time_passed("2026-04-01 04:00")])
    rest = _close(record)
    assert (StatedOverage("EUR", "invoice", 5000, 0),) == march.overages
    assert () == rest.overages


def test_a_reversal_is_stated_whatever_becomes_of_the_calendar() -> None:
    """A line that was closed with a month is called off in what has become a quarter."""
    quarterly = an_account(cycle="quarter", anchor="2026-02-01")
    called_off = a_cancellation("big", occurred="2026-03-11 09:00")
    record = a_record(BIG, time_passed("2026-04-01 00:00"), book=PACKS_BOOK)
    march = _close(record)
    post(record, [quarterly, called_off, time_passed("2026-07-01 00:00")])
    quarter = _close(record)
    assert (StatedOverage("EUR", "invoice", 5000, 0),) == march.overages
    assert (StatedOverage("EUR", "invoice", 0, -5000),) == quarter.overages


def test_what_is_owed_is_stated_when_its_line_is_closed() -> None:
    """A line that began before its time is owed at once and stated with its own period."""
    april = a_booking("april", a_line(starts="2026-04-10 10:00", price=700))
    begun = a_start("april", occurred="2026-03-31 10:00")
    facts: list[Fact] = [april, begun, time_passed("2026-04-01 00:00"), MARCH]
    march, then = _statements(*facts, time_passed("2026-05-01 00:00"), APRIL)
    assert () == march.overages
    assert (StatedOverage("EUR", "invoice", 700, 0),) == then.overages


def test_a_line_that_moves_on_after_a_close_is_stated_where_it_stands() -> None:
    """What it owed in March is an adjustment, and what it owes in May is owed for May."""
    line = a_line(starts="2026-05-12 10:00", costs={"coin": 5000}, price=6000)
    moved = a_booking("big", line, revision=2, occurred="2026-03-11 09:00")
    record = a_record(BIG, time_passed("2026-04-01 00:00"), book=PACKS_BOOK)
    march = _close(record)
    post(record, [moved, time_passed("2026-05-01 00:00")])
    april = _close(record)
    post(record, [time_passed("2026-06-01 00:00")])
    may = _close(record)
    assert (StatedOverage("EUR", "invoice", 5000, 0),) == march.overages
    assert (StatedOverage("EUR", "invoice", 0, -5000),) == april.overages
    assert (StatedOverage("EUR", "invoice", 6000, 0),) == may.overages


def test_periods_are_named_by_where_the_last_one_ended() -> None:
    """Whatever the calendar becomes after a close, the next period begins there and has a name."""
    record = a_record(MARCH, book=PACKS_BOOK)
    assert "2026-04-01" == _name_of_next(record)
    post(record, [an_account(zone="America/New_York")])
    assert "2026-03-31" == _name_of_next(record)
    post(record, [an_account(zone="Asia/Tokyo", occurred="2026-01-02 00:00")])
    assert "2026-04-01" == _name_of_next(record)
    quarterly = an_account(cycle="quarter", anchor="2026-03-01", occurred="2026-01-03 00:00")
    post(record, [quarterly])
    assert "2026-04-01" == _name_of_next(record)


def test_the_first_period_is_named_by_its_calendar() -> None:
    """An account that is opened before anything was closed has no name of another calendar."""
    record = a_record(an_account(cycle="quarter", anchor="2026-01-01"), book=PACKS_BOOK)
    closing = closing_of(record.timeline, at("2026-03-01 00:00"), is_first=True)
    assert on("2026-01-01") == closing.period_start


def test_nothing_takes_effect_in_a_closed_period() -> None:
    """What is told late takes effect where the last closed period ended, and adjusts the next."""
    on_time, late = a_grant("on-time", 500), a_grant("late", 300)
    record = a_record(time_passed("2026-04-01 00:00"), book=PACKS_BOOK)
    [given] = post(record, [on_time])
    _close(record)
    [told] = post(record, [late])
    assert (on_time.occurred_at, at("2026-04-01 00:00")) == (given.effective_at, told.effective_at)
    post(record, [a_grant("renewed", 40, granted="2026-04-01 00:00")])
    assert (StatedUnit("coin", 500, 40, 0, 0, 0, 300, 840),) == _close(record).units


@given(books, histories())
def test_statements_follow_one_another(book: PolicyBook, facts: list[Fact]) -> None:
    """However facts and closings come, statements add up, follow one another and owe once."""
    record = AccountRecord(ACCOUNT, book)
    closes: dict[str, int] = {}
    stated: Counter[tuple[str, str]] = Counter()
    told: list[Fact] = [fact for fact in facts if not isinstance(fact, PeriodClosed)]
    for number, fact in enumerate([*told, *_passing(told)]):
        through = record.closed_through
        for outcome in post(record, [fact]):
            assert outcome.effective_at >= (through or outcome.fact.occurred_at)
        if number % 4 == 3:
            content = _close(record)
            for unit in content.units:
                assert closes.get(unit.unit, 0) == unit.opening
                gone = unit.drawn + unit.expired + unit.removed
                assert unit.opening + unit.issued - gone + unit.adjusted == unit.closing
                closes[unit.unit] = unit.closing
            for overage in content.overages:
                change = overage.owed_minor + overage.adjusted_minor
                stated[overage.currency, overage.channel] += change
            assert _owed(record) == +stated


def _name_of_next(record: AccountRecord) -> str:
    return str(_next(record).period_start)


def _close(record: AccountRecord) -> PeriodStatement:
    """Close the next period."""
    closing = _next(record)
    due = PeriodClosed(closing.period_start, closing.ends_at, closing.closes_at)
    [outcome] = post(record, [due])
    [content] = [announcement.content for announcement in outcome.announcements]
    assert isinstance(content, PeriodStatement)
    return content


def _next(record: AccountRecord) -> Closing:
    """Return the closing that follows the last one; the first is that of March."""
    through = record.closed_through
    begins = through or at("2026-03-01 00:00")
    return closing_of(record.timeline, begins, is_first=through is None)


def _owed(record: AccountRecord) -> Counter[tuple[str, str]]:
    """Sum up what is owed for lines that were closed."""
    owed: Counter[tuple[str, str]] = Counter()
    for line in record.closed:
        for obligation in record.obligations.get(line, ()):
            if obligation.key.currency is not None and obligation.total_minor:
                owed[obligation.key.currency, obligation.key.channel] += obligation.total_minor
    return owed


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
