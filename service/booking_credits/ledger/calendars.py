"""Calendars: local dates to instants, and the billing periods of an account.

Months are computed from the anchor date and clamped to the month's length, so an anchor on
31 January gives 28 February and 31 March. A period is named by its local start date.
"""

from __future__ import annotations

from bisect import bisect_right
from calendar import monthrange
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from booking_credits.ledger.allotments import StandingAllotment
    from booking_credits.ledger.facts import AccountDescribed, Cycle, Span
    from booking_credits.ledger.policies import Policy, PolicyBook

MONTHS_IN_CYCLE: dict[Cycle, int] = {"month": 1, "quarter": 3, "year": 12}
# From when on, which policy, the number of its order of charges, and whether on account.
_Span: TypeAlias = "tuple[datetime, Policy, int, bool]"
EVER = datetime(1, 1, 2, tzinfo=UTC)


@lru_cache(maxsize=4096)
def midnight(day: date, zone: str) -> datetime:
    """Return the first instant of a local day; where the clocks skip it, the one of the skip."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def local_date(instant: datetime, zone: str) -> date:
    """Return the local date of an instant."""
    return instant.astimezone(ZoneInfo(zone)).date()


def days_before(instant: datetime, days: int, zone: str) -> datetime:
    """Return the instant so many local days earlier, at the same time of day."""
    return (instant.astimezone(ZoneInfo(zone)) - timedelta(days=days)).astimezone(UTC)


@lru_cache(maxsize=4096)
def add_months(day: date, months: int, anchor_day: int = 0) -> date:
    """Move a date by months, clamped to the month's length.

    Where a month was too short for the anchor day that the date was computed from, a longer one
    has it again: from 28 February, which is 31 January's next, a month leads to 31 March.
    """
    wanted = anchor_day if day.day == _last_day(day.year, day.month) < anchor_day else day.day
    month = day.year * 12 + day.month - 1 + months
    year, month = month // 12, month % 12 + 1
    return date(year, month, min(wanted, _last_day(year, month)))


def _last_day(year: int, month: int) -> int:
    return monthrange(year, month)[1]


def add_span(day: date, span: Span, anchor_day: int = 0) -> date:
    """Move a date by days or, as `add_months` does, by months."""
    if span.unit == "months":
        return add_months(day, span.count, anchor_day)
    return day + timedelta(days=span.count)


@dataclass(frozen=True, slots=True)
class Terms:
    """An account's calendar and policy from a local date on."""

    from_date: date
    zone: str
    cycle: Cycle
    anchor_date: date
    policy: str
    on_account: bool
    allotments: tuple[StandingAllotment, ...] = ()

    def boundary(self, number: int) -> datetime:
        """Return the instant at which period `number`, counted from the anchor, begins."""
        return midnight(self.boundary_date(number), self.zone)

    def boundary_date(self, number: int) -> date:
        """Return the local date on which period `number`, counted from the anchor, begins."""
        return add_months(self.anchor_date, number * MONTHS_IN_CYCLE[self.cycle])

    def number_on(self, day: date) -> int:
        """Count the periods from the anchor to the one that contains a local date."""
        months = (day.year - self.anchor_date.year) * 12 + day.month - self.anchor_date.month
        number = months // MONTHS_IN_CYCLE[self.cycle]
        return number if self.boundary_date(number) <= day else number - 1

    def number_of(self, instant: datetime) -> int:
        """Count the periods from the anchor to the one that contains the instant."""
        number = self.number_on(local_date(instant, self.zone))
        # Where clocks go back over midnight, the day before is read again after a day has begun.
        return number + 1 if self.boundary(number + 1) <= instant else number

    def period(self, number: int) -> Period:
        """Return period `number`, counted from the anchor."""
        return Period(
            self.boundary_date(number),
            self.boundary_date(number + 1),
            self.boundary(number),
            self.boundary(number + 1),
            self.zone,
            self.anchor_date.day,
        )


@dataclass(frozen=True, slots=True)
class Period:
    """A billing period `[start, end)`, with its local dates and its calendar's anchor day."""

    start_date: date
    end_date: date
    start: datetime
    end: datetime
    zone: str
    anchor_day: int


@dataclass(frozen=True, slots=True)
class Era:
    """From its first period on, periods follow these terms (None: from ever)."""

    first: Period | None
    terms: Terms

    def period_at(self, instant: datetime) -> Period:
        """Return the period that contains an instant of the era."""
        if self.first is not None and instant < self.first.end:
            return self.first
        return self.terms.period(self.terms.number_of(instant))

    def period_on(self, day: date) -> Period:
        """Return the period that contains a local date of the era."""
        if self.first is not None and day < self.first.end_date:
            return self.first
        return self.terms.period(self.terms.number_on(day))


class Calendar:
    """The billing periods of an account, one after the other."""

    def __init__(self, terms: list[Terms]) -> None:
        """Let each calendar of the terms take over from the one before it."""
        self._eras = _eras(terms)
        self._era_starts = [era.first.start for era in self._eras if era.first is not None]

    def period_at(self, instant: datetime) -> Period:
        """Return the period that contains an instant."""
        return self._eras[bisect_right(self._era_starts, instant)].period_at(instant)

    def period_on(self, day: date) -> Period:
        """Return the period that contains a local date, of the calendar that holds on it."""
        return _period_on(self._eras, day)


Timelines: TypeAlias = "Callable[[tuple[AccountDescribed, ...]], Timeline]"


class Timeline:
    """What an account's terms say of every instant; immutable once built.

    The first terms hold for the time before their date too. Where calendar or zone change, the
    running period keeps its end and the new calendar takes over there.
    """

    def __init__(self, descriptions: Iterable[AccountDescribed], book: PolicyBook) -> None:
        """Build the timeline of an account from its descriptions, in whatever order."""
        self.book = book
        self.terms = _terms(descriptions, book)
        self.calendar = Calendar(self.terms)
        self._spans = _policy_spans(self.terms, book)
        self._span_starts = [start for start, *_ in self._spans[1:]]

    def months(self) -> Calendar:
        """Return the account's months, whatever its billing cycle."""
        return Calendar([replace(terms, cycle="month") for terms in self.terms])

    @property
    def policies(self) -> list[Policy]:
        """Every policy that the account lives by at some time."""
        return [policy for _, policy, *_ in self._spans]

    def policy_at(self, instant: datetime) -> Policy:
        """Return the account's policy in force at an instant."""
        return self._spans[bisect_right(self._span_starts, instant)][1]

    def order_at(self, instant: datetime) -> int:
        """Number the order of charges in force at an instant; it rises where the order changes."""
        return self._spans[bisect_right(self._span_starts, instant)][2]

    def on_account_at(self, instant: datetime) -> bool:
        """Say whether the account may pay on account for what happens at an instant."""
        return self._spans[bisect_right(self._span_starts, instant)][3]

    def location_policy(self, location: str | None, at: datetime) -> Policy:
        """Return the policy of a line's location, which is the account's unless it has its own."""
        return self.book.location_policy(location, at) or self.policy_at(at)

    def zone_on(self, day: date) -> str:
        """Return the zone of the billing period that runs on a local date."""
        return self.calendar.period_on(day).zone

    def period_at(self, instant: datetime) -> Period:
        """Return the billing period that contains an instant."""
        return self.calendar.period_at(instant)

    def period_from(self, day: date) -> Period:
        """Return the billing period that begins on a local date, or else what is left of one."""
        running = self.calendar.period_on(day)
        if running.start_date == day:
            return running
        start = max(running.start, midnight(day, running.zone))
        return replace(running, start_date=day, start=start)


def timelines_by(book: PolicyBook, limit: int = 4096) -> Timelines:
    """Return how timelines are built by a book, only once for what was asked for of late."""
    return lru_cache(maxsize=limit)(partial(Timeline, book=book))


def _terms(descriptions: Iterable[AccountDescribed], book: PolicyBook) -> list[Terms]:
    """Keep the last description of each date; an account without one lives by the default."""
    latest: dict[date, AccountDescribed] = {}
    for described in sorted(descriptions, key=described_order):
        latest[described.from_date] = described
    if not latest:
        usual = book.default
        start = usual.anchor_date
        return [Terms(start, usual.zone, usual.cycle, usual.anchor_date, usual.policy, False)]
    return [
        Terms(
            *(day, d.zone, d.cycle, d.anchor_date, _policy_name(d, book), d.on_account),
            d.allotments,
        )
        for day, d in sorted(latest.items())
    ]


def _policy_name(described: AccountDescribed, book: PolicyBook) -> str:
    """Name the policy: the account's own, else its location's, else the default one."""
    return described.policy or book.policy_name_of(described.location) or book.default.policy


def described_order(described: AccountDescribed) -> tuple[object, ...]:
    """Order descriptions by date, then by when they were made, then by what they say."""
    d = described
    rest = (d.zone, d.cycle, d.anchor_date, d.policy or "", d.location or "", d.on_account)
    return (d.from_date, d.occurred_at, rest, repr((d.allotments, d.opening_balance)))


def _eras(terms: list[Terms]) -> list[Era]:
    """Let each new calendar begin where the period that runs on its date ends.

    Where a period begins on that very date, that period is the new calendar's already.
    """
    eras = [Era(None, terms[0])]
    for before, after in pairwise(terms):
        if (after.zone, after.cycle, after.anchor_date) == (
            before.zone,
            before.cycle,
            before.anchor_date,
        ):
            continue
        running = _period_on(eras, after.from_date)
        if running.start_date == after.from_date:
            first = _first_period(after, running.start_date, running.start)
        else:
            first = _first_period(after, running.end_date, running.end)
        while eras[-1].first is not None and eras[-1].first.start_date >= first.start_date:
            eras.pop()
        eras.append(Era(first, after))
    return eras


def _first_period(terms: Terms, start_date: date, start: datetime) -> Period:
    """Return what is left of the period that runs where these terms take over.

    That may be in mid day of the new zone, and there even on another date.
    """
    number = terms.number_on(start_date) + 1
    while terms.boundary(number) <= start:
        number += 1
    end_date, end = terms.boundary_date(number), terms.boundary(number)
    return Period(start_date, end_date, start, end, terms.zone, terms.anchor_date.day)


def _period_on(eras: list[Era], day: date) -> Period:
    """Find the period that contains a local date, of the calendar that holds on it."""
    era = next(e for e in reversed(eras) if e.first is None or e.first.start_date <= day)
    return era.period_on(day)


def _policy_spans(terms: list[Terms], book: PolicyBook) -> list[_Span]:
    """List the spans of an account's terms; the first one holds for the time before it too."""
    term_starts = list(accumulate((midnight(t.from_date, t.zone) for t in terms[1:]), max))
    versions = (policy.from_at for held in terms for policy in book.policies[held.policy])
    spans: list[_Span] = []
    order = 0
    for start in sorted({EVER, *term_starts, *(at for at in versions if at is not None)}):
        held = terms[bisect_right(term_starts, start)]
        policy = book.policy_at(held.policy, start)
        if spans and spans[-1][1].charges_in_booking_order != policy.charges_in_booking_order:
            order += 1
        spans.append((start, policy, order, held.on_account))
    return spans
