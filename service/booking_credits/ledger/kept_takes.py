"""Kept takes: what closed lines keep, whatever is learned after they were closed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from booking_credits.ledger.charges import (
    UNPAID,
    WHOLE,
    Coverage,
    Take,
    less_taken,
    needed,
)
from booking_credits.ledger.grant_ids import is_of_rule
from booking_credits.ledger.grants import differ_in_quantity
from booking_credits.ledger.remnants import grant_for, replacement_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.closing import ClosedLine, ClosedTake
    from booking_credits.ledger.facts import Line
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.policies import Policy
    from booking_credits.ledger.walk import Change


def kept_of(
    closed: ClosedLine, line: Line, policy: Policy, find: Callable[[ClosedTake], Grant | None]
) -> Coverage:
    """Return what a line that has been closed keeps of its takes, as it now stands.

    A line that is another by now gives back what it needs no longer and, if it has moved, what
    may not pay it there. `find` says which grant stands for that of a take by now.
    """
    if line != closed.line and not policy.admits(line):
        return UNPAID
    has_moved = _place(line) != _place(closed.line)
    costs = dict(line.costs)
    taken: dict[str, int] = {}
    left = WHOLE
    for take in closed.takes:
        grant = find(take)
        if grant is None or grant.pending or (has_moved and not grant.reaches(line)):
            continue
        cost = costs.get(take.unit, 0)
        if quantity := min(take.quantity, needed(cost, left)):
            taken[grant.grant_id] = taken.get(grant.grant_id, 0) + quantity
            left = less_taken(left, quantity, cost)
    return Coverage(tuple(Take(grant_id, quantity) for grant_id, quantity in taken.items()), left)


def _place(line: Line) -> tuple[object, ...]:
    return line.starts_at, line.resource, line.product_group, line.location


class KeptTakes:
    """What closed lines keep after a change, which may be another part than before it."""

    def __init__(self, record: AccountRecord, change: Change) -> None:
        """Look at the lines on record and at those that the change closes."""
        self._record = record
        self._change = change
        self._known: dict[LineKey, Coverage] = {}

    def of(self, key: LineKey) -> Coverage | None:
        """Return what a closed line keeps, nothing if it does not stand; None: it is open."""
        closed = self._change.closed.get(key) or self._record.closed.get(key)
        if closed is None:
            return None
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._computed(closed, self.standing(key))
        return known

    def standing(self, key: LineKey) -> StandingLine | None:
        """Return a line as it stands after the change."""
        if key in self._change.lines:
            return self._change.lines[key]
        charge = self._record.charges.get(key)
        return None if charge is None else charge.standing

    def of_grant(self, grant: Grant) -> tuple[int, int]:
        """Sum up what closed lines keep of a grant that reads otherwise, and of its cap."""
        quantity = rolled = 0
        for key in self._taking_from(grant.grant_id) | self._change.closed.keys():
            standing, kept = self.standing(key), self.of(key) or UNPAID
            taken = sum(take.quantity for take in kept.takes if take.grant_id == grant.grant_id)
            quantity += taken
            if standing is not None and grant.rolls_over_to(standing.line):
                rolled += taken
        return quantity, rolled

    def merely_closed(self) -> dict[LineKey, Charge]:
        """Return the charges of lines that are closed as they stand, and nothing else changes.

        Empty where it may: nobody else has less of an unlimited or a plain grant for it.
        """
        merely: dict[LineKey, Charge] = {}
        if self._change.grants or not self._change.closed:
            return merely
        for key, closed in self._change.closed.items():
            charge = self._record.charges.get(key)
            if charge is None or charge.closed is not None or charge.line != closed.line:
                return {}
            takes = charge.coverage.takes
            if [(t.grant_id, t.quantity) for t in takes] != [
                (t.grant_id, t.quantity) for t in closed.takes
            ]:
                return {}
            if any(self._record.grants[take.grant_id].grant.is_limited for take in takes):
                return {}
            merely[key] = replace(charge, closed=takes)
        return merely

    def changed(self) -> list[LineKey]:
        """List the closed lines that may keep another part of their takes than before."""
        record, change = self._record, self._change
        if record.closed_through is None and not change.closed:
            return []
        keys = {*change.closed, *(key for key in change.lines if key in record.closed)}
        for grant in change.grants.values():
            if self._reads_otherwise(grant):
                keys |= self._taking_from(grant.grant_id)
        return sorted(keys)

    def _taking_from(self, grant_id: str) -> set[LineKey]:
        """List the lines that took from a grant, or from one that it replaces, when closed."""
        keys = set(self._record.closed_on(grant_id))
        for other_id in self._record.closed_grants:
            if is_of_rule(other_id) and (
                grant_id == replacement_of(other_id, self._change.standing)
            ):
                keys |= self._record.closed_on(other_id)
        return keys

    def _reads_otherwise(self, grant: Grant) -> bool:
        """Say whether more of a grant is another than its quantity and what was removed."""
        known = self._record.grants.get(grant.grant_id)
        if known is None:
            return True
        before = known.grant
        if replace(before, removals=grant.removals) == grant or differ_in_quantity(before, grant):
            return False
        if not before.pending:
            self._record.require_closed(min(before.from_at, grant.from_at))
        return True

    def _computed(self, closed: ClosedLine, standing: StandingLine | None) -> Coverage:
        if standing is None:
            return UNPAID
        policy = self._change.timeline.policy_at(standing.line.starts_at)
        return kept_of(closed, standing.line, policy, self._find)

    def _find(self, take: ClosedTake) -> Grant | None:
        found = grant_for(take, self._grant, self._change.standing)
        if found is None:
            self._record.require_all()
        return found

    def _grant(self, grant_id: str) -> Grant | None:
        if grant_id in self._change.gone:
            return None
        known = self._record.grants.get(grant_id)
        return self._change.grants.get(grant_id) or (None if known is None else known.grant)
