"""Notices: what is left of a grant is announced some local days before its end, once."""

from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import CreditsExpiring
from booking_credits.ledger.due import due_instants
from booking_credits.ledger.facts import Fact, Rollover, Span, TimePassed
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.settlement import settle
from builders import (
    ACCOUNT,
    PACKS,
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_renewal,
    an_account,
    an_allotment,
    at,
    post,
    time_passed,
)
from ledger.living import live

Notice: TypeAlias = tuple[str, int, datetime]

WEEK = a_book(replace(PACKS, expiry_notice_days=7), policy="packs")
MARCH = "plan/hot-desk/base/2026-03-01"
END = at("2026-04-01 00:00")
RENEWAL = a_renewal(an_allotment(5000))
STANDUP = a_booking("standup", a_line(starts="2026-03-28 10:00", costs={"coin": 1000}))


def test_what_nobody_has_taken_is_announced_as_its_day_comes() -> None:
    """Neither what is held nor what is drawn is about to be lost."""
    assert [(MARCH, 4000, END)] == _told(RENEWAL, STANDUP, time_passed("2026-03-25 00:00"))
    assert [] == _told(RENEWAL, STANDUP, time_passed("2026-03-24 23:59"))


def test_a_notice_is_given_once() -> None:
    """Whatever happens between the notice and the end, and however often time passes."""
    assert [(MARCH, 4000, END)] == _told(
        RENEWAL,
        STANDUP,
        time_passed("2026-03-25 00:00"),
        a_cancellation(),
        time_passed("2026-03-26 00:00"),
        time_passed("2026-04-02 00:00"),
    )


def test_nothing_left_is_no_notice() -> None:
    """Who has used everything need not be told."""
    big = a_booking("big", a_line(starts="2026-03-28 10:00", costs={"coin": 5000}))
    assert [] == _told(RENEWAL, big, time_passed("2026-03-25 00:00"))


def test_neither_an_open_end_nor_an_unlimited_grant_is_announced() -> None:
    """The one never expires, of the other nothing is left."""
    unlimited = a_grant("flat", None, valid_to="2026-04-01 00:00")
    assert [] == _told(a_grant(), unlimited, time_passed("2026-03-25 00:00"))


def test_without_days_in_the_policy_there_are_no_notices() -> None:
    """The usual policies announce nothing."""
    told = _told(RENEWAL, time_passed("2026-03-25 00:00"), book=a_book(policy="packs"))
    assert [] == told


def test_the_days_are_local_ones() -> None:
    """In New York clocks go forward on 8 March: seven days are an hour less."""
    account = an_account(zone="America/New_York", policy="packs")
    given = a_grant(valid_to=at("2026-03-10 17:00", "America/New_York"))
    assert at("2026-03-03 17:00", "America/New_York") in _due(account, given)


def test_a_notice_that_comes_late_is_given_while_it_is_of_use() -> None:
    """A clock that stood still for a day tells it later, one that slept past the end never."""
    due = at("2026-03-25 00:00")
    late, too_late = at("2026-03-26 00:00"), at("2026-04-01 00:00")
    assert [(MARCH, 5000, END)] == _told(RENEWAL, TimePassed(due, late))
    assert [] == _told(RENEWAL, TimePassed(due, too_late))


def test_a_grant_that_is_learned_after_its_notice_is_due_is_not_announced() -> None:
    """The clock has passed that instant; what was issued just now is known well enough."""
    assert [] == _told(time_passed("2026-03-26 00:00"), RENEWAL, time_passed("2026-03-27 00:00"))


def test_a_move_of_zone_moves_the_notice() -> None:
    """The clock is told when to come by again, though the grant itself stays as it is."""
    given = a_grant(valid_to="2026-03-10 00:00")
    moved = an_account(zone="America/New_York", policy="packs")
    assert {at("2026-03-03 01:00")} == _due(given, moved)


@pytest.mark.parametrize(
    ("days", "told"),
    [
        pytest.param(
            20, [("2026-03-25", 3500, END), ("2026-04-14", 500, at("2026-04-21 00:00"))], id="apart"
        ),
        pytest.param(
            3,
            [("2026-03-25", 3500, END), ("2026-03-28", 500, at("2026-04-04 00:00"))],
            id="overlapping",
        ),
    ],
)
def test_what_does_not_roll_over_is_announced_before_the_rest(
    days: int, told: list[tuple[str, int, datetime]]
) -> None:
    """Beyond the cap credits are lost with the month, the others some days later."""
    renewal = a_renewal(an_allotment(5000, rollover=Rollover(Span(days, "days"), 500)))
    outcomes = live(WEEK, [renewal, STANDUP], at("2026-05-01 00:00")).postings.outcomes
    announced = [
        (f"{outcome.fact.occurred_at:%Y-%m-%d}", notice.content.quantity, notice.content.expires_at)
        for outcome in outcomes
        for notice in outcome.announcements
        if isinstance(notice.content, CreditsExpiring)
    ]
    assert told == announced


@given(st.sets(st.integers(1, 31)))
def test_however_time_passes_a_notice_is_given_once(days: set[int]) -> None:
    """Whichever instants the clock posts on the way, the one notice is that of its day."""
    passing = [time_passed(f"2026-03-{day:02}") for day in sorted({*days, 25})]
    assert [(MARCH, 5000, END)] == _told(RENEWAL, *passing)


@pytest.mark.parametrize("facts", [[RENEWAL], [a_grant(valid_to="2026-04-01 00:00")]])
def test_the_clock_is_told_when_to_come_by(facts: list[Fact]) -> None:
    """A grant's notice and its end are due."""
    assert {at("2026-03-25 00:00"), END} == _due(*facts)


def _due(*facts: Fact) -> set[datetime]:
    """Return what the last fact makes due."""
    record = AccountRecord(ACCOUNT, WEEK)
    post(record, facts[:-1])
    return set(due_instants(record, settle(record, facts[-1])))


def _told(*facts: Fact, book: PolicyBook = WEEK) -> list[Notice]:
    return _notices(AccountRecord(ACCOUNT, book), list(facts))


def _notices(record: AccountRecord, facts: list[Fact]) -> list[Notice]:
    contents = [a.content for outcome in post(record, facts) for a in outcome.announcements]
    return [
        (c.grant_id, c.quantity, c.expires_at) for c in contents if isinstance(c, CreditsExpiring)
    ]
