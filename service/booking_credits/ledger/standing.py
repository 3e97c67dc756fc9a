"""Standing grants: rules that yield one grant for each period.

Credits given monthly yield one for each of the account's months, an allotment one for each of its
billing periods. The first is there as soon as its rule is known, as credits given once would be.
Any other comes into being at its start, once the clock has posted that, or earlier while a line
that stands falls into its window: so a booking for next month finds next month's credits. That
depends on the facts alone and not on their order.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from booking_credits.ledger.calendars import described_order, midnight
from booking_credits.ledger.facts import AccountDescribed, CreditsGranted, GrantRemoved, Scope
from booking_credits.ledger.grant_ids import (
    MONTHLY,
    names_in,
    period_grant_id,
)
from booking_credits.ledger.grants import Grant, less, one_time_end, rolled_over

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from booking_credits.ledger.allotments import StandingAllotment
    from booking_credits.ledger.calendars import Calendar, Period, Timeline
    from booking_credits.ledger.facts import Fact, Rollover
    from booking_credits.ledger.policies import Rhythm


@dataclass(frozen=True, slots=True)
class Issue:
    """What a rule gives for the periods that run in `[from_at, until)`.

    One that `follows` takes over from a rule that gave in another rhythm.
    """

    from_at: datetime
    until: datetime | None
    unit: str
    quantity: int | None
    scope: Scope
    priority: int
    source: str
    paid: bool = False
    follows: bool = False
    plan_line: tuple[str, str] | None = None
    rollover: Rollover | None = None


@dataclass(frozen=True, slots=True)
class PeriodGrant:
    """The grant of one period; one of the id `replaced_by` takes its place."""

    grant: Grant
    period_start: datetime
    is_first: bool
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class StandingGrant:
    """A rule: the names of its grants, its periods, what it gives in order of time, and its end.

    Its grants last as long as their periods, or as those of `lasting` that these lie in.
    `removals` name its grants or the rule itself, which then ends: of the running period's grant
    they remove what they say, and later ones do not come into being.
    """

    names: tuple[str, ...]
    calendar: Calendar
    issues: tuple[Issue, ...]
    ends_at: datetime | None = None
    lasting: Calendar | None = None
    removals: tuple[GrantRemoved, ...] = ()

    @property
    def from_at(self) -> datetime:
        """From when on it gives anything."""
        return self.issues[0].from_at

    def grants(self, after: datetime | None, through: datetime) -> Iterator[PeriodGrant]:
        """Yield the grants that begin in `(after, through]`, in order (None: from ever)."""
        period = self.calendar.period_at(self._begin(after))
        while period.start <= through and not self._is_over(period):
            given = self._grant_of(period)
            if given is not None and _is_within(given.grant.from_at, after, through):
                yield given
            period = self.calendar.period_at(period.end)

    def grant_on(self, period_start: date) -> PeriodGrant | None:
        """Return the grant of the period that begins on a local date."""
        period = self.calendar.period_on(period_start)
        return self._grant_of(period) if period.start_date == period_start else None

    def next_start(self, present: datetime | None) -> datetime | None:
        """Return when the clock brings the next grant; None: it brings no more."""
        period = self.calendar.period_at(self._begin(present))
        while not self._is_over(period):
            given = self._grant_of(period)
            if given is not None and not given.is_first:
                from_at = given.grant.from_at
                if present is None or from_at > present:
                    return from_at
            period = self.calendar.period_at(period.end)
        return None

    def _begin(self, after: datetime | None) -> datetime:
        return self.from_at if after is None else max(self.from_at, after)

    def _is_over(self, period: Period) -> bool:
        ends = (self.ends_at, self.issues[-1].until)
        has_ended = any(end is not None and end <= period.start for end in ends)
        return has_ended or not self._is_there(period.start)

    @property
    def _removed_at(self) -> datetime | None:
        """When the rule was removed; by a quantity it is not."""
        whole = [r for r in self.removals if self._is_own(r) and r.quantity is None]
        return min((removal.occurred_at for removal in whole), default=None)

    def _is_own(self, removal: GrantRemoved) -> bool:
        is_named = self.names == (MONTHLY, removal.grant_id)
        return is_named and removal.unit in (None, self.issues[0].unit)

    def _grant_of(self, period: Period) -> PeriodGrant | None:
        """Give for a period what the rule first says within it."""
        issue = next((i for i in self.issues if i.until is None or i.until > period.start), None)
        if issue is None:
            return None
        from_at = max(period.start, issue.from_at)
        to_at = period.end
        if self.lasting is not None:
            to_at = max(to_at, self.lasting.period_at(period.start).end)
        if self.ends_at is not None:
            to_at = min(to_at, self.ends_at)
        if from_at >= to_at or not self._is_there(from_at):
            return None
        grant = Grant(
            period_grant_id(*self.names, period.start_date),
            issue.unit,
            issue.quantity,
            from_at,
            to_at,
            issue.scope,
            issue.priority,
            issue.paid,
            issue.source,
        )
        removals = [r for r in self.removals if self._concerns(r, grant.grant_id, period)]
        rolled = rolled_over(grant, issue.rollover, period.zone, period.anchor_day)
        grant = less(rolled, removals)
        is_first = period.start <= self.from_at and not self.issues[0].follows
        return PeriodGrant(grant, period.start, is_first, _replacing(issue, period))

    def _is_there(self, from_at: datetime) -> bool:
        return self._removed_at is None or from_at <= self._removed_at

    def _concerns(self, removal: GrantRemoved, grant_id: str, period: Period) -> bool:
        if self._is_own(removal):
            return period.start <= removal.occurred_at < period.end
        return removal.grant_id == grant_id


def _is_within(instant: datetime, after: datetime | None, through: datetime) -> bool:
    return instant <= through and (after is None or instant > after)


def _replacing(issue: Issue, period: Period) -> str | None:
    if issue.plan_line is None:
        return None
    return period_grant_id("plan", *issue.plan_line, period.start_date)


def is_standing(fact: Fact) -> bool:
    """Say whether a fact is a standing grant rather than a grant."""
    return isinstance(fact, CreditsGranted) and fact.recurrence == "monthly"


def standing_grants(facts: Iterable[Fact], timeline: Timeline) -> tuple[StandingGrant, ...]:
    """Return the rules that an account's facts and terms lay down."""
    known = tuple(facts)
    monthly = [f for f in known if isinstance(f, CreditsGranted) and f.recurrence == "monthly"]
    months = timeline.months() if monthly else timeline.calendar
    rules = (*(_given_monthly(fact, timeline, months) for fact in monthly), *_allotted(timeline))
    removals = [f for f in known if isinstance(f, GrantRemoved) and f.answer is None]
    return tuple(_with_removals(rule, removals) for rule in rules) if removals else rules


def _with_removals(rule: StandingGrant, removals: Iterable[GrantRemoved]) -> StandingGrant:
    """Keep the removals that name a rule or, as far as their names tell, one of its grants."""
    begins = period_grant_id(*rule.names) + "/"
    concerned = (
        removal
        for removal in removals
        if rule.names == (MONTHLY, removal.grant_id) or removal.grant_id.startswith(begins)
    )
    return replace(rule, removals=tuple(concerned))


def _given_monthly(fact: CreditsGranted, timeline: Timeline, months: Calendar) -> StandingGrant:
    """Credits given monthly count from when they were granted, unless they are backdated."""
    asked_from = fact.valid_from or fact.occurred_at
    from_at = asked_from if fact.backdated else max(asked_from, fact.occurred_at)
    ends_at = None
    if fact.end_date is not None:
        ends_at = midnight(fact.end_date + timedelta(days=1), timeline.zone_on(fact.end_date))
    given = (fact.unit, fact.quantity, fact.scope, fact.priority, fact.source, fact.paid)
    issue = Issue(from_at, None, *given)
    return StandingGrant((MONTHLY, fact.grant_id), months, (issue,), ends_at)


def _allotted(timeline: Timeline) -> Iterator[StandingGrant]:
    """Make a rule of each name and unit allotted, of what one term after the other says of it.

    Where the policy in force issues monthly, each month's grant lasts to the billing period's end.
    """
    if not any(terms.allotments for terms in timeline.terms):
        return
    days = (timeline.period_from(terms.from_date).start for terms in timeline.terms)
    starts = list(accumulate(days, max))
    issues: dict[tuple[str, str], list[tuple[Rhythm, Issue]]] = {}
    for terms, from_at, until in zip(timeline.terms, starts, [*starts[1:], None], strict=True):
        rhythm = timeline.policy_at(from_at).issue
        for allotment in terms.allotments:
            if from_at != until:
                held = issues.setdefault((allotment.name, allotment.unit), [])
                held += _in_rhythm(held, rhythm, _issue(allotment, from_at, until), timeline)
    cycle, months = timeline.calendar, timeline.months()
    for names, held in sorted(issues.items()):
        by_cycle = tuple(issue for rhythm, issue in held if rhythm == "cycle")
        by_month = tuple(issue for rhythm, issue in held if rhythm == "month")
        if by_cycle:
            yield StandingGrant(("allotment", *names), cycle, by_cycle)
        if by_month:
            yield StandingGrant(("allotment", *names, "month"), months, by_month, lasting=cycle)


def _in_rhythm(
    held: Sequence[tuple[Rhythm, Issue]], rhythm: Rhythm, issue: Issue, timeline: Timeline
) -> list[tuple[Rhythm, Issue]]:
    """Let the running billing period end in the rhythm in which the issues before gave for it."""
    if not held or held[-1][0] == rhythm:
        return [(rhythm, issue)]
    running, before = held[-1]
    period = timeline.period_at(issue.from_at)
    if before.until is None or before.until <= period.start:
        return [(rhythm, replace(issue, follows=True))]
    if issue.until is not None and issue.until <= period.end:
        return [(running, issue)]
    return [
        (running, replace(issue, until=period.end)),
        (rhythm, replace(issue, from_at=period.end, follows=True)),
    ]


def _issue(allotment: StandingAllotment, from_at: datetime, until: datetime | None) -> Issue:
    return Issue(
        from_at,
        until,
        allotment.unit,
        allotment.quantity,
        allotment.scope,
        allotment.priority,
        source="plan",
        plan_line=allotment.plan_line,
        rollover=allotment.rollover,
    )


def unit_of(grant_id: str, standing: Iterable[StandingGrant]) -> str:
    """Find the unit of a period's grant that is no more; an allotment's id holds it."""
    kind, name, *rest = names_in(grant_id)
    if kind == "allotment":
        return rest[0]
    return next(rule.issues[0].unit for rule in standing if rule.names == (kind, name))


def opening_grants(facts: Iterable[Fact], timeline: Timeline) -> dict[str, Grant]:
    """Return what an account brings along, from the day on which it is opened.

    Where that is stated for one day more than once, the last statement holds.
    """
    grants: dict[str, Grant] = {}
    known = tuple(facts)
    removals = [f for f in known if isinstance(f, GrantRemoved) and f.answer is None]
    described = (fact for fact in known if isinstance(fact, AccountDescribed))
    for fact in sorted(described, key=described_order):
        from_at = timeline.period_from(fact.from_date).start
        for balance in fact.opening_balance:
            grant_id = period_grant_id("opening", balance.unit, fact.from_date)
            grant = Grant(
                grant_id,
                balance.unit,
                balance.quantity,
                from_at,
                one_time_end(balance.valid_to, from_at, timeline),
                balance.scope,
                priority=100,
                paid=False,
                source="opening_balance",
            )
            grants[grant_id] = less(grant, [r for r in removals if r.grant_id == grant_id])
    return grants


def grants_in_being(
    standing: Iterable[StandingGrant],
    others: Container[str],
    present: datetime | None,
    starts: Sequence[datetime],
) -> dict[str, Grant]:
    """Return the grants that exist, given the ids of all other grants and the lines' starts.

    This is the definition; `issuance` reaches the same by small steps. `starts` are sorted.
    """
    grants: dict[str, Grant] = {}
    for rule in standing:
        latest = max(rule.from_at, present or rule.from_at, *starts[-1:])
        for given in rule.grants(None, latest):
            grant = given.grant
            has_begun = given.is_first or (present is not None and grant.from_at <= present)
            if (has_begun or falls_into(grant, starts)) and given.replaced_by not in others:
                grants[grant.grant_id] = grant
    return grants


def falls_into(grant: Grant, starts: Sequence[datetime]) -> bool:
    """Say whether one of some sorted starts lies in a grant's window."""
    place = bisect_left(starts, grant.from_at)
    return place < len(starts) and grant.is_valid_at(starts[place])
