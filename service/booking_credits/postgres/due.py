"""The directory of what is due: instants at which time changes something in an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from booking_credits.postgres.pool import Connection

_SQL = load_queries("due.sql")


async def due_by(
    connection: Connection, instant: datetime, limit: int
) -> list[tuple[datetime, str]]:
    """Return the first instants that are due, with their accounts, in order.

    One clock at a time gets an answer; the others are told that nothing is due.
    """
    rows = await connection.fetch(_SQL["due_by"], instant, limit)
    return [(row["due_at"], row["account_id"]) for row in rows]


async def forget_due(connection: Connection, rows: Sequence[tuple[datetime, str]]) -> None:
    """Strike out instants that were posted; the caller holds the accounts' locks."""
    instants, accounts = [row[0] for row in rows], [row[1] for row in rows]
    await connection.execute(_SQL["forget_due"], instants, accounts)
