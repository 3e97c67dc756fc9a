"""Grants: quantities of a unit for an account, their windows and the order in which they pay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from booking_credits.ledger.calendars import add_months, add_span, local_date, midnight
from booking_credits.ledger.facts import (
    CreditsGranted,
    GrantRemoved,
    PackApproved,
    PackPurchased,
    PlanRenewed,
)
from booking_credits.ledger.grant_ids import period_grant_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.ledger.allotments import Allotment
    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.facts import GrantFact, Line, Rollover, Scope

OPEN_END = datetime.max.replace(tzinfo=UTC)
_LAST_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Removal:
    """A quantity taken out of a grant at an instant (None: all of it)."""

    at: datetime
    quantity: int | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A quantity (None: unlimited) usable for service times in `[from_at, to_at)`.

    `to_at` is None for an open end. A grant that rolls over has an end of its own, `rolls_at`,
    from which on lines take at most `roll_cap` in total (None: whatever is left). `removals` are
    in the order of time. `source` is plan, purchase, manual, adjustment or opening_balance. One
    that is pending waits for its approval: it pays nothing, and nothing of it has been issued.
    """

    grant_id: str
    unit: str
    quantity: int | None
    from_at: datetime
    to_at: datetime | None
    scope: Scope
    priority: int
    paid: bool
    source: str
    pending: bool = False
    rolls_at: datetime | None = None
    roll_cap: int | None = None
    removals: tuple[Removal, ...] = ()

    @property
    def issued(self) -> int | None:
        """The quantity that the account holds of it, whoever takes of that; None: unlimited."""
        return 0 if self.pending else self.quantity

    def is_valid_at(self, instant: datetime) -> bool:
        """Say whether the window contains a service time."""
        return self.from_at <= instant and (self.to_at is None or instant < self.to_at)

    def overlaps(self, other: Grant) -> bool:
        """Say whether some service time lies in the windows of both."""
        return (other.to_at is None or self.from_at < other.to_at) and (
            self.to_at is None or other.from_at < self.to_at
        )

    def reaches(self, line: Line) -> bool:
        """Say whether window and scope contain a line."""
        return self.is_valid_at(line.starts_at) and self.scope.contains(line)

    def may_pay(self, standing: StandingLine) -> bool:
        """Say whether it counts, and lets a charge take anything of it.

        The unit is the caller's to match.
        """
        line = standing.line
        return (
            self.is_valid_at(line.starts_at)
            and self.scope.contains(line)
            and not self.pending
            and (not self.removals or self._offers(standing.booked_at))
        )

    def _offers(self, booked_at: datetime) -> bool:
        removed = self.removed_by(booked_at)
        return removed == 0 if self.quantity is None else removed < self.quantity

    @property
    def is_limited(self) -> bool:
        """Whether some lines find less in it than others."""
        return bool(self.removals) or self.roll_cap is not None

    def removed_by(self, instant: datetime) -> int:
        """Sum up what was removed by an instant; of an unlimited grant 1 stands for all of it."""
        whole = 1 if self.quantity is None else self.quantity
        removed = sum(
            whole if removal.quantity is None else removal.quantity
            for removal in self.removals
            if removal.at <= instant
        )
        return min(whole, removed)

    @property
    def removed(self) -> int:
        """What was removed at any time, if nobody had taken it before."""
        return self.removed_by(OPEN_END) if self.removals else 0

    def removed_before(self, instant: datetime | None, booked_at: datetime = OPEN_END) -> int:
        """Sum up what was removed before an instant (None: ever), as a booking finds it."""
        if instant is None or booked_at < instant:
            return self.removed_by(booked_at)
        return self.removed_by(instant - _LAST_MOMENT)

    def offer(self, rest: int, rolled: int, standing: StandingLine) -> int:
        """Return what a charge finds in a finite grant of which `rest` has not been taken.

        Of what was removed before the grant rolled over, the cap has nothing to tell; of what was
        removed since, there is that much less of the cap. `rolled` is what was taken of it.
        """
        if not self.removals and self.roll_cap is None:
            return rest
        booked_at = standing.booked_at
        if self.roll_cap is None or not self.rolls_over_to(standing.line):
            return rest - self.removed_by(booked_at)
        before = self.removed_before(self.rolls_at, booked_at)
        since = self.removed_by(booked_at) - before
        return min(rest - before, self.roll_cap - rolled) - since

    def least_offer(self, rest: int, rolled: int) -> int:
        """Return what any charge finds in a finite grant, whatever its limits."""
        least = rest - self.removed
        if self.roll_cap is not None:
            since = self.removed - self.removed_before(self.rolls_at)
            least = min(least, self.roll_cap - rolled - since)
        return least

    def rolls_over_to(self, line: Line) -> bool:
        """Say whether a line can have of it only what rolled over, up to the cap."""
        return (
            self.roll_cap is not None
            and self.rolls_at is not None
            and line.starts_at >= self.rolls_at
        )

    def has_ended(self, present: datetime | None) -> bool:
        """Say whether the window's end has passed by the account's present."""
        return self.to_at is not None and present is not None and self.to_at <= present

    def has_rolled(self, present: datetime | None) -> bool:
        """Say whether only the cap is left of it by the account's present."""
        return (
            self.roll_cap is not None
            and self.rolls_at is not None
            and present is not None
            and self.rolls_at <= present
        )

    @property
    def changes_at(self) -> tuple[datetime, ...]:
        """The instants at which what is left of it expires, down to the cap or wholly."""
        rolls_at = self.rolls_at if self.roll_cap is not None else None
        return tuple(instant for instant in (rolls_at, self.to_at) if instant is not None)

    def changes_within(self, after: datetime | None, through: datetime) -> bool:
        """Say whether something of it expires in a span of time."""
        return any(
            instant <= through and (after is None or after < instant) for instant in self.changes_at
        )


def only_removed_more(before: Grant, after: Grant) -> bool:
    """Say whether two grants differ in removals alone, and the later one has them all."""
    is_more = set(before.removals) < set(after.removals)
    return is_more and replace(after, removals=before.removals) == before


def differ_in_quantity(before: Grant, after: Grant) -> bool:
    """Say whether two finite grants without limits differ in their quantity alone."""
    if before.quantity is None or after.quantity is None or after.is_limited:
        return False
    return replace(before, quantity=after.quantity) == after


def grants_of(facts: Iterable[GrantFact], timeline: Timeline) -> dict[str, Grant]:
    """Return the grants that the facts of one subject yield, by id."""
    known = tuple(facts)
    is_approved = any(isinstance(fact, PackApproved) for fact in known)
    latest: dict[str, tuple[PlanRenewed, Allotment]] = {}
    removals: list[GrantRemoved] = []
    grants: list[Grant] = []
    for fact in known:
        if isinstance(fact, CreditsGranted) and fact.recurrence == "once":
            grants.append(_manual_grant(fact, timeline))
        elif isinstance(fact, PackPurchased):
            grants.append(_pack_grant(fact, timeline, pending=not is_approved))
        elif isinstance(fact, PlanRenewed):
            _keep_latest(latest, fact)
        elif isinstance(fact, GrantRemoved) and fact.answer is None:
            removals.append(fact)
    grants += (_plan_grant(fact, allotment, timeline) for fact, allotment in latest.values())
    return {
        grant.grant_id: less(grant, [r for r in removals if r.grant_id == grant.grant_id])
        for grant in grants
    }


def less(grant: Grant, facts: Iterable[GrantRemoved]) -> Grant:
    """Take removals out of a grant; one that names another unit does not concern it.

    Whatever quantity is taken out of an unlimited grant, it stays unlimited.
    """
    removals = [
        Removal(fact.occurred_at, fact.quantity)
        for fact in facts
        if fact.unit in (None, grant.unit) and (fact.quantity is None or grant.quantity is not None)
    ]
    if not removals:
        return grant
    removals.sort(key=lambda removal: (removal.at, removal.quantity or 0))
    return replace(grant, removals=tuple(removals))


def _keep_latest(latest: dict[str, tuple[PlanRenewed, Allotment]], fact: PlanRenewed) -> None:
    for allotment in fact.allotments:
        known = latest.get(allotment.plan_line)
        if known is None or known[0].version < fact.version:
            latest[allotment.plan_line] = (fact, allotment)


def _manual_grant(fact: CreditsGranted, timeline: Timeline) -> Grant:
    """A manual grant counts from the moment it was granted unless it is backdated."""
    granted_at = fact.occurred_at
    asked_from = fact.valid_from or granted_at
    from_at = asked_from if fact.backdated else max(asked_from, granted_at)
    return Grant(
        fact.grant_id,
        fact.unit,
        fact.quantity,
        from_at,
        one_time_end(fact.valid_to, granted_at, timeline),
        fact.scope,
        fact.priority,
        fact.paid,
        fact.source,
    )


def one_time_end(
    stated: datetime | None, granted_at: datetime, timeline: Timeline
) -> datetime | None:
    """Return when a grant that is given once ends: as stated, and no later than policy allows."""
    months = timeline.policy_at(granted_at).one_time_months
    if months is None:
        return stated
    zone = timeline.period_at(granted_at).zone
    last_day = add_months(local_date(granted_at, zone), months)
    limit = midnight(last_day + timedelta(days=1), zone)
    return limit if stated is None else min(stated, limit)


def _pack_grant(fact: PackPurchased, timeline: Timeline, *, pending: bool) -> Grant:
    """A pack counts from its purchase, however late that is approved, and lives whole days."""
    if fact.starts_on is None:
        zone = timeline.period_at(fact.occurred_at).zone
        first_day, from_at = local_date(fact.occurred_at, zone), fact.occurred_at
    else:
        zone = timeline.zone_on(fact.starts_on)
        first_day = fact.starts_on
        from_at = max(midnight(first_day, zone), fact.occurred_at)
    to_at, anchor_day = None, 0
    if fact.lifetime is not None:
        to_at = midnight(add_span(first_day, fact.lifetime), zone)
        anchor_day = first_day.day if fact.lifetime.unit == "months" else 0
    elif fact.rollover is not None:
        period = timeline.period_at(from_at)
        to_at, anchor_day = period.end, period.anchor_day
    grant = Grant(
        fact.pack_id,
        fact.unit,
        fact.quantity,
        from_at,
        to_at,
        fact.scope,
        fact.priority,
        paid=fact.price is not None and fact.price.amount_minor > 0,
        source="purchase",
        pending=pending,
    )
    return rolled_over(grant, fact.rollover, zone, anchor_day)


def _plan_grant(fact: PlanRenewed, allotment: Allotment, timeline: Timeline) -> Grant:
    """A plan's grant counts from its period's start, however late the renewal arrives."""
    period = timeline.period_from(fact.period_start)
    from_at, to_at = period.start, period.end
    if fact.period_end is not None:
        to_at = midnight(fact.period_end, period.zone)
    grant = Grant(
        plan_grant_id(fact, allotment),
        allotment.unit,
        allotment.quantity,
        from_at,
        to_at,
        allotment.scope,
        allotment.priority,
        paid=False,
        source="plan",
    )
    return rolled_over(grant, allotment.rollover, period.zone, period.anchor_day)


def rolled_over(grant: Grant, rollover: Rollover | None, zone: str, anchor_day: int) -> Grant:
    """Keep a grant usable past its end, by whole local days; an unlimited one has no rest.

    Months are computed from the anchor day from which those of its end were.
    """
    if rollover is None or grant.to_at is None or grant.quantity is None:
        return grant
    end_date = add_span(local_date(grant.to_at, zone), rollover.span, anchor_day)
    to_at = midnight(end_date, zone)
    return replace(grant, to_at=to_at, rolls_at=grant.to_at, roll_cap=rollover.cap)


def ids_of(fact: GrantFact) -> list[str]:
    """Name the grants that a fact is about; none of them need exist."""
    if isinstance(fact, PlanRenewed):
        return [plan_grant_id(fact, allotment) for allotment in fact.allotments]
    return [fact.grant_id if isinstance(fact, CreditsGranted | GrantRemoved) else fact.pack_id]


def plan_grant_id(fact: PlanRenewed, allotment: Allotment) -> str:
    """Name the grant of a plan line's period; it stays the same in every version."""
    return period_grant_id("plan", fact.plan, allotment.plan_line, fact.period_start)
