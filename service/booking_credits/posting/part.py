"""Part: arrivals that are posted together, in one transaction.

Events are told from their repetitions, bookings from those of other accounts; then accounts are
locked in order, and each fact is settled against the record, one after the other. What they change
is written once, at the end, but for what is only appended: that is written as it comes together.
"""

from __future__ import annotations

from collections import defaultdict, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import OverageDetected
from booking_credits.ledger.answers import answer_of
from booking_credits.ledger.closing import payload_of
from booking_credits.ledger.facts import BOOKING_FACTS, Fact, PeriodClosed
from booking_credits.ledger.needs import NotLoaded
from booking_credits.ledger.settlement import settle
from booking_credits.postgres import registry
from booking_credits.postgres.closings import ClosingsToCome
from booking_credits.postgres.writer import LedgerWriter
from booking_credits.posting.appending import Appending
from booking_credits.posting.batch import Arrival, Posted
from booking_credits.posting.dead_letters import letter_of
from booking_credits.posting.opening import open_records
from booking_credits.posting.shards import shard_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.needs import Need
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.postgres.pool import Connection
    from booking_credits.postgres.reader import LedgerReader
    from booking_credits.posting.post import Render, Rendered

EventKey: TypeAlias = tuple[str, str]

# What code that is wrong raises, and what neither a server nor the way to it does.
_MISTAKES: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)

# Settling and rendering are each quicker where the processor does one of them for a while.
_ANNOUNCEMENTS_AT_ONCE: Final = 150


class RepeatSetFree(Exception):
    """An event was set aside whose id comes again in the same part, where it is now free."""


class Unpostable(Exception):
    """The service makes a mistake over an arrival of the part; names the error and no value."""


@contextmanager
def unpostable() -> Iterator[None]:
    """Turn errors of the service itself into `Unpostable`: trying again cannot help."""
    try:
        yield
    except _MISTAKES as error:
        raise Unpostable(type(error).__name__) from None


class Part:
    """Arrivals that are posted together, inside a transaction."""

    def __init__(self, connection: Connection, reader: LedgerReader, render: Render) -> None:
        self._connection = connection
        self._render = render
        self._reader = reader
        self._writer = LedgerWriter()
        self._appending = Appending(self._writer, connection)
        self._closings = ClosingsToCome()
        self._settled: list[tuple[AccountRecord, Arrival, Outcome]] = []
        self._to_render = 0
        self._posted = Posted()
        self._forgotten: list[EventKey] = []
        self._repeated: set[EventKey] = set()
        self._new_bookings: set[str] = set()

    async def post(self, arrivals: Sequence[Arrival]) -> Posted:
        fresh = await self._own(await self._register(arrivals))
        by_account: dict[str, deque[Arrival]] = defaultdict(deque)
        for arrival in fresh:
            by_account[arrival.account_id].append(arrival)
        if by_account:
            known = (a for a in fresh if _booking_named(a.fact) not in self._new_bookings)
            await open_records(self._reader, fresh, list(known))
            async with self._appending:
                await self._settle_all(by_account)
                self._render_settled()
            await self._writer.write(self._connection)
            await self._closings.write(self._connection)
        await registry.forget_events(self._connection, self._forgotten)
        self._posted.entries = self._writer.entries
        self._posted.announcements = self._writer.announced
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

    async def _settle_all(self, by_account: dict[str, deque[Arrival]]) -> None:
        """Settle every account's arrivals in order; what several of them lack is read at once."""
        waiting = list(by_account)
        while waiting:
            lacking: list[str] = []
            needs: list[tuple[AccountRecord, Need]] = []
            for account_id in waiting:
                record = self._reader.records[account_id]
                missing = await self._settle_account(record, by_account[account_id])
                if missing is not None:
                    lacking.append(account_id)
                    needs.extend((record, need) for need in missing.needs)
            await self._appending.finish()
            if needs:
                await self._reader.answer(needs)
            waiting = lacking

    async def _settle_account(
        self, record: AccountRecord, arrivals: deque[Arrival]
    ) -> NotLoaded | None:
        """Settle an account's arrivals until one asks for more, which then comes first."""
        while arrivals:
            missing = self._settle(record, arrivals[0])
            if missing is not None:
                return missing
            arrivals.popleft()
            await self._take_turns()
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
        except NotLoaded as missing:
            # Its frames would hold what this batch read until the collector finds them.
            return missing.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - one fact's failure must not be its neighbours'
            self._refuse(arrival, "unpostable", type(error).__name__)
            return None
        if outcome.gone:
            # What was settled before may name grants that are on record no more after this.
            self._render_settled()
        self._writer.note(record, outcome)
        self._closings.note(record.account_id, outcome, arrival.recorded_at)
        record.accept(outcome)
        self._settled.append((record, arrival, outcome))
        self._to_render += len(outcome.announcements)
        return None

    async def _take_turns(self) -> None:
        if self._to_render >= _ANNOUNCEMENTS_AT_ONCE:
            self._render_settled()
        await self._appending.take_turns()

    def _render_settled(self) -> None:
        """Render what was settled since the last time.

        Raises:
            Unpostable: something cannot be rendered, and later facts may be settled upon it.
        """
        settled, self._settled, self._to_render = self._settled, [], 0
        for record, arrival, outcome in settled:
            try:
                rendered = self._render(arrival, outcome, record.grants)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is one fact's failure
                raise Unpostable(type(error).__name__) from None
            self._keep(arrival, outcome, rendered)

    def _keep(self, arrival: Arrival, outcome: Outcome, rendered: Sequence[Rendered]) -> None:
        """Keep the rows of a fact and of what it announces."""
        writer, account_id, fact_no = self._writer, arrival.account_id, outcome.numbers.fact
        fact, recorded_at = outcome.fact, arrival.recorded_at
        writer.facts.append(
            (
                account_id,
                fact_no,
                fact.subject,
                arrival.type,
                arrival.source,
                arrival.event_id,
                fact.occurred_at,
                recorded_at,
                _payload(arrival, fact),
                arrival.payload_hash,
                answer_of(fact),
            )
        )
        self._posted.outcomes[arrival.type, "posted"] += 1
        if not rendered:
            return
        shard = shard_of(account_id)
        self._posted.shards.add(shard)
        for made in rendered:
            sequence, part = made.sequence, made.part
            writer.announcements.append(
                (
                    account_id,
                    sequence,
                    part,
                    made.type,
                    made.event_id,
                    fact_no,
                    recorded_at,
                    made.payload,
                )
            )
            writer.outbox.append((shard, account_id, sequence, part, arrival.traceparent))
        for currency_and_sign, minor in _overages(outcome):
            self._posted.overages[currency_and_sign] += minor

    def _refuse(self, arrival: Arrival, reason: str, detail: str) -> None:
        """Set an arrival aside; its event id is free again for a replay.

        Raises:
            RepeatSetFree: the replay has been taken for a repetition.
        """
        key = (arrival.source, arrival.event_id)
        if key in self._repeated:
            raise RepeatSetFree
        self._forgotten.append(key)
        self._posted.dead_letters.append(letter_of(arrival, reason, detail))


def _payload(arrival: Arrival, fact: Fact) -> str:
    """Return what a fact says; a closing that has listed its lines says these, too."""
    if fact is not arrival.fact and isinstance(fact, PeriodClosed):
        return payload_of(fact)
    return arrival.payload


def _booking_named(fact: Fact) -> str | None:
    return fact.booking_id if isinstance(fact, BOOKING_FACTS) else None


def _overages(outcome: Outcome) -> Iterator[tuple[tuple[str, bool], int]]:
    """Yield how an outcome changes what is owed, as `Posted` sums it up."""
    for announcement in outcome.announcements:
        content = announcement.content
        if isinstance(content, OverageDetected) and content.obligation.key.currency is not None:
            change = content.change_minor
            yield (content.obligation.key.currency, change > 0), abs(change)
