"""Posting: one batch, one transaction.

Positions are moved first, so that a consumer which was replaced fails before it does anything.
Then events are told from their repetitions, accounts are locked in order, and each fact is
settled against the record, one after the other; what they change is written once, at the end.
A fact that cannot be settled, or whose rows the database refuses, becomes a dead letter alone:
how facts were cut into batches cannot be seen in the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeAlias

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import OverageDetected
from booking_credits.ledger.answers import answer_of
from booking_credits.ledger.calendars import timelines_by
from booking_credits.ledger.closing import payload_of
from booking_credits.ledger.facts import (
    BOOKING_FACTS,
    GRANT_FACTS,
    BookingRevised,
    CreditsGranted,
    Fact,
    PackPurchased,
    PeriodClosed,
    PlanRenewed,
)
from booking_credits.ledger.grants import ids_of
from booking_credits.ledger.needs import NotLoaded
from booking_credits.ledger.settlement import settle
from booking_credits.ledger.subjects import CLOCK_SUBJECT, CLOSING_SUBJECT
from booking_credits.postgres import registry
from booking_credits.postgres.closings import ClosingsToCome
from booking_credits.postgres.faults import RowsRefused, rows_refused
from booking_credits.postgres.kept_records import VALUES_KEPT, KeptRecords
from booking_credits.postgres.reader import PAGE_SIZE, LedgerReader
from booking_credits.postgres.writer import LedgerWriter
from booking_credits.posting.batch import Arrival, Batch, Fenced, Posted
from booking_credits.posting.dead_letters import dead_letter_row, letter_of
from booking_credits.posting.shards import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from booking_credits.ledger.entries import GrantRecord
    from booking_credits.ledger.needs import Need
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.pool import Connection, Pool
from booking_credits.postgres.reader import ReadFact

EventKey: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One part of an announcement, ready to be published."""

    sequence: int
    part: int
    type: str
    event_id: UUID
    payload: str


class Render(Protocol):
    """Turns what a fact announces into the events that are published."""

    def __call__(
        self, arrival: Arrival, outcome: Outcome, grants: Mapping[str, GrantRecord]
    ) -> Sequence[Rendered]:
        """Return the parts in order of sequence and part; `grants` are those before the outcome."""


class Poster:
    """Posts batches; what needs to know the wire comes in as `read_fact` and `render`.

    `batches` counts those that were begun in transactions of their own.
    """

    def __init__(  # noqa: PLR0913 - the usual values are its documentation
        self,
        pool: Pool,
        book: PolicyBook,
        *,
        read_fact: ReadFact,
        render: Render,
        page_size: int = PAGE_SIZE,
        values_kept: int = VALUES_KEPT,
    ) -> None:
        """Post through a pool, by the policies of a book.

        Charges are read by pages of a size, and what was read is kept as `KeptRecords` says.
        """
        self._pool = pool
        self._book = book
        self._read_fact = read_fact
        self._render = render
        self._page_size = page_size
        self._timelines = timelines_by(book)
        self._kept = KeptRecords(values_kept)
        self.batches = 0

    async def post(self, batch: Batch) -> Posted:
        """Post a batch in a transaction of its own.

        Raises:
            Fenced: another consumer owns a partition of the batch; nothing was posted.
        """
        self.batches += 1
        used: dict[str, AccountRecord] = {}
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                posted = await self._post(connection, batch, self._kept, used)
        except BaseException:
            # Nobody knows what is on record where the answer to a commit was lost.
            self._kept.clear()
            raise
        self._kept.keep(used.values())
        return posted

    async def post_within(self, connection: Connection, batch: Batch) -> Posted:
        """Post a batch as part of a transaction that the caller holds."""
        return await self._post(connection, batch, KeptRecords(0), {})

    async def _post(
        self,
        connection: Connection,
        batch: Batch,
        kept: KeptRecords,
        used: dict[str, AccountRecord],
    ) -> Posted:
        """Post a batch by what is kept of accounts, and note the records that were used."""
        advances = [
            (a.topic, a.partition, a.next_offset, a.fingerprint, a.owner, a.epoch, a.read_through)
            for a in batch.advances
        ]
        if not await registry.advance_positions(connection, advances):
            raise Fenced
        posted = Posted()
        await self._post_part(connection, batch.arrivals, posted, kept, used)
        letters = [*batch.dead_letters, *posted.dead_letters]
        posted.dead_letters = letters
        posted.outcomes.update((d.type or "unknown", d.reason) for d in letters)
        await registry.put_dead_letters(connection, [dead_letter_row(d) for d in letters])
        return posted

    async def _post_part(
        self,
        connection: Connection,
        arrivals: Sequence[Arrival],
        posted: Posted,
        kept: KeptRecords,
        used: dict[str, AccountRecord],
    ) -> None:
        """Post arrivals, or split them until what cannot be posted with its neighbours is alone."""
        if not arrivals:
            return
        try:
            async with rows_refused(), connection.transaction():
                reader = LedgerReader(
                    connection,
                    self._book,
                    self._read_fact,
                    page_size=self._page_size,
                    timelines=self._timelines,
                    kept=kept,
                )
                part = await _Part(connection, reader, self._render).post(arrivals)
        except (RowsRefused, _RepeatSetFree) as refused:
            if len(arrivals) == 1:
                posted.dead_letters.append(letter_of(arrivals[0], "rows_refused", str(refused)))
                return
            middle = len(arrivals) // 2
            await self._post_part(connection, arrivals[:middle], posted, kept, used)
            await self._post_part(connection, arrivals[middle:], posted, kept, used)
            return
        used.update(reader.records)
        posted.outcomes.update(part.outcomes)
        posted.entries += part.entries
        posted.announcements += part.announcements
        posted.dead_letters.extend(part.dead_letters)
        posted.shards |= part.shards
        posted.overages.update(part.overages)
        posted.rows_read += part.rows_read


class _RepeatSetFree(Exception):
    """An event was set aside whose id comes again in the same part, where it is now free."""


class _Part:
    """Arrivals that are posted together, inside a transaction."""

    def __init__(self, connection: Connection, reader: LedgerReader, render: Render) -> None:
        self._connection = connection
        self._render = render
        self._reader = reader
        self._writer = LedgerWriter()
        self._closings = ClosingsToCome()
        self._posted = Posted()
        self._forgotten: list[EventKey] = []
        self._repeated: set[EventKey] = set()
        self._new_bookings: set[str] = set()

    async def post(self, arrivals: Sequence[Arrival]) -> Posted:
        fresh = await self._own(await self._register(arrivals))
        by_account: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in fresh:
            by_account[arrival.account_id].append(arrival)
        if by_account:
            known = (a for a in fresh if _booking_named(a.fact) not in self._new_bookings)
            await open_records(self._reader, fresh, list(known))
            await self._settle_all(by_account)
            await self._writer.write(self._connection)
            await self._closings.write(self._connection)
        await registry.forget_events(self._connection, self._forgotten)
        self._posted.entries = len(self._writer.entries)
        self._posted.announcements = len(self._writer.announcements)
        self._posted.rows_read = self._reader.rows_read
        return self._posted

    async def _register(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Keep the arrivals whose event was never posted; the same id may come twice in a batch."""
        first: dict[EventKey, Arrival] = {}
        repeated: list[Arrival] = []
        for arrival in arrivals:
            key = (arrival.source, arrival.event_id)
            if first.setdefault(key, arrival) is not arrival:
                repeated.append(arrival)
                self._repeated.add(key)
        claims = [(*key, a.account_id, a.payload_hash) for key, a in first.items()]
        new, hashes = await registry.register_events(self._connection, claims)
        hashes.update((key, first[key].payload_hash) for key in new)
        fresh = []
        for key, arrival in first.items():
            if key in new:
                fresh.append(arrival)
            else:
                repeated.append(arrival)
        for arrival in repeated:
            same = hashes[arrival.source, arrival.event_id] == arrival.payload_hash
            self._repeat(arrival, same=same)
        return fresh

    def _repeat(self, arrival: Arrival, *, same: bool) -> None:
        if same:
            self._posted.outcomes[arrival.type, "duplicate"] += 1
        else:
            detail = "an event of this source and id was posted with other content"
            self._posted.dead_letters.append(letter_of(arrival, "event_conflict", detail))

    async def _own(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Keep the arrivals whose booking is their account's; a booking has one for life."""
        named: dict[str, str] = {}
        for arrival in arrivals:
            booking_id = _booking_named(arrival.fact)
            if booking_id is not None:
                named.setdefault(booking_id, arrival.account_id)
        owners, self._new_bookings = await registry.claim_bookings(
            self._connection, list(named.items())
        )
        kept = []
        for arrival in arrivals:
            booking_id = _booking_named(arrival.fact)
            if booking_id is None or owners[booking_id] == arrival.account_id:
                kept.append(arrival)
            else:
                self._refuse(arrival, "other_account", "the booking is another account's")
        return kept

    async def _settle_all(self, by_account: dict[str, list[Arrival]]) -> None:
        """Settle every account's arrivals in order; what several of them lack is read at once."""
        waiting = {account_id: iter(arrivals) for account_id, arrivals in by_account.items()}
        current: dict[str, Arrival] = {}
        while waiting:
            needs: list[tuple[AccountRecord, Need]] = []
            for account_id in list(waiting):
                record = self._reader.records[account_id]
                missing = self._settle_account(record, waiting[account_id], current)
                if missing is None:
                    del waiting[account_id]
                else:
                    needs.extend((record, need) for need in missing.needs)
            if needs:
                await self._reader.answer(needs)

    def _settle_account(
        self, record: AccountRecord, arrivals: Iterable[Arrival], current: dict[str, Arrival]
    ) -> NotLoaded | None:
        """Settle an account's arrivals until one asks for more, which is then kept as current."""
        held = current.pop(record.account_id, None)
        if held is not None:
            missing = self._settle(record, held)
            if missing is not None:
                current[record.account_id] = held
                return missing
        for arrival in arrivals:
            missing = self._settle(record, arrival)
            if missing is not None:
                current[record.account_id] = arrival
                return missing
        return None

    def _settle(self, record: AccountRecord, arrival: Arrival) -> NotLoaded | None:
        """Settle one arrival; whatever it breaks is its own and leaves no trace."""
        fact = arrival.fact
        admission = admit(record.facts_of(fact.subject), fact)
        if admission == "duplicate":
            self._posted.outcomes[arrival.type, "duplicate"] += 1
            return None
        if admission != "accepted":
            detail = f"{fact.subject} is on record with other content"
            self._refuse(arrival, admission, detail)
            return None
        try:
            outcome = settle(record, fact, is_answered=arrival.is_answered)
            rendered = self._render(arrival, outcome, record.grants)
        except NotLoaded as missing:
            # Its frames would hold what this batch read until the collector finds them.
            return missing.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - one fact's failure must not be its neighbours'
            self._refuse(arrival, "unpostable", type(error).__name__)
            return None
        self._keep(record, arrival, outcome, rendered)
        return None

    def _keep(
        self,
        record: AccountRecord,
        arrival: Arrival,
        outcome: Outcome,
        rendered: Sequence[Rendered],
    ) -> None:
        writer, account_id, fact_no = self._writer, record.account_id, outcome.numbers.fact
        writer.note(record, outcome)
        self._closings.note(account_id, outcome, arrival.recorded_at)
        writer.facts.append(
            (
                account_id,
                fact_no,
                outcome.fact.subject,
                arrival.type,
                arrival.source,
                arrival.event_id,
                outcome.fact.occurred_at,
                arrival.recorded_at,
                _payload(arrival, outcome.fact),
                arrival.payload_hash,
                answer_of(outcome.fact),
            )
        )
        shard = shard_of(account_id)
        for part in rendered:
            place = (account_id, part.sequence, part.part)
            writer.announcements.append(
                (
                    *place,
                    part.type,
                    part.event_id,
                    fact_no,
                    arrival.recorded_at,
                    part.payload,
                )
            )
            writer.outbox.append((shard, *place, arrival.traceparent))
        if rendered:
            self._posted.shards.add(shard)
        self._posted.outcomes[arrival.type, "posted"] += 1
        for currency_and_sign, minor in _overages(outcome):
            self._posted.overages[currency_and_sign] += minor
        record.accept(outcome)

    def _refuse(self, arrival: Arrival, reason: str, detail: str) -> None:
        """Set an arrival aside; its event id is free again for a replay.

        Raises:
            _RepeatSetFree: the replay has been taken for a repetition.
        """
        key = (arrival.source, arrival.event_id)
        if key in self._repeated:
            raise _RepeatSetFree
        self._forgotten.append(key)
        self._posted.dead_letters.append(letter_of(arrival, reason, detail))


def _payload(arrival: Arrival, fact: Fact) -> str:
    """Return what a fact says; a closing that has listed its lines says these, too."""
    if fact is not arrival.fact and isinstance(fact, PeriodClosed):
        return payload_of(fact)
    return arrival.payload


async def open_records(
    reader: LedgerReader, arrivals: Sequence[Arrival], known: Sequence[Arrival] | None = None
) -> None:
    """Read what is on record of the accounts of arrivals, as far as these name it.

    Of what others name than those that may be `known` nothing is on record.
    """
    known = arrivals if known is None else known
    await reader.open(
        sorted({arrival.account_id for arrival in arrivals}),
        {
            (a.account_id, a.fact.subject)
            for a in known
            if a.fact.subject not in (CLOCK_SUBJECT, CLOSING_SUBJECT)
        },
        _bookings(known),
        _grants(known),
        _starts(arrivals),
    )


def _booking_named(fact: Fact) -> str | None:
    return fact.booking_id if isinstance(fact, BOOKING_FACTS) else None


def _bookings(arrivals: Iterable[Arrival]) -> set[tuple[str, str]]:
    return {(a.account_id, booking_id) for a in arrivals for booking_id in _bookings_of(a.fact)}


def _bookings_of(fact: Fact) -> Iterable[str]:
    """Name the bookings of a fact, for a closing that is told again those of its lines."""
    if isinstance(fact, PeriodClosed):
        return {closed.booking_id for closed in fact.lines or ()}
    return [fact.booking_id] if isinstance(fact, BOOKING_FACTS) else []


def _grants(arrivals: Iterable[Arrival]) -> set[tuple[str, str]]:
    return {(a.account_id, grant_id) for a in arrivals for grant_id in _grants_of(a.fact)}


def _grants_of(fact: Fact) -> Iterable[str]:
    """Name the grants of a fact, for a closing that is told again those that its lines keep."""
    if isinstance(fact, PeriodClosed):
        return {take.grant_id for closed in fact.lines or () for take in closed.takes}
    return ids_of(fact) if isinstance(fact, GRANT_FACTS) else ()


def _starts(arrivals: Iterable[Arrival]) -> dict[str, datetime]:
    """Find the earliest service start that arrivals may concern in each account."""
    starts: dict[str, datetime] = {}
    for arrival in arrivals:
        for start in _starts_of(arrival.fact):
            known = starts.get(arrival.account_id, start)
            starts[arrival.account_id] = min(known, start)
    return starts


def _starts_of(fact: Fact) -> list[datetime]:
    """List service starts that a fact names, or from which a grant may pay, in any zone."""
    if isinstance(fact, BookingRevised):
        return [line.starts_at for line in fact.lines]
    if isinstance(fact, CreditsGranted):
        return [fact.valid_from or fact.occurred_at]
    if isinstance(fact, PackPurchased):
        return [fact.occurred_at]
    if isinstance(fact, PlanRenewed):
        day = fact.period_start - timedelta(days=1)
        return [datetime(day.year, day.month, day.day, tzinfo=UTC)]
    return []


def _overages(outcome: Outcome) -> Iterator[tuple[tuple[str, bool], int]]:
    """Yield how an outcome changes what is owed, as `Posted` sums it up."""
    for announcement in outcome.announcements:
        content = announcement.content
        if isinstance(content, OverageDetected) and content.obligation.key.currency is not None:
            change = content.change_minor
            yield (content.obligation.key.currency, change > 0), abs(change)
