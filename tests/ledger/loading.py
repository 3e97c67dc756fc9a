"""Loading: feeds a record from a store in small pieces, as a database would.

A `Need` is answered with at least what it asks for. What the record has changed in memory is
newer than the store, so a booking or grant that it already has is never loaded again.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from booking_credits.ledger import walk
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.charges import FIRST_RANK, LAST_RANK, Charge, LineKey
from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.facts import GRANT_FACTS, BookingRevised, BookingStarted, Fact
from booking_credits.ledger.grants import OPEN_END, ids_of
from booking_credits.ledger.needs import (
    DueBy,
    Everything,
    FactsOf,
    GrantsEndingAfter,
    LinesFrom,
    LinesWithin,
    Need,
    NotLoaded,
    OpenLinesBefore,
    TakersBelow,
    WantingAbove,
)
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.postings import PostedAround, Postings
from booking_credits.ledger.settlement import settle
from booking_credits.ledger.subjects import ACCOUNT_SUBJECT

MOST_LOADS = 10_000  # Far more than any history of a test needs.


@contextmanager
def widening_after(grants: int) -> Iterator[None]:
    """Ask for all lines after a walk through so many grants, which usually are more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "MANY_GRANTS", grants)
        yield


class Loader:
    """Keeps a partial record of an account whose whole record is the store."""

    def __init__(self, store: AccountRecord, chunk: int) -> None:
        """Begin with what belongs to the account itself; load `chunk` charges at a time."""
        self.store = store
        self.chunk = chunk
        self.charges_loaded = 0
        self.asked: list[Need] = []
        self.record = AccountRecord(store.account_id, store.book, whole=False)
        self.record.numbers, self.record.present = store.numbers, store.present
        self.record.balances = dict(store.balances)
        self.record.monthly = store.monthly
        for subject in store.monthly:
            self.record.put_facts(subject, store.facts_of(subject))
        self.record.put_facts(ACCOUNT_SUBJECT, store.facts_of(ACCOUNT_SUBJECT))
        self.record.closed_through = store.closed_through
        short = [charge for charge in store.charges.values() if charge.short]
        self.record.reach.last_short = max((c.rank for c in short), default=FIRST_RANK)
        self.record.reach.short_through = max((c.line.starts_at for c in short), default=None)
        self._bookings: set[str] = set()

    def post(self, fact: Fact) -> Outcome | None:
        """Settle a fact that is news and put it on the partial record, loading what it needs."""
        self._preload(fact)
        if admit(self.record.facts_of(fact.subject), fact) != "accepted":
            return None
        for _ in range(MOST_LOADS):
            try:
                outcome = settle(self.record, fact)
            except NotLoaded as missing:
                for need in missing.needs:
                    self._load(need)
            else:
                self.record.accept(outcome)
                return outcome
        raise AssertionError("a fact needs more than there is")

    def _preload(self, fact: Fact) -> None:
        """Load the facts of the fact's subject, and the booking or the grants that it names."""
        if fact.subject not in self.record.facts:
            self.record.put_facts(fact.subject, self.store.facts_of(fact.subject))
        if isinstance(fact, BookingRevised | BookingStarted):
            self._load_booking(fact.booking_id)
        if isinstance(fact, GRANT_FACTS):
            self._load_grants(ids_of(fact))

    def _load(self, need: Need) -> None:
        loads: dict[type[Need], Callable[[Any], None]] = {
            TakersBelow: self._load_takers,
            WantingAbove: self._load_wanting,
            GrantsEndingAfter: self._load_ending_after,
            LinesWithin: self._load_lines,
            LinesFrom: self._load_lines_from,
            OpenLinesBefore: self._load_open_lines,
            PostedAround: self._load_postings,
            DueBy: self._load_due,
            FactsOf: self._load_facts,
            Everything: self._load_everything,
        }
        self.asked.append(need)
        loads[type(need)](need)

    def _load_facts(self, need: FactsOf) -> None:
        self.record.put_facts(need.subject, self.store.facts_of(need.subject))

    def _load_takers(self, need: TakersBelow) -> None:
        takers = [
            charge
            for charge in self._ranked()
            if need.above < charge.rank < need.place
            and any(take.grant_id == need.grant_id for take in charge.loose)
        ][-self.chunk :]
        self._load_bookings(takers)
        lowest = takers[0].rank if len(takers) == self.chunk else need.above
        self.record.reach.takers_from[need.grant_id] = lowest

    def _load_wanting(self, need: WantingAbove) -> None:
        wanting = [
            charge
            for charge in self._ranked()
            if charge.rank > need.place
            and need.grant.is_valid_at(charge.line.starts_at)
            and (charge.short or any(take.grant_id not in need.better_ids for take in charge.loose))
        ][: self.chunk]
        self._load_bookings(wanting)
        end = wanting[-1].rank if len(wanting) == self.chunk else LAST_RANK
        self.record.reach.add_wanting(need, end)

    def _load_ending_after(self, need: GrantsEndingAfter) -> None:
        ended: list[GrantRecord] = []
        for grant_id, record in self.store.grants.items():
            if record.grant.to_at is None or record.grant.to_at > need.instant:
                self._load_grants([grant_id])
            else:
                ended.append(record)
        last = max(ended, key=_end, default=None)
        if last is not None:
            self._load_grants([last.grant.grant_id])
        self.record.reach.grants_after = need.instant

    def _load_lines(self, need: LinesWithin) -> None:
        within = sorted(
            (
                charge
                for charge in self.store.charges.values()
                if need.place <= charge.line.starts_at < need.to_at
            ),
            key=lambda charge: charge.line.starts_at,
        )
        last = within[self.chunk - 1].line.starts_at if len(within) > self.chunk else need.to_at
        self._load_bookings([charge for charge in within if charge.line.starts_at <= last])
        low = last if last == need.to_at else last + timedelta(microseconds=1)
        self.record.reach.lines_up_to[need.from_at, need.to_at] = low

    def _load_lines_from(self, need: LinesFrom) -> None:
        charges = self.store.charges.values()
        self._load_bookings([c for c in charges if c.line.starts_at >= need.instant])
        self.record.reach.lines_from = need.instant

    def _load_open_lines(self, need: OpenLinesBefore) -> None:
        is_open = (c for c in self.store.charges.values() if c.closed is None)
        self._load_bookings([c for c in is_open if c.line.starts_at < need.instant])
        self.record.reach.open_before = need.instant

    def _load_postings(self, _need: PostedAround) -> None:
        """Load all that was posted, which is more than a statement asks for."""
        postings, stored = Postings(whole=True), self.store.postings
        known = self.record.postings
        postings.outcomes = [*stored.outcomes, *known.outcomes]
        postings.closed_fact = known.closed_fact or stored.closed_fact
        for booking_id, _ in self.store.closed:
            self._load_booking(booking_id)
        self._load_grants(self.store.grants)
        self.record.gone = self.store.gone | self.record.gone
        self.record.postings = postings

    def _load_due(self, need: DueBy) -> None:
        charges = self.store.charges.values()
        self._load_bookings([c for c in charges if c.due_at and c.due_at <= need.instant])
        for grant_id, record in self.store.grants.items():
            if record.buckets.available + record.buckets.removed and any(
                instant <= need.last_end for instant in record.grant.changes_at
            ):
                self._load_grants([grant_id])
        self.record.reach.due_through = need.instant

    def _load_everything(self, _need: Everything) -> None:
        self._load_bookings(list(self.store.charges.values()))
        for booking_id, _ in self.store.closed:
            self._load_booking(booking_id)
        self._load_grants(self.store.grants)
        for subject, facts in self.store.facts.items():
            if subject not in self.record.facts:
                self.record.put_facts(subject, facts)
        self.record.reach.whole = True

    def _ranked(self) -> list[Charge]:
        return sorted(self.store.charges.values(), key=lambda charge: charge.rank)

    def _load_bookings(self, charges: list[Charge]) -> None:
        for charge in charges:
            self._load_booking(charge.standing.booking_id)

    def _load_booking(self, booking_id: str) -> None:
        """Load a booking's lines, what is owed for them and the grants that they take from."""
        if booking_id in self._bookings:
            return
        self._bookings.add(booking_id)
        owing = {key for key in self.store.obligations if key[0] == booking_id}
        for key in owing:
            self.record.obligations[key] = self.store.obligations[key]
        closed = [c for k, c in self.store.closed.items() if k[0] == booking_id]
        self.record.put_closed(closed)
        for grant_id, takes in self.store.closed_takes.items():
            if of_booking := {k: take for k, take in takes.items() if k[0] == booking_id}:
                self.record.closed_takes.setdefault(grant_id, {}).update(of_booking)
                self._load_grants([grant_id])
        for key in self.store.lines.get(booking_id, ()):
            self._load_charge(key)

    def _load_charge(self, key: LineKey) -> None:
        charge = self.store.charges[key]
        self.charges_loaded += 1
        self.record.put_charge(key, charge)
        self._load_grants(take.grant_id for take in charge.coverage.takes)

    def _load_grants(self, grant_ids: Iterable[str]) -> None:
        known = self.record.grants.keys() | self.record.gone.keys()
        missing = [i for i in grant_ids if i in self.store.grants and i not in known]
        self.record.put_grants(self.store.grants[i] for i in missing)
        for grant_id in missing:
            takers = (charge.rank for charge in self.store.takers(grant_id))
            self.record.reach.last_taken[grant_id] = max(takers, default=FIRST_RANK)


def _end(record: GrantRecord) -> tuple[datetime, str]:
    return record.grant.to_at or OPEN_END, record.grant.grant_id
