"""Audit: the rules that a ledger keeps, and a shadow in which it is rebuilt from its facts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from booking_credits.postgres.faults import RowsRefused, rows_refused
from booking_credits.postgres.migrate import create_tables
from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from booking_credits.ledger.facts import Answer
    from booking_credits.postgres.pool import Connection

_AUDIT = load_queries("audit.sql")
_REBUILD = load_queries("rebuild.sql")

# None: all.
Accounts: TypeAlias = "Sequence[str] | None"

RULES = tuple(_AUDIT)
REBUILT_TABLES = (
    "accounts",
    "facts",
    "entries",
    "grants",
    "charges",
    "takes",
    "closed_lines",
    "obligations",
    "balances",
    "announcements",
)


@dataclass(frozen=True, slots=True)
class Violation:
    """What breaks a rule: the rule's name, the account where it is known, and what is wrong."""

    check: str
    account_id: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class StoredFact:
    """A row of the facts, as it was told."""

    account_id: str
    fact_no: int
    type: str
    source: str
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    payload: str
    payload_hash: bytes
    answer: Answer | None


@asynccontextmanager
async def frozen_in_time(connection: Connection) -> AsyncIterator[None]:
    """See the database as it is now, and leave nothing behind of what is done to it."""
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def find_violations(connection: Connection, rule: str, limit: int) -> list[Violation]:
    """Return what breaks a rule; rows that cannot even be compared break it too."""
    try:
        async with rows_refused(), connection.transaction():
            rows = await connection.fetch(_AUDIT[rule], limit)
    except RowsRefused as refused:
        return [Violation(rule, None, f"cannot be checked: {refused}")]
    return [Violation(rule, row["account_id"], row["detail"]) for row in rows]


async def choose_accounts(connection: Connection, count: int) -> list[str]:
    """Choose so many accounts by chance."""
    return [row["account_id"] for row in await connection.fetch(_REBUILD["choose_accounts"], count)]


async def count_facts(connection: Connection, accounts: Accounts) -> int:
    """Count the facts on record of accounts."""
    return int(await connection.fetchval(_REBUILD["count_facts"], accounts))


async def read_facts(
    connection: Connection, accounts: Accounts, page_size: int
) -> AsyncIterator[list[StoredFact]]:
    """Read the facts on record page by page, in the order in which accounts recorded them.

    What is searched for tables when the first page is read is read to the end.
    """
    cursor = await connection.cursor(_REBUILD["facts_on_record"], accounts)
    while rows := await cursor.fetch(page_size):
        yield [StoredFact(**row) for row in rows]


async def enter_shadow(connection: Connection, accounts: Accounts) -> str:
    """Make empty tables and search for no others until the transaction ends.

    Returns the schema on record, with which to compare them.
    """
    on_record = str(await connection.fetchval(_REBUILD["schema_on_record"]))
    await connection.execute(_REBUILD["create_shadow"])
    await connection.execute(_REBUILD["enter_shadow"])
    await create_tables(connection)
    naming = await connection.fetchval(_REBUILD["name_accounts"], on_record)
    await connection.execute(naming, accounts)
    return on_record


async def compare_table(
    connection: Connection, on_record: str, table: str, accounts: Accounts, limit: int
) -> list[Violation]:
    """Return the first rows of a table that were rebuilt otherwise, with what differs in them."""
    await connection.execute(_REBUILD["plan_freely"])
    comparison = await connection.fetchval(_REBUILD["write_comparison"], on_record, table, limit)
    rows: list[Any] = await connection.fetch(comparison, accounts)
    return [Violation("rebuild", row["account_id"], f"{table} {_difference(row)}") for row in rows]


def _difference(row: Mapping[str, Any]) -> str:
    if row["is_missing"]:
        return f"{row['key']}: is missing"
    if row["is_extra"]:
        return f"{row['key']}: does not follow from the facts"
    return f"{row['key']}: {row['columns']} should read otherwise"
