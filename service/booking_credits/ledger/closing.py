"""Closing: which period of an account is closed next and when, and which lines with it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from booking_credits.ledger.calendars import local_date
from booking_credits.ledger.facts import Line, Money

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.charges import LineKey
    from booking_credits.ledger.facts import PeriodClosed

_LAST_MOMENT = timedelta(microseconds=1)
_ANY_REVISION = sys.maxsize


@dataclass(frozen=True, slots=True)
class ClosedTake:
    """What a line took from a grant when it was closed, in steps of the grant's unit."""

    grant_id: str
    unit: str
    quantity: int


@dataclass(frozen=True, slots=True)
class ClosedLine:
    """A line as a closing lists it: as it stood, with its takes.

    `revision` is the booking's latest that was accepted then, `until` the end of the period that
    was closed.
    """

    booking_id: str
    line: Line
    takes: tuple[ClosedTake, ...]
    revision: int
    until: datetime

    @property
    def key(self) -> LineKey:
        """Booking and line number."""
        return self.booking_id, self.line.line_no


@dataclass(frozen=True, slots=True)
class Closing:
    """The period that is closed next; `open_from` is where the last one that was closed ended.

    Before any was closed, that is where the period began in which the account was first heard of.
    """

    open_from: datetime
    period_start: date
    ends_at: datetime
    closes_at: datetime


def closing_of(timeline: Timeline, open_from: datetime, *, is_first: bool) -> Closing:
    """Return the closing of the period that contains an instant, after its policy's grace.

    Unless it is the account's first, the period begins at that instant, where the last one that
    was closed ended, whatever has become of the calendar since.
    """
    period = timeline.period_at(open_from)
    start = period.start_date
    if not is_first:
        start = max(start, local_date(open_from, period.zone))
    grace = timedelta(hours=timeline.policy_at(period.end - _LAST_MOMENT).close_grace_hours)
    return Closing(open_from, start, period.end, period.end + grace)


def lines_to_close(record: AccountRecord, fact: PeriodClosed) -> tuple[ClosedLine, ...]:
    """List the lines that a fact closes, as they stand: all that it finds still open."""
    return tuple(
        ClosedLine(
            charge.standing.booking_id,
            charge.line,
            tuple(
                ClosedTake(t.grant_id, record.grants[t.grant_id].grant.unit, t.quantity)
                for t in charge.coverage.takes
            ),
            charge.standing.revision,
            fact.ends_at,
        )
        for charge in record.open_lines_before(fact.ends_at)
    )


def latest(listed: Iterable[ClosedLine | None]) -> ClosedLine | None:
    """Return a line as the last of the closings lists it that do."""
    return max((line for line in listed if line), key=attrgetter("until"), default=None)


def payload_of(fact: PeriodClosed) -> str:
    """Write what a closing says, with the lines that it closes."""
    said = [said_of(line) for line in fact.lines or ()]
    period = {"period_start": str(fact.period_start), "ends_at": fact.ends_at.isoformat()}
    return json.dumps({**period, "lines": said}, separators=(",", ":"))


def said_of(closed: ClosedLine) -> dict[str, Any]:
    """Write a closed line as what JSON can say, but for its closing; quantities are in steps."""
    line, price = closed.line, closed.line.price
    return {
        "booking_id": closed.booking_id,
        "revision": closed.revision,
        "line": line.line_no,
        "starts_at": line.starts_at.isoformat(),
        "ends_at": line.ends_at.isoformat(),
        "resource": line.resource,
        "location": line.location,
        "product_group": line.product_group,
        "costs": dict(line.costs),
        "price": None if price is None else [price.amount_minor, price.currency],
        "marks": [line.payable_by_credits, line.discounted, line.online_plan],
        "takes": [[take.grant_id, take.unit, take.quantity] for take in closed.takes],
    }


def closed_line_from(said: dict[str, Any], until: datetime) -> ClosedLine:
    """Read a closed line from what `said_of` has written.

    Closings once listed no revision: of such a line only how it stands by now is known to count.
    """
    price = said["price"]
    line = Line(
        said["line"],
        datetime.fromisoformat(said["starts_at"]),
        datetime.fromisoformat(said["ends_at"]),
        said["resource"],
        said["location"],
        said["product_group"],
        tuple(said["costs"].items()),
        None if price is None else Money(*price),
        *said["marks"],
    )
    takes = tuple(ClosedTake(*take) for take in said["takes"])
    return ClosedLine(said["booking_id"], line, takes, said.get("revision", _ANY_REVISION), until)
