"""Days and billing periods against another library, day by day and boundary by boundary."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from dateutil import tz
from dateutil.relativedelta import relativedelta

from booking_credits.ledger.calendars import MONTHS_IN_CYCLE, Period, Timeline, midnight
from booking_credits.ledger.facts import Cycle
from builders import a_book, an_account

FIRST, LAST = date(2000, 1, 1), date(2029, 12, 31)
# Clocks that change in either half of the year, at midnight, over midnight, by half an hour, for
# good, across the date line, or never.
ZONES = (
    "America/New_York",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Dhaka",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Europe/Istanbul",
    "Europe/London",
    "Pacific/Apia",
)
CYCLES: tuple[Cycle, ...] = ("month", "quarter", "year")
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize("zone", ZONES)
def test_every_day_of_thirty_years_begins_when_others_say(zone: str) -> None:
    """A local day begins at the instant at which another library has it begin."""
    days = [FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)]
    assert [_begins(day, zone) for day in days] == [midnight(day, zone) for day in days]


@pytest.mark.parametrize("cycle", CYCLES)
def test_boundaries_follow_every_anchor_date(cycle: Cycle) -> None:
    """Whatever the day of the year, periods are the anchor's own months apart, clamped."""
    for anchor in (date(2012, 1, 1) + timedelta(days=number) for number in range(366)):
        timeline = _timeline("UTC", cycle, anchor)
        for start, end in _boundaries(cycle, anchor):
            period = timeline.period_from(start)
            assert (start, end) == (period.start_date, period.end_date)


@pytest.mark.parametrize("cycle", CYCLES)
@pytest.mark.parametrize("zone", ZONES)
def test_periods_hold_their_first_and_last_instant(zone: str, cycle: Cycle) -> None:
    """In every zone, from every anchor day, a period is what others take it for."""
    for day in range(1, 32):
        anchor = date(2012, 1, day)
        timeline = _timeline(zone, cycle, anchor)
        for start, end in _boundaries(cycle, anchor):
            begins, ends = midnight(start, zone), midnight(end, zone)
            expected = Period(start, end, begins, ends, zone, day)
            assert expected == timeline.period_at(begins)
            assert expected == timeline.period_at(ends - MICROSECOND)


def _timeline(zone: str, cycle: Cycle, anchor: date) -> Timeline:
    return Timeline([an_account(zone=zone, cycle=cycle, anchor=anchor.isoformat())], a_book())


def _begins(day: date, zone: str) -> datetime:
    first = datetime(day.year, day.month, day.day, tzinfo=tz.gettz(zone))
    return tz.resolve_imaginary(first).astimezone(UTC)


def _boundaries(cycle: Cycle, anchor: date) -> Iterator[tuple[date, date]]:
    """Yield the periods of thirty years around the anchor as pairs of start and end."""
    months = MONTHS_IN_CYCLE[cycle]
    for number in range(-180 // months, 180 // months):
        yield (
            anchor + relativedelta(months=number * months),
            anchor + relativedelta(months=(number + 1) * months),
        )
