"""Local dates as instants, and billing periods through clamps, leap years and clock changes."""

from dataclasses import astuple, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from booking_credits.ledger.calendars import Period, Timeline, add_months, local_date, midnight
from booking_credits.ledger.facts import AccountDescribed, Cycle
from builders import COINS, PACKS, TENANT, a_book, an_account, at, on

# Zones far from Greenwich both ways, some whose rules or side of the date line have changed, and
# one where clocks went back over midnight.
ZONES = (
    "UTC",
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Sydney",
    "Europe/Istanbul",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)
DATES = st.dates(date(2000, 1, 1), date(2040, 12, 31))
INSTANTS = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001 - the strategy adds the zone.
    datetime(2040, 1, 1),  # noqa: DTZ001 - the strategy adds the zone.
    timezones=st.just(UTC),
)


@pytest.mark.parametrize(
    ("day", "zone", "expected"),
    [
        ("2026-03-01", "UTC", "2026-03-01 00:00"),
        ("2026-03-01", "America/New_York", "2026-03-01 05:00"),
        ("2026-04-01", "America/New_York", "2026-04-01 04:00"),
        ("2026-03-01", "Asia/Kathmandu", "2026-02-28 18:15"),
        # Midnight is skipped: the day begins at one o'clock, which is the instant of the skip.
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04 03:00"),
        # Midnight comes twice: the day begins at the first.
        ("2018-02-18", "America/Sao_Paulo", "2018-02-18 03:00"),
        ("2025-10-26", "Atlantic/Azores", "2025-10-26 00:00"),
        # The whole day is skipped: it begins where the next one does.
        ("2011-12-30", "Pacific/Apia", "2011-12-30 10:00"),
        ("2011-12-31", "Pacific/Apia", "2011-12-30 10:00"),
    ],
)
def test_a_day_begins_at_its_first_instant(day: str, zone: str, expected: str) -> None:
    """Midnight is an instant, even on days when the clocks change at it."""
    assert at(expected) == midnight(on(day), zone)


@given(DATES, st.sampled_from(ZONES))
def test_the_first_instant_of_a_day_belongs_to_it(day: date, zone: str) -> None:
    """The instant before belongs to an earlier day; a day that was skipped has none."""
    first = midnight(day, zone)
    assert local_date(first, zone) in {day, day + timedelta(days=1)}
    assert local_date(first - timedelta(microseconds=1), zone) < day


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2026-01-31", 2, "2026-03-31"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2028-02-29", 12, "2029-02-28"),
        ("2028-02-29", 48, "2032-02-29"),
        ("2026-01-15", -1, "2025-12-15"),
        ("2026-12-31", 2, "2027-02-28"),
        ("2026-03-31", -1, "2026-02-28"),
    ],
)
def test_months_are_clamped(day: str, months: int, expected: str) -> None:
    """A month later is the same day, or the month's last."""
    assert on(expected) == add_months(on(day), months)


@pytest.mark.parametrize(
    ("day", "anchor_day", "expected"),
    [
        ("2026-02-28", 31, "2026-03-31"),
        ("2026-02-28", 30, "2026-03-30"),
        ("2026-04-30", 31, "2026-05-31"),
        ("2026-02-28", 28, "2026-03-28"),
        ("2028-02-28", 31, "2028-03-28"),
        ("2026-03-15", 31, "2026-04-15"),
    ],
)
def test_a_longer_month_has_the_anchor_day_again(day: str, anchor_day: int, expected: str) -> None:
    """A date that a short month had clamped goes on from the anchor's day, any other from its."""
    assert on(expected) == add_months(on(day), 1, anchor_day)


@given(DATES, st.integers(-600, 600))
def test_months_are_what_others_take_them_for(day: date, months: int) -> None:
    """Adding months agrees with dateutil."""
    assert day + relativedelta(months=months) == add_months(day, months)


@pytest.mark.parametrize(
    ("cycle", "anchor", "instant", "start", "end"),
    [
        ("month", "2026-01-01", "2026-03-10 10:00", "2026-03-01", "2026-04-01"),
        ("month", "2026-01-31", "2026-02-27 23:59", "2026-01-31", "2026-02-28"),
        ("month", "2026-01-31", "2026-02-28 00:00", "2026-02-28", "2026-03-31"),
        ("month", "2026-01-31", "2026-03-31 00:00", "2026-03-31", "2026-04-30"),
        ("month", "2026-01-31", "2028-02-29 00:00", "2028-02-29", "2028-03-31"),
        ("month", "2026-01-15", "2025-12-31 00:00", "2025-12-15", "2026-01-15"),
        ("quarter", "2026-01-31", "2026-05-01 00:00", "2026-04-30", "2026-07-31"),
        ("year", "2024-02-29", "2025-02-28 00:00", "2025-02-28", "2026-02-28"),
        ("year", "2024-02-29", "2028-02-28 23:59", "2027-02-28", "2028-02-29"),
    ],
)
def test_periods_keep_their_anchor_day(
    cycle: Cycle, anchor: str, instant: str, start: str, end: str
) -> None:
    """Periods are counted from the anchor, before it too, and clamped to the month."""
    period = _period(an_account(cycle=cycle, anchor=anchor), instant=instant)
    assert (on(start), on(end)) == (period.start_date, period.end_date)


def test_a_period_lasts_longer_where_clocks_go_back() -> None:
    """A month is a matter of local dates: March has an hour less, November one more."""
    account = an_account(zone="America/New_York")
    march = _period(account, instant="2026-03-10 10:00")
    november = _period(account, instant="2026-11-10 10:00")
    assert timedelta(days=31, hours=-1) == march.end - march.start
    assert timedelta(days=30, hours=1) == november.end - november.start


def test_a_new_calendar_begins_where_the_running_period_ends() -> None:
    """The running period keeps its end, the next lasts to the new calendar's first boundary."""
    monthly = an_account(anchor="2026-01-01")
    moved = an_account(since="2026-03-10", anchor="2026-01-15", zone="Europe/Sofia")
    running = _period(monthly, moved, instant="2026-03-20 00:00")
    following = _period(monthly, moved, instant="2026-04-05 00:00")
    assert (on("2026-03-01"), on("2026-04-01")) == (running.start_date, running.end_date)
    assert running.end == following.start
    assert (on("2026-04-01"), on("2026-04-15")) == (following.start_date, following.end_date)
    assert "Europe/Sofia" == following.zone


def test_a_new_calendar_from_a_boundary_on_begins_at_once() -> None:
    """Nothing runs at a boundary, so there is nothing to wait for."""
    quarterly = an_account(since="2026-04-01", cycle="quarter", anchor="2026-04-01")
    period = _period(an_account(), quarterly, instant="2026-04-05 00:00")
    assert (on("2026-04-01"), on("2026-07-01")) == (period.start_date, period.end_date)


@pytest.mark.parametrize(
    ("zone", "start", "end"),
    [
        ("America/New_York", "2026-04-01 00:00", "2026-05-01 04:00"),
        ("Asia/Kathmandu", "2026-04-01 00:00", "2026-04-30 18:15"),
        ("Pacific/Kiritimati", "2026-04-01 00:00", "2026-04-30 10:00"),
    ],
)
def test_a_new_zone_from_a_boundary_on_begins_where_the_old_period_ends(
    zone: str, start: str, end: str
) -> None:
    """Whichever way an account moves, the period that begins on the date is the new zone's."""
    moved = an_account(since="2026-04-01", zone=zone)
    period = _period(an_account(), moved, instant="2026-04-20 00:00")
    expected = (on("2026-04-01"), on("2026-05-01"), at(start), at(end), zone, 1)
    assert expected == astuple(period)
    assert period == Timeline([an_account(), moved], a_book()).period_from(on("2026-04-01"))


def test_a_new_zone_in_mid_period_keeps_the_name_of_the_next() -> None:
    """The next period begins, and is called, where the old calendar ended it."""
    moved = an_account(since="2026-03-10", anchor="2026-01-15", zone="America/New_York")
    period = _period(an_account(), moved, instant="2026-04-01 00:00")
    expected = (on("2026-04-01"), on("2026-04-15"), at("2026-04-01 00:00"), at("2026-04-15 04:00"))
    assert expected == astuple(period)[:4]


def test_a_period_is_never_turned_round() -> None:
    """Twenty-six hours east the next day begins before the old zone's period has ended."""
    west = an_account(zone="Etc/GMT+12")
    east = an_account(since="2026-03-10", anchor="2026-01-02", zone="Pacific/Kiritimati")
    timeline = Timeline([west, east], a_book())
    period = timeline.period_at(at("2026-04-01 12:00"))
    assert (on("2026-04-01"), on("2026-05-02")) == (period.start_date, period.end_date)
    assert period.start == timeline.period_from(on("2026-04-02")).start


def test_a_day_that_is_read_twice_belongs_to_the_period_that_has_begun() -> None:
    """Clocks went from 00:01 on 1 November back to 31 October; the period did not."""
    account = an_account(zone="America/St_Johns", since="2009-01-01", anchor="2009-01-01")
    assert on("2009-10-01") == _period(account, instant="2009-11-01 02:29").start_date
    assert on("2009-11-01") == _period(account, instant="2009-11-01 02:40").start_date


def test_an_opening_holds_for_the_time_before_it() -> None:
    """What happened before an account was opened lives by the same terms."""
    opened = an_account(since="2026-06-01", anchor="2026-06-10")
    assert on("2026-02-10") == _period(opened, instant="2026-03-01 00:00").start_date


def test_an_account_that_no_one_opened_lives_by_the_default() -> None:
    """Without a description the book says what holds."""
    timeline = Timeline((), a_book(policy="packs", cycle="quarter", anchor="2026-02-01"))
    assert on("2026-02-01") == timeline.period_at(at("2026-03-10 10:00")).start_date
    assert PACKS == timeline.policy_at(at("2026-03-10 10:00"))


def test_the_policy_is_the_one_in_force_at_the_instant() -> None:
    """Terms and versions of a policy change over at their own instants."""
    later = replace(TENANT, from_at=at("2026-05-01 00:00"), channel="card")
    book = a_book(COINS, TENANT, later, PACKS)
    changed = an_account(since="2026-04-01", policy="tenant")
    timeline = Timeline([changed, an_account(policy="coins")], book)
    found = [timeline.policy_at(at(f"2026-{month}-15 00:00")) for month in ("03", "04", "05")]
    assert [COINS, TENANT, later] == found


def test_lines_of_an_earlier_order_come_first() -> None:
    """The order's number rises only where the order of charges changes."""
    facts = [
        an_account(policy="coins"),
        an_account(since="2026-04-01", policy="tenant"),
        an_account(since="2026-05-01", policy="packs"),
        an_account(since="2026-06-01", policy="coins"),
    ]
    timeline = Timeline(facts, a_book())
    orders = [timeline.order_at(at(f"2026-0{month}-15 00:00")) for month in (1, 3, 4, 5, 6)]
    assert [0, 0, 1, 1, 2] == orders


def test_a_location_may_have_a_policy_of_its_own() -> None:
    """Draw point and due date follow the line's location, where it has a policy."""
    timeline = Timeline((), a_book(locations={"mill": "packs"}))
    found = [timeline.location_policy(place, at("2026-03-10 10:00")) for place in ("mill", None)]
    assert [PACKS, COINS] == found


def test_an_account_lives_by_the_policy_of_its_location() -> None:
    """Who names no policy has that of the location, and without one the default."""
    book = a_book(locations={"mill": "packs"})
    found = [
        Timeline([account], book).policy_at(at("2026-03-10 10:00"))
        for account in (
            an_account(location="mill"),
            an_account(location="mill", policy="tenant"),
            an_account(location="harbour"),
        )
    ]
    assert [PACKS, TENANT, COINS] == found


DESCRIPTIONS = st.builds(
    an_account,
    since=st.dates(date(2026, 1, 1), date(2027, 12, 31)).map(date.isoformat),
    zone=st.sampled_from(ZONES),
    cycle=st.sampled_from(("month", "quarter", "year")),
    anchor=st.dates(date(2025, 1, 1), date(2027, 12, 31)).map(date.isoformat),
)


@given(st.lists(DESCRIPTIONS, max_size=4), INSTANTS)
def test_every_instant_lies_in_one_period(facts: list[AccountDescribed], instant: datetime) -> None:
    """Periods contain what they are asked for and follow one another without a gap."""
    timeline = Timeline(facts, a_book())
    period = timeline.period_at(instant)
    assert period.start <= instant < period.end
    assert period == timeline.period_at(period.start)
    assert period == timeline.period_at(period.end - timedelta(microseconds=1))
    assert period.end == timeline.period_at(period.end).start


@given(st.lists(DESCRIPTIONS, max_size=4), DATES)
def test_every_date_lies_in_one_period(facts: list[AccountDescribed], day: date) -> None:
    """A date's period begins on it or before, and the next one where that ends."""
    timeline = Timeline(facts, a_book())
    left = timeline.period_from(day)
    whole = timeline.period_at(left.start)
    assert day == left.start_date
    assert whole.start_date <= day < whole.end_date
    assert whole == timeline.period_from(whole.start_date)
    assert whole.end == timeline.period_from(whole.end_date).start


@given(DESCRIPTIONS, INSTANTS)
def test_a_period_begins_at_midnight_on_its_start_date(
    fact: AccountDescribed, instant: datetime
) -> None:
    """A period is named by the local date on which it begins."""
    period = Timeline([fact], a_book()).period_at(instant)
    assert midnight(period.start_date, fact.zone) == period.start
    assert period.start.astimezone(ZoneInfo(fact.zone)).date() >= period.start_date


def _period(*facts: AccountDescribed, instant: str) -> Period:
    return Timeline(facts, a_book()).period_at(at(instant))
