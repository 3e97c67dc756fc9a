"""The walk: from the first touched charge to where coverage meets the record again.

A charge's coverage never depends on charges that come later in the order. So a charge that is
covered anew may take what later charges took, the last of them first, and what one gives back
goes to the first later charge that wanted it. Every charge displaced in this way is covered anew
at its own place, in order, and the walk ends when none is left. A grant that has something left
was never exhausted: nobody was refused any of it, so giving more to it moves nobody. Nothing is
read but the charges that change and, at most, those that might.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from booking_credits.ledger.burn_order import BurnOrder
from booking_credits.ledger.charges import (
    FIRST_RANK,
    LAST_RANK,
    UNPAID,
    Charge,
    Paid,
    can_pay,
    charge_at,
    coverage_of,
    rank_before,
    rank_of,
)
from booking_credits.ledger.grants import differ_in_quantity, only_removed_more
from booking_credits.ledger.kept_takes import KeptTakes
from booking_credits.ledger.needs import LinesFrom, NotLoaded

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.charges import Coverage, LineKey, Rank, Take
    from booking_credits.ledger.closing import ClosedLine
    from booking_credits.ledger.facts import BookingFact, Line
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.needs import Need
    from booking_credits.ledger.standing import StandingGrant

# With each question the walk begins again; fewer questions than these cost less than all lines.
MANY_GRANTS: Final = 16


@dataclass(frozen=True, slots=True)
class Change:
    """What a fact changes before any coverage is computed.

    Timeline, present and standing grants are as they are after it, the rest is what changes:
    `lines` are those that are to be looked at anew, as they now stand (None: they stand no more),
    `grants` those that are new, read otherwise or have ended. Those that are `gone` are among
    them, and pending again. `closed` are lines that are closed by it, `told` is what it tells of a
    booking.
    """

    timeline: Timeline
    present: datetime | None
    standing: tuple[StandingGrant, ...]
    lines: Mapping[LineKey, StandingLine | None]
    grants: Mapping[str, Grant]
    gone: frozenset[str] = frozenset()
    closed: Mapping[LineKey, ClosedLine] = field(default_factory=dict)
    told: BookingFact | None = None


def walk(record: AccountRecord, change: Change) -> tuple[dict[LineKey, Charge | None], set[str]]:
    """Cover anew what a change touches; returns the charges and ids of the grants it concerns.

    Some of them may turn out to be as they were.
    """
    walking = _Walk(record, change)
    walking.begin()
    while (key := walking.next_line()) is not None:
        walking.cover(key)
    return walking.after, walking.touched


class _Walk:
    """The charges and rests of one walk, laid over a record that stays as it is."""

    def __init__(self, record: AccountRecord, change: Change) -> None:
        self.record = record
        self.change = change
        self.after: dict[LineKey, Charge | None] = {}
        self.touched: set[str] = set(change.grants)
        self._rest: dict[str, int] = {}
        self._rolled: dict[str, int] = {}
        self._freed: dict[str, Rank] = {}
        self._given_back: set[LineKey] = set()
        self._given_back_above: dict[str, Rank] = {}
        self._queue: list[tuple[Rank, LineKey]] = []
        self._position: Rank = FIRST_RANK
        self._order = BurnOrder(record, change)
        self._kept = KeptTakes(record, change)
        self._reread: set[str] = set()

    def begin(self) -> None:
        """Apply the changed lines and grants, and queue what must be covered anew."""
        if merely := self._kept.merely_closed():
            self.after.update(merely)
            return
        for key, standing in self.change.lines.items():
            self._change_line(key, standing)
        for grant in self.change.grants.values():
            self._change_grant(grant)
        for key in self._kept.changed():
            self._change_kept(key)

    def _change_kept(self, key: LineKey) -> None:
        """Take what a line keeps by now out of the grants, whoever has it, and cover it anew."""
        charge, standing = self.record.charges.get(key), self._kept.standing(key)
        if charge is not None:
            for take in charge.kept:
                if take.grant_id not in self._reread:
                    self._return(take, charge.line, FIRST_RANK)
            if standing is not None and key not in self._given_back:
                self._give_back(charge)
                heappush(self._queue, (rank_of(standing, self.change.timeline), key))
        if standing is not None:
            for take in (self._kept.of(key) or UNPAID).takes:
                self._take_first(take, standing.line)

    def _take_first(self, take: Take, line: Line) -> None:
        """Take what a line keeps; those who find too little left in the grant give way."""
        self.touched.add(take.grant_id)
        grant = self._grant(take.grant_id)
        if grant.quantity is None or take.grant_id in self._reread:
            return
        self._take(grant, take.quantity, line)
        while self._spare(grant) < 0 and self._displace_last(take.grant_id):
            pass

    def next_line(self) -> LineKey | None:
        """Return the next line in rank that is queued or wants what was freed."""
        wanting = self._first_wanting() if self._freed else None
        if wanting is not None and (not self._queue or wanting.rank < self._queue[0][0]):
            self._give_back(wanting)
            self._position = wanting.rank
            return wanting.key
        if not self._queue:
            return None
        self._position, key = heappop(self._queue)
        return key

    def cover(self, key: LineKey) -> None:
        """Compute the coverage of a line at its place."""
        standing = self._standing(key)
        line, timeline = standing.line, self.change.timeline
        self.record.require_grants(line.starts_at)
        policy = timeline.policy_at(line.starts_at)
        kept = self._kept.of(key)
        paid = coverage_of(
            line,
            policy,
            timeline,
            lambda unit: self._order.grants_in(unit, policy.grant_order),
            lambda grant, need: self._draw(grant, need, standing),
            kept or UNPAID,
        )
        self._keep(standing, self._position, paid, kept)

    def _keep(self, standing: StandingLine, rank: Rank, paid: Paid, kept: Coverage | None) -> None:
        """Keep how a line is paid, and say what the present makes of it."""
        for take in paid[1].takes:
            self.touched.add(take.grant_id)
        closed = None if kept is None else kept.takes
        timeline, present = self.change.timeline, self.change.present
        self.after[standing.key] = charge_at(standing, rank, paid, timeline, present, closed)

    def _standing(self, key: LineKey) -> StandingLine:
        return self.change.lines.get(key) or self.record.charges[key].standing

    def _change_line(self, key: LineKey, standing: StandingLine | None) -> None:
        """Queue a line that must be covered anew; keep the coverage of any other."""
        charge = self.record.charges.get(key)
        if standing is None:
            self.after[key] = None
            if charge is not None:
                self._give_back(charge)
            return
        rank = rank_of(standing, self.change.timeline)
        if charge is not None:
            alike = (charge.rank, charge.line) == (rank, standing.line)
            if alike and self.change.timeline is self.record.timeline:
                paid = charge.eligible, charge.coverage
                self._keep(standing, rank, paid, self._kept.of(key))
                return
            self._give_back(charge)
        heappush(self._queue, (rank, key))

    def _change_grant(self, grant: Grant) -> None:
        """Free a new or larger grant to whoever wants it; empty one that reads otherwise."""
        grant_id, record = grant.grant_id, self.record.grants.get(grant.grant_id)
        if (record is None and grant.pending) or (record is not None and record.grant == grant):
            return
        if record is not None and only_removed_more(record.grant, grant):
            self._displace_booked_since_removals(grant)
            return
        rest = grant.issued or 0
        if record is not None and differ_in_quantity(record.grant, grant):
            rest_before = self._rest_of(grant_id)
            rest += rest_before - (record.grant.quantity or 0)
            is_freed = rest_before <= 0
        else:
            while record is not None and self._displace_last(grant_id):
                pass
            self._reread.add(grant_id)
            kept, self._rolled[grant_id] = self._kept.of_grant(grant)
            rest -= kept
            is_freed = not grant.pending
        self._rest[grant_id] = rest
        if is_freed:
            self._freed[grant_id] = rank_before(grant.from_at, self.change.timeline)
        while self._rest[grant_id] < 0 and self._displace_last(grant_id):
            pass

    def _displace_booked_since_removals(self, grant: Grant) -> None:
        """Queue who takes of a grant and was booked when something had been removed."""
        since = grant.removals[0].at
        for taker in self.record.takers(grant.grant_id):
            if taker.standing.booked_at >= since:
                self._displace(taker)

    def _displace_last(self, grant_id: str, above: Rank = FIRST_RANK) -> bool:
        """Queue the last charge above a rank that takes from a grant; False if there is none."""
        taker = self._last_taker(grant_id, above)
        if taker is None:
            return False
        self._displace(taker)
        return True

    def _last_taker(self, grant_id: str, above: Rank) -> Charge | None:
        """Return the last charge above a rank that takes from a grant and has not given back.

        Whoever comes after it has, so nobody is looked at twice.
        """
        last = self._given_back_above.get(grant_id, LAST_RANK)
        if last <= above:
            return None
        try:
            taker = self.record.last_taker(grant_id, (above, last), self._given_back)
        except NotLoaded as missing:
            needs = self._widened(missing.needs, self._grant(grant_id))
        else:
            self._given_back_above[grant_id] = above if taker is None else taker.rank
            return taker
        raise NotLoaded(*needs)

    def _displace(self, taker: Charge) -> None:
        self._give_back(taker)
        heappush(self._queue, (taker.rank, taker.key))

    def _give_back(self, charge: Charge) -> None:
        """Return a charge's takes to their grants; who was refused an exhausted one may want it."""
        self._given_back.add(charge.key)
        for take in charge.loose:
            self._return(take, charge.line, charge.rank)

    def _return(self, take: Take, line: Line, rank: Rank) -> None:
        self.touched.add(take.grant_id)
        grant = self._grant(take.grant_id)
        if grant.quantity is None:
            return
        if take.grant_id in self._freed or self._spare(grant) <= 0:
            self._freed[take.grant_id] = min(rank, self._freed.get(take.grant_id, rank))
        self._take(grant, -take.quantity, line)

    def _draw(self, grant: Grant, need: int, standing: StandingLine) -> int:
        """Take what is needed from a grant that may pay, from later charges too.

        Later charges give way also where they find less in it than this one does: what it takes
        may leave them too little.
        """
        if not grant.may_pay(standing):
            return 0
        if grant.quantity is None:
            return need
        while (spare := self._spare(grant)) < need:
            if not self._displace_last(grant.grant_id, self._position):
                break
        offer = self._allowance(grant, standing) if grant.is_limited else spare
        if offer <= 0:
            return 0
        taken = min(offer, need)
        self._take(grant, taken, standing.line)
        return taken

    def _take(self, grant: Grant, quantity: int, line: Line) -> None:
        self._rest[grant.grant_id] = self._rest_of(grant.grant_id) - quantity
        if grant.rolls_over_to(line):
            self._rolled[grant.grant_id] = self._rolled_of(grant.grant_id) + quantity

    def _allowance(self, grant: Grant, standing: StandingLine) -> int:
        """Return what a finite grant still has for a charge, with all that others take."""
        grant_id = grant.grant_id
        return grant.offer(self._rest_of(grant_id), self._rolled_of(grant_id), standing)

    def _spare(self, grant: Grant) -> int:
        """Return what a finite grant still has for whoever finds least in it.

        Where that is something, nobody was refused any of it.
        """
        if not grant.is_limited:
            return self._rest_of(grant.grant_id)
        return grant.least_offer(self._rest_of(grant.grant_id), self._rolled_of(grant.grant_id))

    def _rolled_of(self, grant_id: str) -> int:
        rolled = self._rolled.get(grant_id)
        return self.record.grants[grant_id].rolled if rolled is None else rolled

    def _rest_of(self, grant_id: str) -> int:
        rest = self._rest.get(grant_id)
        return self._rest_on_record(grant_id) if rest is None else rest

    def _rest_on_record(self, grant_id: str) -> int:
        """Return what nobody took; below nothing where closed lines keep more than there is."""
        grant, buckets = self.record.grants[grant_id].grant, self.record.grants[grant_id].buckets
        return (grant.issued or 0) - buckets.held - buckets.drawn

    def _grant(self, grant_id: str) -> Grant:
        return self.change.grants.get(grant_id) or self.record.grants[grant_id].grant

    def _first_wanting(self) -> Charge | None:
        """Return the first charge on record that would take of what was freed.

        What is missing to say it of all freed grants is asked for at once.
        """
        first: Charge | None = None
        needs: list[Need] = []
        for grant_id, rank in list(self._freed.items()):
            grant = self._grant(grant_id)
            # Of one with limits, who had less of it than others may want what those took later.
            if grant.quantity is not None and not grant.is_limited and self._rest[grant_id] <= 0:
                continue
            try:
                found = self._wanting(grant, max(rank, self._position))
            except NotLoaded as missing:
                needs.extend(self._widened(missing.needs, grant))
                continue
            if found is None:
                del self._freed[grant_id]
            elif first is None or found.rank < first.rank:
                first = found
        if needs:
            raise NotLoaded(*needs)
        return first

    def _wanting(self, grant: Grant, above: Rank) -> Charge | None:
        """Only who knows all grants that pay before one can tell who would take more of it."""
        self.record.require_grants(grant.from_at)
        wants = self._may_want if grant.is_limited else can_pay
        return self.record.first_wanting(
            grant, above, self._order.better_ids(grant), self._given_back, wants
        )

    def _widened(self, needs: tuple[Need, ...], grant: Grant) -> tuple[Need, ...]:
        """Ask for all lines from a grant on where the walk has gone through many of them.

        It will go on through those that overlap, and would ask of each.
        """
        if len(self.touched) - len(self.change.grants) <= MANY_GRANTS:
            return needs
        grants = (known.grant for known in self.record.grants.values())
        begins = (other.from_at for other in grants if other.overlaps(grant))
        instant = min((grant.from_at, *begins))
        return needs if self.record.reach.has_lines_from(instant) else (LinesFrom(instant),)

    def _may_want(self, grant: Grant, charge: Charge) -> bool:
        """Say whether a charge would find anything in a grant with limits.

        Beyond the last charge that takes from it, a charge finds what its own limits leave;
        before it there may be some who have to give way.
        """
        if not can_pay(grant, charge):
            return False
        if grant.quantity is None or self._allowance(grant, charge.standing) > 0:
            return True
        return self._last_taker(grant.grant_id, charge.rank) is not None
