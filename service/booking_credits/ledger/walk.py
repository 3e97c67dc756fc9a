"""The walk: from the first touched charge to where coverage meets the record again.

A charge's coverage never depends on charges that come later in the order. So a charge that is
covered anew may take what later charges took, the last of them first, and what one gives back
goes to the first later charge that wanted it. Every charge displaced in this way is covered anew
at its own place, in order, and the walk ends when none is left. A grant that has something left
was never exhausted: nobody was refused any of it, so giving more to it moves nobody. Nothing is
read but the charges that change and, at most, those that might.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from booking_credits.ledger.charges import (
    FIRST_RANK,
    LAST_RANK,
    Charge,
    charge_at,
    coverage_of,
    rank_of,
)
from booking_credits.ledger.grants import burn_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.charges import Coverage, LineKey, Rank
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.policies import GrantOrder


@dataclass(frozen=True, slots=True)
class Change:
    """What a fact changes before any coverage is computed.

    `lines` are the lines whose standing is another (None: they stand no more), `passed` those
    that only time has changed, `grants` those that are new or read otherwise, or have ended.
    """

    timeline: Timeline
    present: datetime | None
    lines: Mapping[LineKey, StandingLine | None]
    passed: tuple[LineKey, ...]
    grants: Mapping[str, Grant]


def walk(record: AccountRecord, change: Change) -> tuple[dict[LineKey, Charge | None], set[str]]:
    """Cover anew what a change touches; returns the charges and ids of the grants it concerns."""
    walking = _Walk(record, change)
    walking.begin()
    while (key := walking.next_line()) is not None:
        walking.cover(key)
    for key in change.passed:
        if key not in walking.after:
            walking.settle(record.charges[key])
    return walking.after, walking.touched


class _Walk:
    """The charges and rests of one walk, laid over a record that stays as it is."""

    def __init__(self, record: AccountRecord, change: Change) -> None:
        self.record = record
        self.change = change
        self.after: dict[LineKey, Charge | None] = {}
        self.touched: set[str] = set(change.grants)
        self._rest: dict[str, int] = {}
        self._freed: dict[str, Rank] = {}
        self._given_back: set[LineKey] = set()
        self._queue: list[tuple[Rank, LineKey]] = []
        self._position: Rank = FIRST_RANK
        self._sorted_grants: dict[tuple[str, GrantOrder], list[Grant]] = {}
        self._unchanged_grants = not any(
            record.grants.get(i) is None or record.grants[i].grant != grant
            for i, grant in change.grants.items()
        )

    def begin(self) -> None:
        """Apply the changed grants and lines, and queue what must be covered anew."""
        for grant in self.change.grants.values():
            self._change_grant(grant)
        for key, standing in self.change.lines.items():
            self._change_line(key, standing)
        for grant_id in [g for g, rest in self._rest.items() if rest < 0]:
            while self._rest[grant_id] < 0:
                self._displace_last(grant_id)

    def next_line(self) -> LineKey | None:
        """Return the next line in rank that is queued or wants what was freed."""
        best = self._queue[0] if self._queue else None
        for grant_id, rank in self._freed.items():
            grant = self._grant(grant_id)
            if grant.quantity is not None and self._rest[grant_id] <= 0:
                continue
            above = max(rank, self._position)
            better = self._not_worse(grant)
            found = self.record.first_wanting(grant, above, better, self._given_back)
            if found is not None and (best is None or found.rank < best[0]):
                best = (found.rank, found.key)
        if best is None:
            return None
        if self._queue and best == self._queue[0]:
            heappop(self._queue)
        else:
            self._give_back(self.record.charges[best[1]])
        self._position = best[0]
        return best[1]

    def cover(self, key: LineKey) -> None:
        """Compute the coverage of a line at its place."""
        standing = self._standing(key)
        line, timeline = standing.line, self.change.timeline
        self.record.require_grants(line.starts_at)
        policy = timeline.policy_at(line.starts_at)
        eligible, coverage = coverage_of(
            line,
            policy,
            timeline,
            lambda unit: [g for g in self._grants_in(unit, policy.grant_order) if g.may_pay(line)],
            self._draw,
        )
        self.touched.update(take.grant_id for take in coverage.takes)
        self._settle(standing, self._position, eligible, coverage)

    def settle(self, charge: Charge) -> None:
        """Keep a charge's coverage and say what time has made of it."""
        self.touched.update(take.grant_id for take in charge.coverage.takes)
        self._settle(
            self._standing(charge.key), charge.rank, charge.eligible, charge.coverage
        )

    def _settle(
        self, standing: StandingLine, rank: Rank, eligible: bool, coverage: Coverage
    ) -> None:
        key = (standing.booking_id, standing.line.line_no)
        timeline, present = self.change.timeline, self.change.present
        self.after[key] = charge_at(standing, rank, eligible, coverage, timeline, present)

    def _standing(self, key: LineKey) -> StandingLine:
        return self.change.lines.get(key) or self.record.charges[key].standing

    def _change_line(self, key: LineKey, standing: StandingLine | None) -> None:
        """Queue a line whose place, scope or cost is another; settle one where only words are."""
        charge = self.record.charges.get(key)
        if standing is None:
            self.after[key] = None
            if charge is not None:
                self._give_back(charge)
            return
        rank = rank_of(standing, self.change.timeline)
        if charge is not None and (charge.rank, charge.line) == (rank, standing.line):
            if key not in self._given_back and self.change.timeline is self.record.timeline:
                self.settle(charge)
                return
        if charge is not None:
            self._give_back(charge)
        heappush(self._queue, (rank, key))

    def _change_grant(self, grant: Grant) -> None:
        """Free a new or larger grant to whoever wants it; empty one that reads otherwise."""
        record = self.record.grants.get(grant.grant_id)
        if record is None:
            self._rest[grant.grant_id] = grant.quantity or 0
            self._freed[grant.grant_id] = FIRST_RANK
            return
        if record.grant == grant:
            return
        if _same_but_quantity(record.grant, grant):
            rest = self._rest_of(grant.grant_id)
            if rest == 0:
                self._freed[grant.grant_id] = FIRST_RANK
            self._rest[grant.grant_id] = rest + (grant.quantity or 0) - (record.grant.quantity or 0)
            return
        while self._displace_last(grant.grant_id):
            pass
        self._rest[grant.grant_id] = grant.quantity or 0
        self._freed[grant.grant_id] = FIRST_RANK

    def _displace_last(self, grant_id: str, above: Rank = FIRST_RANK) -> bool:
        """Queue the last charge above a rank that takes from a grant; False if there is none."""
        taker = self.record.last_taker(grant_id, above, self._given_back)
        if taker is None:
            return False
        self._give_back(taker)
        if taker.key not in self.change.lines:
            heappush(self._queue, (taker.rank, taker.key))
        return True

    def _give_back(self, charge: Charge) -> None:
        """Return a charge's takes to their grants; an exhausted one is free from here on."""
        if charge.key in self._given_back:
            return
        self._given_back.add(charge.key)
        for take in charge.coverage.takes:
            grant_id = take.grant_id
            self.touched.add(grant_id)
            rest = self._rest_of(grant_id)
            if rest <= 0:
                self._freed[grant_id] = min(self._freed.get(grant_id, LAST_RANK), charge.rank)
            self._rest[grant_id] = rest + take.quantity

    def _draw(self, grant: Grant, need: int) -> int:
        """Take from a grant what is needed, from later charges too; an unlimited one has it."""
        if grant.quantity is None:
            return need
        while (rest := self._rest_of(grant.grant_id)) < need:
            if not self._displace_last(grant.grant_id, self._position):
                break
        taken = max(0, min(rest, need))
        self._rest[grant.grant_id] = rest - taken
        return taken

    def _rest_of(self, grant_id: str) -> int:
        rest = self._rest.get(grant_id)
        return self.record.grants[grant_id].buckets.rest if rest is None else rest

    def _grant(self, grant_id: str) -> Grant:
        return self.change.grants.get(grant_id) or self.record.grants[grant_id].grant

    def _grants_in(self, unit: str, order: GrantOrder) -> list[Grant]:
        if self._unchanged_grants:
            return self.record.grants_in(unit, order)
        grants = self._sorted_grants.get((unit, order))
        if grants is None:
            changed = self.change.grants
            known = (r.grant for i, r in self.record.grants.items() if i not in changed)
            of_unit = (grant for grant in (*known, *changed.values()) if grant.unit == unit)
            grants = sorted(of_unit, key=lambda grant: burn_key(grant, order))
            self._sorted_grants[unit, order] = grants
        return grants

    def _not_worse(self, grant: Grant) -> frozenset[str]:
        """List the grants that pay before this one in every order that the account uses."""
        better: list[set[str]] = []
        for order in self.change.timeline.grant_orders:
            ids = [other.grant_id for other in self._grants_in(grant.unit, order)]
            better.append(set(ids[: ids.index(grant.grant_id) + 1]))
        return frozenset(set.intersection(*better))


def _same_but_quantity(before: Grant, after: Grant) -> bool:
    """Say whether two finite grants differ in their quantity alone."""
    if before.quantity is None or after.quantity is None:
        return False
    return replace(before, quantity=after.quantity) == after
