"""Posting: one batch, one transaction.

Positions are moved first, so that a consumer which was replaced fails before it does anything.
A fact that cannot be settled, or whose rows the database refuses, becomes a dead letter alone:
how facts were cut into batches cannot be seen in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from booking_credits.ledger.calendars import timelines_by
from booking_credits.postgres import registry
from booking_credits.postgres.faults import RowsRefused, rows_refused
from booking_credits.postgres.kept_records import VALUES_KEPT, KeptRecords
from booking_credits.postgres.pages import PAGE_SIZE
from booking_credits.postgres.reader import LedgerReader
from booking_credits.posting.batch import Arrival, Batch, Fenced, Posted
from booking_credits.posting.dead_letters import dead_letter_row, letter_of
from booking_credits.posting.part import Part, RepeatSetFree, Unpostable, unpostable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.entries import GrantRecord
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.pool import Connection, Pool
    from booking_credits.postgres.reader import ReadFact


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
        """Return the parts in order of sequence and part.

        `grants` are those on record before the outcome, and perhaps after it, too.
        """


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
        async with self._pool.acquire() as connection, connection.transaction():
            posted = await self._post(connection, batch, self._kept, used)
        # What a failed posting used is kept no more: nobody knows what has become of it.
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
            part, records = await self._post_whole(connection, arrivals, kept)
        except (RowsRefused, RepeatSetFree, Unpostable) as refused:
            if len(arrivals) == 1:
                reason = "unpostable" if isinstance(refused, Unpostable) else "rows_refused"
                posted.dead_letters.append(letter_of(arrivals[0], reason, str(refused)))
                return
            middle = len(arrivals) // 2
            await self._post_part(connection, arrivals[:middle], posted, kept, used)
            await self._post_part(connection, arrivals[middle:], posted, kept, used)
            return
        used.update(records)
        posted.outcomes.update(part.outcomes)
        posted.entries += part.entries
        posted.announcements += part.announcements
        posted.dead_letters.extend(part.dead_letters)
        posted.shards |= part.shards
        posted.overages.update(part.overages)
        posted.rows_read += part.rows_read

    async def _post_whole(
        self, connection: Connection, arrivals: Sequence[Arrival], kept: KeptRecords
    ) -> tuple[Posted, dict[str, AccountRecord]]:
        """Post arrivals together or not at all; returns the records that were used, too."""
        with unpostable():
            async with rows_refused(), connection.transaction():
                reader = LedgerReader(
                    connection,
                    self._book,
                    self._read_fact,
                    page_size=self._page_size,
                    timelines=self._timelines,
                    kept=kept,
                )
                posted = await Part(connection, reader, self._render).post(arrivals)
        return posted, reader.records
