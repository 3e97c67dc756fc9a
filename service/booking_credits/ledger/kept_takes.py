"""Kept takes: what closed lines keep, whatever is learned after they were closed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from booking_credits.ledger.bookings import lines_since
from booking_credits.ledger.charges import (
    UNPAID,
    WHOLE,
    Coverage,
    Fraction,
    Take,
    less_taken,
    needed,
)
from booking_credits.ledger.closing import latest
from booking_credits.ledger.facts import BOOKING_FACTS
from booking_credits.ledger.grant_ids import is_of_rule
from booking_credits.ledger.grants import differ_in_quantity
from booking_credits.ledger.remnants import grant_for, replacement_of
from booking_credits.ledger.subjects import booking_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.closing import ClosedLine, ClosedTake
    from booking_credits.ledger.facts import BookingFact, Line
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.walk import Change


def kept_of(
    closed: ClosedLine,
    since: Iterable[Line | None],
    timeline: Timeline,
    find: Callable[[ClosedTake], Grant | None],
) -> Coverage | None:
    """Return what a line that has been closed keeps of its takes; None: it is open again.

    `since` is the line at its closing and after each later revision. What it gave back at one of
    them it has given back for good; once it did not stand, or began after what was closed, that
    is all. `find` says which grant stands for that of a take by now.
    """
    kept, left = closed.takes, WHOLE
    for line in since:
        if line is None or line.starts_at >= closed.until:
            return None
        kept, left = _cut(closed, kept, line, timeline, find)
    taken: Counter[str] = Counter()
    for take in kept:
        grant = find(take)
        taken[take.grant_id if grant is None else grant.grant_id] += take.quantity
    return Coverage(tuple(Take(grant_id, quantity) for grant_id, quantity in taken.items()), left)


def _cut(
    closed: ClosedLine,
    takes: Iterable[ClosedTake],
    line: Line,
    timeline: Timeline,
    find: Callable[[ClosedTake], Grant | None],
) -> tuple[tuple[ClosedTake, ...], Fraction]:
    """Leave a line that is another what it still needs and, if it has moved, what may pay it."""
    if line != closed.line and not timeline.policy_at(line.starts_at).admits(line):
        return (), WHOLE
    has_moved = _place(line) != _place(closed.line)
    costs = dict(line.costs)
    kept: list[ClosedTake] = []
    left = WHOLE
    for take in takes:
        grant = find(take)
        if grant is None or grant.pending or (has_moved and not grant.reaches(line)):
            continue
        cost = costs.get(take.unit, 0)
        if quantity := min(take.quantity, needed(cost, left)):
            kept.append(replace(take, quantity=quantity))
            left = less_taken(left, quantity, cost)
    return tuple(kept), left


def _place(line: Line) -> tuple[object, ...]:
    return line.starts_at, line.resource, line.product_group, line.location


class KeptTakes:
    """What closed lines keep after a change, which may be another part than before it."""

    def __init__(self, record: AccountRecord, change: Change) -> None:
        """Look at the lines on record and at those that the change closes."""
        self._record = record
        self._change = change
        self._known: dict[LineKey, Coverage | None] = {}
        self._are_all_open = not record.closed and not change.closed

    def of(self, key: LineKey) -> Coverage | None:
        """Return what a closed line keeps; None: it is open, or does not stand."""
        if self._are_all_open:
            return None
        if key not in self._known:
            self._known[key] = self._computed(self._closed(key), self.standing(key))
        return self._known[key]

    def _closed(self, key: LineKey) -> ClosedLine | None:
        return latest((self._change.closed.get(key), self._record.closed.get(key)))

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
        if self._change.grants or not self._change.closed:
            return {}
        merely: dict[LineKey, Charge] = {}
        for key, closed in self._change.closed.items():
            charge = self._record.charges.get(key)
            if charge is None or charge.closed is not None or charge.line != closed.line:
                return {}
            if charge.standing.revision != closed.revision or self._closed(key) != closed:
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
        # A revision told late may leave a line as it is, and yet tell how it stood in between.
        told = () if change.told is None else record.lines.get(change.told.booking_id, ())
        keys = {*change.closed, *(key for key in (*change.lines, *told) if key in record.closed)}
        for grant in change.grants.values():
            if self._reads_otherwise(grant):
                keys |= self._taking_from(grant.grant_id)
        return sorted(keys)

    def _taking_from(self, grant_id: str) -> set[LineKey]:
        """List the lines that took from a grant, or from one that it replaces, when closed."""
        takes = self._record.closed_takes
        keys = set(takes.get(grant_id, ()))
        for other_id, of_other in takes.items():
            if is_of_rule(other_id) and (
                grant_id == replacement_of(other_id, self._change.standing)
            ):
                keys |= of_other.keys()
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

    def _computed(
        self, closed: ClosedLine | None, standing: StandingLine | None
    ) -> Coverage | None:
        if closed is None or standing is None:
            return None
        since: list[Line | None] = [standing.line]
        if standing.revision > closed.revision:
            facts = self._facts_of(closed.booking_id)
            since = lines_since(facts, closed.revision, closed.line.line_no)
        return kept_of(closed, since, self._change.timeline, self._find)

    def _facts_of(self, booking_id: str) -> list[BookingFact]:
        told = self._change.told
        known = self._record.require_facts(booking_subject(booking_id))
        facts = [fact for fact in known if isinstance(fact, BOOKING_FACTS)]
        return [*facts, told] if told is not None and told.booking_id == booking_id else facts

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
