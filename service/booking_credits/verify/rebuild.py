"""Rebuild: the facts on record posted again, in their order, into empty tables.

They are posted by the code that posted them first; what it makes of them is compared with what
is on record, table by table, byte for byte.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from booking_credits.inbox.reading import hash_of, read_fact
from booking_credits.ledger.answers import with_answer
from booking_credits.outbox.rendering import render
from booking_credits.postgres import audit
from booking_credits.postgres.audit import Violation
from booking_credits.posting.batch import CLOCK_SOURCE, Arrival, Batch
from booking_credits.posting.post import Poster

if TYPE_CHECKING:
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.audit import Accounts, StoredFact
    from booking_credits.postgres.pool import Connection, Pool
    from booking_credits.verify.progress import Progress

_PAGE_SIZE = 500


class Rebuild:
    """A rebuild within a transaction that the caller rolls back."""

    def __init__(
        self, pool: Pool, connection: Connection, book: PolicyBook, accounts: Accounts
    ) -> None:
        """Rebuild accounts by the policies of a book, over a connection of the pool."""
        self._accounts = accounts
        self._connection = connection
        self._read_fact = partial(read_fact, book=book)
        self._poster = Poster(pool, book, read_fact=self._read_fact, render=render)
        self._violations: list[Violation] = []

    async def run(self, progress: Progress, limit: int) -> list[Violation]:
        """Return what is on record and does not follow from the facts, or is missing."""
        connection, accounts = self._connection, self._accounts
        total, done = await audit.count_facts(connection, accounts), 0
        pages = audit.read_facts(connection, accounts, _PAGE_SIZE)
        page: list[StoredFact] = await anext(pages, [])
        on_record = await audit.enter_shadow(connection, accounts)
        while page:
            await self._post(page)
            done += len(page)
            progress("facts", done, total)
            page = await anext(pages, [])
        violations = self._violations[:limit]
        for done, table in enumerate(audit.REBUILT_TABLES, 1):
            violations += await audit.compare_table(connection, on_record, table, accounts, limit)
            progress("tables", done, len(audit.REBUILT_TABLES))
        return violations

    async def _post(self, page: list[StoredFact]) -> None:
        told = [arrival for fact in page if (arrival := self._arrival(fact)) is not None]
        posted = await self._poster.post_within(self._connection, Batch(tuple(told)))
        for letter in posted.dead_letters:
            detail = f"event {letter.event_id} of {letter.source}: {letter.reason}"
            self._violations.append(Violation("facts_can_be_posted", letter.account_id, detail))

    def _arrival(self, stored: StoredFact) -> Arrival | None:
        """Let a fact arrive once more; one that cannot be read stays away."""
        try:
            fact = self._read_fact(stored.type, stored.occurred_at, stored.payload)
        except Exception as error:  # noqa: BLE001 - whatever was done to it, the others go on
            self._violate("facts_can_be_read", stored, type(error).__name__)
            return None
        if stored.source != CLOCK_SOURCE:
            digest = hash_of(stored.type, stored.occurred_at, stored.payload)
            if digest != stored.payload_hash:
                self._violate("facts_keep_their_hash", stored, "says something else than its hash")
        return Arrival(
            stored.account_id,
            with_answer(fact, stored.answer),
            stored.type,
            stored.source,
            stored.event_id,
            stored.payload,
            stored.payload_hash,
            stored.recorded_at,
            is_answered=True,
        )

    def _violate(self, check: str, stored: StoredFact, detail: str) -> None:
        detail = f"fact {stored.fact_no}: {detail}"
        self._violations.append(Violation(check, stored.account_id, detail))
