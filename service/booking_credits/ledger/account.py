"""Account: what is on record of one account, as far as it has been loaded.

Everything in it is immutable but the record itself, which takes over an `Outcome` whole. A
question about something that has not been loaded raises `NotLoaded`; whoever keeps the record
loads it and asks again.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.burn_order import burn_key
from booking_credits.ledger.calendars import Timeline
from booking_credits.ledger.charges import FIRST_RANK, LAST_RANK
from booking_credits.ledger.closing import latest
from booking_credits.ledger.facts import AccountDescribed, CreditsGranted, PeriodClosed
from booking_credits.ledger.grants import OPEN_END
from booking_credits.ledger.needs import (
    DueBy,
    Everything,
    FactsOf,
    GrantsEndingAfter,
    LinesWithin,
    NotLoaded,
    OpenLinesBefore,
    Reach,
    TakersBelow,
    WantingAbove,
)
from booking_credits.ledger.outcomes import Numbers, Outcome
from booking_credits.ledger.postings import Postings
from booking_credits.ledger.standing import standing_grants
from booking_credits.ledger.subjects import ACCOUNT_SUBJECT

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from datetime import datetime

    from booking_credits.ledger.announcements import Obligation
    from booking_credits.ledger.calendars import Timelines
    from booking_credits.ledger.charges import Charge, LineKey, Rank
    from booking_credits.ledger.closing import ClosedLine, ClosedTake
    from booking_credits.ledger.entries import GrantRecord
    from booking_credits.ledger.facts import Fact
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.needs import Wants
    from booking_credits.ledger.policies import GrantOrder, PolicyBook
    from booking_credits.ledger.standing import StandingGrant


class AccountRecord:
    """What is on record of one account; see `Reach` for how much of it."""

    def __init__(
        self,
        account_id: str,
        book: PolicyBook,
        *,
        whole: bool = True,
        timelines: Timelines | None = None,
    ) -> None:
        """Begin with an empty record; a whole one never asks for more.

        Records of many accounts may share `timelines` by their book.
        """
        self.account_id = account_id
        self.book = book
        self._timelines = timelines or partial(Timeline, book=book)
        self.numbers = Numbers()
        self.present: datetime | None = None
        self.timeline = self._timelines(())
        self.facts: dict[str, tuple[Fact, ...]] = {}
        self.grants: dict[str, GrantRecord] = {}
        self.gone: dict[str, Grant] = {}
        self.monthly: tuple[str, ...] = ()
        self.charges: dict[LineKey, Charge] = {}
        self.first_start: datetime | None = None
        self.lines: dict[str, tuple[LineKey, ...]] = {}
        self.closed: dict[LineKey, ClosedLine] = {}
        self.closed_takes: dict[str, dict[LineKey, ClosedTake]] = {}
        self.closed_through: datetime | None = None
        self.obligations: dict[LineKey, tuple[Obligation, ...]] = {}
        self.balances: dict[str, Buckets] = {}
        self.reach = Reach(whole=whole)
        self.postings = Postings(whole=whole)
        self._short: list[tuple[Rank, LineKey]] = []
        self._takers: dict[str, list[tuple[Rank, LineKey]]] = {}
        self._sorted_grants: dict[tuple[str, GrantOrder], list[Grant]] = {}
        self._standing: tuple[StandingGrant, ...] | None = None

    @property
    def standing(self) -> tuple[StandingGrant, ...]:
        """The account's standing grants; `monthly` names the subjects of those given monthly."""
        if self._standing is None:
            subjects = (ACCOUNT_SUBJECT, *self.monthly)
            facts = (fact for subject in subjects for fact in self.facts_of(subject))
            self._standing = standing_grants(facts, self.timeline)
        return self._standing

    def accept(self, outcome: Outcome) -> None:
        """Take over what a fact changed."""
        fact = outcome.fact
        self.facts[fact.subject] = (*self.facts.get(fact.subject, ()), fact)
        self.numbers, self.present = outcome.numbers, outcome.present
        self.timeline = outcome.timeline
        for key, charge in outcome.charges.items():
            self.put_charge(key, charge)
        self.put_grants(outcome.grants.values())
        self._drop_grants(outcome)
        self._keep_standing(fact)
        self._keep_closed(fact)
        self.obligations.update(outcome.obligations)
        self.balances.update(outcome.balances)
        self.postings.add(outcome)

    def _drop_grants(self, outcome: Outcome) -> None:
        for grant_id in outcome.gone:
            self.gone[grant_id] = self.grants.pop(grant_id).grant
            self._sorted_grants.clear()

    def _keep_standing(self, fact: Fact) -> None:
        """Read the standing grants anew where a fact may change them."""
        if isinstance(fact, CreditsGranted) and fact.recurrence == "monthly":
            self.monthly = (*self.monthly, fact.subject)
        if fact.subject == ACCOUNT_SUBJECT or fact.subject in self.monthly:
            self._standing = None

    def _keep_closed(self, fact: Fact) -> None:
        if isinstance(fact, PeriodClosed):
            self.put_closed(fact.lines or ())
            self.closed_through = max(fact.ends_at, self.closed_through or fact.ends_at)

    def put_closed(self, lines: Iterable[ClosedLine]) -> None:
        """Set lines as they stood when they were closed; `closed_takes` has each, by grant."""
        for line in lines:
            self.closed[line.key] = latest((self.closed.get(line.key), line)) or line
            for take in line.takes:
                self.closed_takes.setdefault(take.grant_id, {})[line.key] = take

    def put_facts(self, subject: str, facts: Iterable[Fact]) -> None:
        """Set the facts on record of a subject."""
        self.facts[subject] = tuple(facts)
        if subject == ACCOUNT_SUBJECT:
            described = [f for f in self.facts[subject] if isinstance(f, AccountDescribed)]
            self.timeline = self._timelines(tuple(described))
        if subject == ACCOUNT_SUBJECT or subject in self.monthly:
            self._standing = None

    def put_charge(self, key: LineKey, charge: Charge | None) -> None:
        """Set or drop the charge of a line; none has ever started before `first_start`."""
        before = self.charges.pop(key, None)
        if before is not None:
            if before.short:
                _drop(self._short, (before.rank, key))
            for take in before.loose:
                _drop(self._takers[take.grant_id], (before.rank, key))
        keys = self.lines.get(key[0], ())
        if charge is None:
            self.lines[key[0]] = tuple(k for k in keys if k != key)
            return
        self.charges[key] = charge
        starts_at = charge.line.starts_at
        self.first_start = min(starts_at, self.first_start or starts_at)
        if key not in keys:
            self.lines[key[0]] = tuple(sorted((*keys, key)))
        if charge.short:
            insort(self._short, (charge.rank, key))
        for take in charge.loose:
            insort(self._takers.setdefault(take.grant_id, []), (charge.rank, key))

    def put_grants(self, records: Iterable[GrantRecord]) -> None:
        """Set grants; their order is worked out anew only where a grant itself is another."""
        for record in records:
            before = self.grants.get(record.grant.grant_id)
            self.grants[record.grant.grant_id] = record
            if before is None or before.grant != record.grant:
                self._sorted_grants.clear()

    def facts_of(self, subject: str) -> tuple[Fact, ...]:
        """Return the facts on record of a subject."""
        return self.facts.get(subject, ())

    def grants_in(self, unit: str, order: GrantOrder) -> list[Grant]:
        """Return the grants of a unit in the order in which they pay."""
        grants = self._sorted_grants.get((unit, order))
        if grants is None:
            of_unit = (r.grant for r in self.grants.values() if r.grant.unit == unit)
            grants = sorted(of_unit, key=lambda grant: burn_key(grant, order))
            self._sorted_grants[unit, order] = grants
        return grants

    def require_grants(self, starts_at: datetime) -> None:
        """Ask for the grants that can pay at an instant."""
        after = self.reach.grants_after
        if not self.reach.whole and (after is None or after > starts_at):
            raise NotLoaded(GrantsEndingAfter(starts_at))

    def has_line_in(self, grant: Grant, but: Container[LineKey]) -> bool:
        """Say whether a line that stands, but for some, starts in a grant's window."""
        if any(
            k not in but and grant.is_valid_at(c.line.starts_at) for k, c in self.charges.items()
        ):
            return True
        from_at, to_at = grant.from_at, grant.to_at or OPEN_END
        low = self.reach.lines_up_to.get((from_at, to_at), from_at)
        if low < to_at and not self.reach.has_lines_from(low):
            raise NotLoaded(LinesWithin(from_at, to_at, low))
        return False

    def require_all(self) -> None:
        """Ask for the whole account."""
        if not self.reach.whole:
            raise NotLoaded(Everything())

    def require_facts(self, subject: str) -> tuple[Fact, ...]:
        """Return the facts on record of a subject, and ask for them."""
        if not self.reach.whole and subject not in self.facts:
            raise NotLoaded(FactsOf(subject))
        return self.facts_of(subject)

    def require_closed(self, from_at: datetime) -> None:
        """Ask for the closed lines that start from an instant on, if there can be any."""
        if self.closed_through is not None and from_at < self.closed_through:
            self.require_all()

    def open_lines_before(self, instant: datetime) -> list[Charge]:
        """Return the charges that start before an instant and are not closed, in their order."""
        before = self.reach.open_before
        if not self.reach.whole and (before is None or before < instant):
            raise NotLoaded(OpenLinesBefore(instant))
        charges = (c for c in self.charges.values() if c.closed is None)
        return sorted((c for c in charges if c.line.starts_at < instant), key=attrgetter("rank"))

    def due_by(self, instant: datetime, last_end: datetime) -> tuple[list[LineKey], list[str]]:
        """Return the charges that time changes, and the grants that end, by an instant."""
        through = self.reach.due_through
        if not self.reach.whole and (through is None or through < instant):
            raise NotLoaded(DueBy(instant, last_end))
        keys = [k for k, c in self.charges.items() if c.due_at and c.due_at <= instant]
        ended = [
            grant_id
            for grant_id, record in self.grants.items()
            if record.has_rest and record.grant.changes_within(self.present, instant)
        ]
        return sorted(keys), sorted(ended)

    def last_taker(
        self, grant_id: str, within: tuple[Rank, Rank], skip: Container[LineKey]
    ) -> Charge | None:
        """Return the last charge in rank, within `(low, high]`, that may give way in a grant."""
        above, last = within
        reached, ranked = self._takers_reach(grant_id, above), self._takers.get(grant_id, [])
        for index in reversed(range(bisect_right(ranked, (last, (LAST_RANK, 0))))):
            rank, key = ranked[index]
            if rank <= above or rank < reached:
                break
            if key not in skip:
                return self.charges[key]
        if reached > above:
            raise NotLoaded(TakersBelow(grant_id, reached, above))
        return None

    def takers(self, grant_id: str) -> list[Charge]:
        """Return every charge that takes from a grant and may have to give way, in rank."""
        low = self._takers_reach(grant_id, FIRST_RANK)
        if low > FIRST_RANK:
            raise NotLoaded(TakersBelow(grant_id, low, FIRST_RANK))
        return [self.charges[key] for _, key in self._takers.get(grant_id, [])]

    def first_wanting(
        self,
        grant: Grant,
        above: Rank,
        better_ids: frozenset[str],
        skip: Container[LineKey],
        wants: Wants,
    ) -> Charge | None:
        """Return the first charge in rank, above a rank, that would take more of a grant.

        Such a charge is one it may pay that is short or takes from a grant which is not better.
        """
        high = self._wanting_reach(grant, above, better_ids)
        first: Charge | None = None
        last = high
        for ranked in self._asking(grant, above, better_ids):
            found = self._first_in(ranked, grant, (above, last), skip, wants)
            if found is not None:
                first, last = found, found.rank
        if first is None and high != LAST_RANK:
            raise NotLoaded(WantingAbove(grant, high, better_ids))
        return first

    def _asking(
        self, grant: Grant, above: Rank, better_ids: frozenset[str]
    ) -> Iterator[list[tuple[Rank, LineKey]]]:
        """Yield the lists of those above a rank who may want more of a grant, each in rank."""
        if self._short and self._short[-1][0] > above:
            yield self._short
        for grant_id, ranked in self._takers.items():
            if (
                ranked
                and ranked[-1][0] > above
                and grant_id not in better_ids
                and self.grants[grant_id].grant.overlaps(grant)
            ):
                yield ranked

    def _first_in(
        self,
        ranked: list[tuple[Rank, LineKey]],
        grant: Grant,
        within: tuple[Rank, Rank],
        skip: Container[LineKey],
        wants: Wants,
    ) -> Charge | None:
        """Return the first charge of a list, within `(low, high]`, that a grant may pay."""
        low, high = within
        for index in range(bisect_right(ranked, (low, (LAST_RANK, 0))), len(ranked)):
            rank, key = ranked[index]
            if rank > high:
                return None
            if key not in skip and wants(grant, self.charges[key]):
                return self.charges[key]
        return None

    def _takers_reach(self, grant_id: str, above: Rank) -> Rank:
        reach = self.reach
        if reach.whole or reach.last_taken.get(grant_id, LAST_RANK) <= above:
            return FIRST_RANK
        known = self.grants.get(grant_id)
        if known is not None and reach.has_lines_from(known.grant.from_at):
            return FIRST_RANK
        return reach.takers_from.get(grant_id, LAST_RANK)

    def _wanting_reach(self, grant: Grant, rank: Rank, better_ids: frozenset[str]) -> Rank:
        if self.reach.has_lines_from(grant.from_at) or self._nobody_wants(grant, rank, better_ids):
            return LAST_RANK
        low, high = self.reach.wanting_within.get((grant, better_ids), (LAST_RANK, LAST_RANK))
        if rank < low:
            raise NotLoaded(WantingAbove(grant, rank, better_ids))
        return high

    def _nobody_wants(self, grant: Grant, above: Rank, better_ids: frozenset[str]) -> bool:
        """Say whether whoever could want more of a grant above a rank is loaded."""
        last_taken, through = self.reach.last_taken, self.reach.short_through
        is_none_short = self.reach.last_short <= above or (
            through is not None and through < grant.from_at
        )
        return is_none_short and not any(
            last_taken.get(grant_id, FIRST_RANK) > above
            and self.grants[grant_id].grant.overlaps(grant)
            for grant_id in self.grants
            if grant_id not in better_ids
        )


def _drop(ranked: list[tuple[Rank, LineKey]], item: tuple[Rank, LineKey]) -> None:
    del ranked[bisect_left(ranked, item)]
