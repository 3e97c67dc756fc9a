"""Session: one look at the ledger, and what is read of an account by it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from booking_credits.enquiries.sources import Told
from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.needs import NotLoaded
from booking_credits.ledger.subjects import booking_subject
from booking_credits.postgres import enquiries
from booking_credits.postgres.positions import complete_through
from booking_credits.postgres.reader import LedgerReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import TypeVar

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.facts import Fact
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.pool import Connection

    Result = TypeVar("Result")


class NotFound(Exception):
    """What was asked about is not on record; the message says what."""


@dataclass(frozen=True, slots=True)
class Session:
    """One look at the ledger: everything that is read by it is of the same instant.

    `topics` are those that are read, `now` is the wall clock's time.
    """

    connection: Connection
    book: PolicyBook
    topics: Sequence[str]
    now: datetime

    async def complete_through(self) -> datetime | None:
        """Say through which instant the inputs were read."""
        return await complete_through(self.connection, self.topics)

    async def accounts(self, account_ids: Sequence[str]) -> dict[str, AccountRecord]:
        """Read the terms and balances of accounts that are on record."""
        reader = LedgerReader(self.connection, self.book, self._read_fact, locks=False)
        return await reader.open(account_ids, [], [], [], {})

    async def reader(self, account_id: str) -> LedgerReader:
        """Make a reader that only looks.

        Raises:
            NotFound: nothing is on record of the account.
        """
        if not await enquiries.account_exists(self.connection, account_id):
            raise NotFound(f"no such account: {account_id}")
        return LedgerReader(self.connection, self.book, self._read_fact, locks=False)

    async def account(
        self, account_id: str, booking_ids: Iterable[str] = (), grant_ids: Iterable[str] = ()
    ) -> Looking:
        """Read an account as far as some bookings and grants name it."""
        reader = await self.reader(account_id)
        bookings = [(account_id, booking_id) for booking_id in booking_ids]
        subjects = [(account_id, booking_subject(booking_id)) for _, booking_id in bookings]
        grants = [(account_id, grant_id) for grant_id in grant_ids]
        await reader.open([account_id], subjects, bookings, grants, {})
        return Looking(reader, reader.records[account_id])

    async def told(
        self, account_id: str, subjects: Iterable[str], fact_nos: Iterable[int] = ()
    ) -> list[Told]:
        """Read what was told about subjects, and other facts by number."""
        rows = await enquiries.facts_told(self.connection, account_id, subjects, fact_nos)
        return [told_from(row) for row in rows]

    def _read_fact(self, event_type: str, occurred_at: datetime, payload: str) -> Fact:
        return read_fact(event_type, occurred_at, payload, self.book)


def told_from(row: Mapping[str, Any]) -> Told:
    """Read a fact with the event that told it."""
    return Told(
        row["fact_no"],
        row["subject"],
        row["type"],
        row["source"],
        row["event_id"],
        row["occurred_at"],
        row["recorded_at"],
        json.loads(row["payload"]),
        row["answer"],
    )


@dataclass(frozen=True, slots=True)
class Looking:
    """A record that is loaded as far as it is asked."""

    reader: LedgerReader
    record: AccountRecord

    async def ask(self, question: Callable[[AccountRecord], Result]) -> Result:
        """Ask the record, and load what it lacks until it can answer."""
        while True:
            try:
                return question(self.record)
            except NotLoaded as missing:
                needs = [(self.record, need) for need in missing.needs]
            await self.reader.answer(needs)
