"""Charges: how one line is paid, and what follows from the time that has passed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date, datetime

    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.facts import Channel, Fallback, Line
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.policies import Policy

LineKey: TypeAlias = tuple[str, int]
Fraction: TypeAlias = tuple[int, int]
Rank: TypeAlias = str

FIRST_RANK: Rank = ""
LAST_RANK: Rank = "\U0010ffff"
NOTHING: Fraction = (0, 1)
WHOLE: Fraction = (1, 1)


@dataclass(frozen=True, slots=True)
class Take:
    """What a charge takes from a grant, in steps of the grant's unit."""

    grant_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a charge is paid: its takes in the order taken, and the fraction left uncovered."""

    takes: tuple[Take, ...]
    uncovered: Fraction


UNPAID = Coverage((), WHOLE)

# Whether credits may pay a line at all, and how they do.
Paid: TypeAlias = tuple[bool, Coverage]


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge with its coverage.

    `drawn` says that its takes are drawn, `due_at` is the next instant at which time changes it.
    `closed` are, once the line has been closed, those of its takes that it keeps.
    """

    standing: StandingLine
    rank: Rank
    eligible: bool
    coverage: Coverage
    drawn: bool
    due_at: datetime | None
    closed: tuple[Take, ...] | None = None

    @property
    def key(self) -> LineKey:
        """Booking and line number."""
        return self.standing.key

    @property
    def line(self) -> Line:
        """The line as it stands."""
        return self.standing.line

    @property
    def short(self) -> bool:
        """Whether credits may pay the line and leave a part of it uncovered."""
        return self.eligible and self.coverage.uncovered[0] > 0

    @property
    def kept(self) -> tuple[Take, ...]:
        """Those of its takes that no other line can have."""
        return self.closed or ()

    @property
    def loose(self) -> tuple[Take, ...]:
        """Those of its takes for which it may have to give way."""
        if not self.closed:
            return self.coverage.takes
        kept = {take.grant_id: take.quantity for take in self.closed}
        rests = (
            Take(take.grant_id, take.quantity - kept.get(take.grant_id, 0))
            for take in self.coverage.takes
        )
        return tuple(take for take in rests if take.quantity)


def can_pay(grant: Grant, charge: Charge) -> bool:
    """Say whether a grant may pay a charge, which has a cost in its unit."""
    return (
        charge.eligible
        and grant.may_pay(charge.standing)
        and any(unit == grant.unit and cost > 0 for unit, cost in charge.line.costs)
    )


@dataclass(frozen=True, slots=True)
class Owed:
    """The cash owed for a charge; without a currency the line has no price."""

    period_start: date
    period_end: date
    zone: str
    channel: Channel
    currency: str | None
    total_minor: int


def rank_of(standing: StandingLine, timeline: Timeline) -> Rank:
    """Return the charge's place in the account's order, as text that sorts bytewise.

    Charges of an earlier order come first; ties fall to service start, booked at, booking id and
    line number.
    """
    line = standing.line
    first, second = _sortable(line.starts_at), _sortable(standing.booked_at)
    if timeline.policy_at(line.starts_at).charges_in_booking_order:
        first, second = second, first
    order = _order_text(timeline.order_at(line.starts_at))
    return f"{order} {first} {second} {standing.booking_id} {line.line_no:07d}"


def rank_before(starts_at: datetime, timeline: Timeline) -> Rank:
    """Return a rank that comes before those of all charges which start at an instant or later."""
    order = _order_text(timeline.order_at(starts_at))
    if timeline.policy_at(starts_at).charges_in_booking_order:
        return order
    return f"{order} {_sortable(starts_at)}"


def _order_text(order: int) -> str:
    """Three digits do for most; an order may change each day, and a letter sorts after digits."""
    return f"{order:03d}" if order < 1000 else f"A{order:06d}"


# To write an instant takes long, and most are those of other lines, too.
@lru_cache(maxsize=16_384)
def _sortable(instant: datetime) -> str:
    """Drop the offset, which is always UTC's; a fraction of a second sorts after none."""
    return instant.isoformat()[:-6]


def pay(
    line: Line,
    units: Iterable[str],
    grants_in: Callable[[str], Sequence[Grant]],
    draw: Callable[[Grant, int], int],
    kept: Coverage = UNPAID,
) -> Coverage:
    """Pay what is left of a line from the grants of each unit in turn, those that may.

    `draw` takes up to a quantity from a grant and returns what it took. A take of q out of a
    cost of c pays q/c of the line; what a unit leaves is rounded up once to the next one's step.
    """
    takes = {take.grant_id: take.quantity for take in kept.takes} if kept.takes else {}
    left = kept.uncovered
    for unit in units if left != NOTHING else ():
        grants = grants_in(unit)
        if not grants:
            continue
        cost = next(cost for name, cost in line.costs if name == unit)
        need = before = needed(cost, left)
        for grant in grants:
            if taken := draw(grant, need):
                takes[grant.grant_id] = takes.get(grant.grant_id, 0) + taken
                need -= taken
                if need == 0:
                    break
        if need != before:
            left = less_taken(left, before - need, cost)
            if left == NOTHING:
                break
    return Coverage(tuple(Take(grant_id, taken) for grant_id, taken in takes.items()), left)


def needed(cost: int, left: Fraction) -> int:
    """Return what a fraction of a cost comes to, rounded up to the unit's step."""
    return -(-cost * left[0] // left[1])


def less_taken(left: Fraction, taken: int, cost: int) -> Fraction:
    """Subtract taken/cost from a fraction, in lowest terms and never below nothing."""
    numerator = left[0] * cost - taken * left[1]
    if numerator <= 0:
        return NOTHING
    denominator = left[1] * cost
    divisor = gcd(numerator, denominator)
    return numerator // divisor, denominator // divisor


def coverage_of(  # noqa: PLR0913, PLR0917 - the account as a line sees it
    line: Line,
    policy: Policy,
    timeline: Timeline,
    grants_in: Callable[[str], Sequence[Grant]],
    draw: Callable[[Grant, int], int],
    kept: Coverage = UNPAID,
) -> Paid:
    """Return whether credits may pay the line, and how they do; a line that costs 0 is covered.

    What a closed line has kept goes on paying it.
    """
    if not policy.admits(line) and not kept.takes:
        return False, UNPAID
    units = timeline.book.units_in_order(policy, line.costs)
    if not units:
        return True, Coverage((), NOTHING)
    return True, pay(line, units, grants_in, draw, kept)


def charge_at(  # noqa: PLR0913, PLR0917 - what is known of a charge
    standing: StandingLine,
    rank: Rank,
    paid: Paid,
    timeline: Timeline,
    present: datetime | None,
    closed: tuple[Take, ...] | None = None,
) -> Charge:
    """Say what is drawn by the account's present, and what the charge waits for next."""
    eligible, coverage = paid
    line = standing.line
    policy = timeline.location_policy(line.location, line.starts_at)
    drawn, waits_for = False, None
    if coverage.takes:
        draws_at = _draws_at(standing, policy)
        drawn = draws_at is None or (present is not None and draws_at <= present)
        waits_for = None if drawn else draws_at
    if eligible and coverage.uncovered[0] and not is_due(standing, policy, timeline, present):
        due_at = _due_at(line, policy, timeline)
        waits_for = due_at if waits_for is None else min(waits_for, due_at)
    return Charge(standing, rank, eligible, coverage, drawn, waits_for, closed)


def _draws_at(standing: StandingLine, policy: Policy) -> datetime | None:
    """Return when takes are drawn; None: as soon as they are taken."""
    if policy.draw_on == "completion":
        return standing.line.ends_at
    at_once = policy.draw_on == "booking" or standing.started_at is not None
    return None if at_once else standing.line.starts_at


def _due_at(line: Line, policy: Policy, timeline: Timeline) -> datetime:
    if policy.overage_due == "start":
        return line.starts_at
    return timeline.period_at(line.starts_at).end


def is_due(
    standing: StandingLine, policy: Policy, timeline: Timeline, present: datetime | None
) -> bool:
    """Say whether what is uncovered of a line is owed by the account's present."""
    if policy.overage_due == "start" and standing.started_at is not None:
        return True
    return present is not None and _due_at(standing.line, policy, timeline) <= present


def owed_for(charge: Charge, timeline: Timeline, present: datetime | None) -> Owed | None:
    """Return what a charge's uncovered part comes to once it is due, rounded once, half up."""
    if not charge.short:
        return None
    line = charge.line
    policy = timeline.location_policy(line.location, line.starts_at)
    if not is_due(charge.standing, policy, timeline, present):
        return None
    cash = cash_for(charge)
    if cash == 0:
        return None
    period = timeline.period_at(line.starts_at)
    channel = channel_of(charge.standing, policy, timeline)
    currency = None if line.price is None else line.price.currency
    return Owed(period.start_date, period.end_date, period.zone, channel, currency, cash or 0)


def fallback_of(standing: StandingLine, policy: Policy) -> Fallback | None:
    """Return what becomes of what is uncovered of a line; None: it is paid the ordinary way."""
    return standing.fallback or policy.shortfall


def channel_of(standing: StandingLine, policy: Policy, timeline: Timeline) -> Channel:
    """Return how what is owed is paid: the ordinary way where the fallback gives no other."""
    fallback = fallback_of(standing, policy)
    if fallback == "on_account" and not timeline.on_account_at(standing.line.starts_at):
        return policy.channel
    return policy.channel if fallback is None or fallback == "deny" else fallback


def cash_for(charge: Charge) -> int | None:
    """Return the price of the uncovered part in minor units; None where there is no price."""
    price = charge.line.price
    if price is None:
        return None
    numerator, denominator = charge.coverage.uncovered
    return (2 * price.amount_minor * numerator + denominator) // (2 * denominator)
