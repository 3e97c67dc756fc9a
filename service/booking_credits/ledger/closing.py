"""Closing: which period of an account is closed next, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from booking_credits.ledger.calendars import Timeline

_LAST_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Closing:
    """The period that is closed next; `open_from` is where the last one that was closed ended."""

    open_from: datetime
    period_start: date
    ends_at: datetime
    closes_at: datetime


def closing_of(timeline: Timeline, open_from: datetime) -> Closing:
    """Return the closing of the period that contains an instant, after its policy's grace."""
    period = timeline.period_at(open_from)
    grace = timedelta(hours=timeline.policy_at(period.end - _LAST_MOMENT).close_grace_hours)
    return Closing(open_from, period.start_date, period.end, period.end + grace)
