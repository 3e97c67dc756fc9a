"""Cover: the coverage that should be, computed from all the facts of an account at once.

This is the definition. `settlement.settle` reaches the same by small steps, and a quote, a
simulation or a rebuild is one of the two.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING

from booking_credits.ledger.admission import admit
from booking_credits.ledger.bookings import lines_since, standing_lines
from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.burn_order import burn_key
from booking_credits.ledger.calendars import Timeline
from booking_credits.ledger.charges import (
    UNPAID,
    charge_at,
    coverage_of,
    owed_for,
    rank_of,
)
from booking_credits.ledger.entries import GrantRecord, split_rest
from booking_credits.ledger.facts import (
    BOOKING_FACTS,
    GRANT_FACTS,
    AccountDescribed,
    PeriodClosed,
    TimePassed,
)
from booking_credits.ledger.grants import grants_of
from booking_credits.ledger.kept_takes import kept_of
from booking_credits.ledger.remnants import grant_for, remnants
from booking_credits.ledger.standing import grants_in_being, opening_grants, standing_grants
from booking_credits.ledger.subjects import booking_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.charges import Charge, Coverage, LineKey, Owed
    from booking_credits.ledger.facts import Fact
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.policies import Policy, PolicyBook

_ends_at = attrgetter("ends_at")


@dataclass(frozen=True)
class Covered:
    """An account's charges, the buckets of its grants, and what is owed by line."""

    charges: dict[LineKey, Charge]
    grants: dict[str, GrantRecord]
    owed: dict[LineKey, Owed]


def cover(facts: Iterable[Fact], book: PolicyBook) -> Covered:
    """Compute an account's coverage from its facts, in whatever order and however often given.

    Facts that contradict earlier ones of the same subject are left out, as on arrival.
    """
    subjects: dict[str, tuple[Fact, ...]] = {}
    for fact in facts:
        known = subjects.get(fact.subject, ())
        if admit(known, fact) == "accepted":
            subjects[fact.subject] = (*known, fact)
    every = [fact for known in subjects.values() for fact in known]
    timeline = Timeline((f for f in every if isinstance(f, AccountDescribed)), book)
    present = max((f.occurred_at for f in every if isinstance(f, TimePassed)), default=None)
    grants: dict[str, Grant] = {}
    for known in subjects.values():
        granting = (f for f in known if isinstance(f, GRANT_FACTS))
        grants.update(grants_of(granting, timeline))
    grants |= opening_grants(every, timeline)
    standing = [
        line
        for known in subjects.values()
        for line in standing_lines(f for f in known if isinstance(f, BOOKING_FACTS)).values()
    ]
    starts = sorted({line.line.starts_at for line in standing})
    rules = standing_grants(every, timeline)
    grants |= grants_in_being(rules, grants, present, starts)
    closings = sorted((f for f in every if isinstance(f, PeriodClosed)), key=_ends_at)
    listed = [line for fact in closings for line in fact.lines or ()]
    grants |= remnants((take for line in listed for take in line.takes), grants.get, rules)
    find = partial(grant_for, find=grants.get, standing=rules)
    stands = {line.key for line in standing}
    kept: dict[LineKey, Coverage] = {}
    for key, line in {line.key: line for line in listed if line.key in stands}.items():
        known = subjects[booking_subject(line.booking_id)]
        told = (f for f in known if isinstance(f, BOOKING_FACTS))
        keeps = kept_of(line, lines_since(told, line.revision, key[1]), timeline, find)
        if keeps is not None:
            kept[key] = keeps
    charges = _charges(standing, grants, kept, timeline, present)
    owed = {key: owed_for(charge, timeline, present) for key, charge in charges.items()}
    return Covered(
        charges,
        {i: _record_of(grant, charges, present) for i, grant in sorted(grants.items())},
        {key: what for key, what in owed.items() if what is not None},
    )


def _charges(
    standing: Iterable[StandingLine],
    grants: dict[str, Grant],
    kept: dict[LineKey, Coverage],
    timeline: Timeline,
    present: datetime | None,
) -> dict[LineKey, Charge]:
    """Cover every line that stands, one after the other in the account's order.

    What closed lines keep is taken out of the grants before.
    """
    taken: Counter[str] = Counter()
    rolled: Counter[str] = Counter()
    ranked = sorted(((rank_of(s, timeline), s) for s in standing), key=itemgetter(0))
    for _, line in ranked:
        for take in kept.get(line.key, UNPAID).takes:
            taken[take.grant_id] += take.quantity
            if grants[take.grant_id].rolls_over_to(line.line):
                rolled[take.grant_id] += take.quantity

    charges: dict[LineKey, Charge] = {}
    for rank, line in ranked:
        policy = timeline.policy_at(line.line.starts_at)
        grants_in = _payers(grants.values(), line, policy)
        draw = _drawing(line, taken, rolled)
        of_line = kept.get(line.key, UNPAID)
        paid = coverage_of(line.line, policy, timeline, grants_in, draw, of_line)
        keeps = of_line.takes if line.key in kept else None
        charges[line.key] = charge_at(line, rank, paid, timeline, present, keeps)
    return charges


def _drawing(
    standing: StandingLine, taken: Counter[str], rolled: Counter[str]
) -> Callable[[Grant, int], int]:
    """Let a charge draw what a grant has for it: less by what was removed, up to its cap."""

    def draw(grant: Grant, need: int) -> int:
        if grant.quantity is None:
            return need
        grant_id = grant.grant_id
        left = grant.offer(grant.quantity - taken[grant_id], rolled[grant_id], standing)
        drawn = max(0, min(left, need))
        taken[grant_id] += drawn
        if grant.rolls_over_to(standing.line):
            rolled[grant_id] += drawn
        return drawn

    return draw


def _payers(
    grants: Iterable[Grant], standing: StandingLine, policy: Policy
) -> Callable[[str], list[Grant]]:
    """Look up the grants of a unit that may pay a charge, in the order in which they pay."""
    usable = [grant for grant in grants if grant.may_pay(standing)]
    usable.sort(key=lambda grant: burn_key(grant, policy.grant_order))
    return lambda unit: [grant for grant in usable if grant.unit == unit]


def _record_of(
    grant: Grant, charges: dict[LineKey, Charge], present: datetime | None
) -> GrantRecord:
    held = drawn = rolled = 0
    for charge in charges.values():
        for take in charge.coverage.takes:
            if take.grant_id == grant.grant_id:
                held += 0 if charge.drawn else take.quantity
                drawn += take.quantity if charge.drawn else 0
                rolled += take.quantity if grant.rolls_over_to(charge.line) else 0
    rest = split_rest(grant, held + drawn, rolled, present)
    granted = held + drawn + sum(rest.values())
    return GrantRecord(grant, Buckets(granted, held=held, drawn=drawn, **rest), rolled)
