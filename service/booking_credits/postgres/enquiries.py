"""Enquiries: what people ask of the ledger, within a transaction that can change nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from booking_credits.postgres.pool import open_pool
from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import date, datetime

    from booking_credits.postgres.pool import Connection

Rows: TypeAlias = list[Any]

_SQL = load_queries("enquiries.sql")


@asynccontextmanager
async def looking(dsn: str) -> AsyncIterator[Connection]:
    """See a database as it is at one instant; whoever tries to change it fails."""
    pool = await open_pool(dsn, application_name="booking-credits enquiry", max_size=1)
    try:
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection
    finally:
        pool.terminate()


async def account_exists(connection: Connection, account_id: str) -> bool:
    """Say whether anything is on record of an account."""
    return bool(await connection.fetchval(_SQL["account_exists"], account_id))


async def facts_told(
    connection: Connection, account_id: str, subjects: Iterable[str], fact_nos: Iterable[int]
) -> Rows:
    """Read the facts of subjects, and others by number, in the order of their numbers."""
    return await connection.fetch(_SQL["facts_told"], account_id, list(subjects), list(fact_nos))


async def entries_of_booking(connection: Connection, account_id: str, booking_id: str) -> Rows:
    """Read the entries for the lines of a booking, in order."""
    return await connection.fetch(_SQL["entries_of_booking"], account_id, booking_id)


async def overages_of_booking(connection: Connection, account_id: str, booking_id: str) -> Rows:
    """Read every revision of what a booking owes, in the order in which they were announced."""
    return await connection.fetch(_SQL["overages_of_booking"], account_id, booking_id)


async def shortfalls_of_declined(
    connection: Connection, account_id: str, fact_nos: Iterable[int]
) -> Rows:
    """Read the lines for which revisions were declined, each as it would have been short."""
    return await connection.fetch(_SQL["shortfalls_of_declined"], account_id, list(fact_nos))


async def statement_of(connection: Connection, account_id: str, period: date | None) -> Rows:
    """Read the statement of a period, or the last one, if there is any."""
    return await connection.fetch(_SQL["statement_of"], account_id, period)


async def account_of_booking(connection: Connection, booking_id: str) -> str | None:
    """Say whose a booking is, if anyone named it yet."""
    owner: str | None = await connection.fetchval(_SQL["account_of_booking"], booking_id)
    return owner


async def log_of_account(
    connection: Connection,
    account_id: str,
    *,
    unit: str | None,
    grant_id: str | None,
    window: tuple[datetime | None, datetime | None],
) -> Rows:
    """Read entries in order, with their facts and what remained and was used after each."""
    return await connection.fetch(_SQL["log_of_account"], account_id, unit, grant_id, *window)


async def accounts_after(connection: Connection, account_id: str, limit: int) -> list[str]:
    """List the next accounts in order."""
    rows = await connection.fetch(_SQL["accounts_after"], account_id, limit)
    return [row["account_id"] for row in rows]


async def lines_of_accounts(
    connection: Connection,
    windows: Iterable[tuple[str, datetime | None, datetime | None]],
    location: str | None,
) -> Rows:
    """Read the lines of accounts that start within a window of each, with what is owed."""
    columns = [list(column) for column in zip(*windows, strict=True)]
    return await connection.fetch(_SQL["lines_of_accounts"], *columns, location)


async def issued_to_accounts(connection: Connection, account_ids: Iterable[str]) -> Rows:
    """Read for each grant of accounts its unit, from when it counts and what it has issued."""
    return await connection.fetch(_SQL["issued_to_accounts"], list(account_ids))
