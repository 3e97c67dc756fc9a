"""Counts: how much the ledger holds, and whether anything is still on its way into or out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from booking_credits.postgres.pool import Connection

RecordPlace: TypeAlias = tuple[str, int, int]

_SQL = load_queries("counts.sql")


@dataclass(frozen=True, slots=True)
class Counts:
    """Events that were posted, entries, and obligations to pay what credits did not cover."""

    events: int
    entries: int
    overages: int


async def count_ledger(connection: Connection) -> Counts:
    """Count what the ledger holds."""
    row = await connection.fetchrow(_SQL["count_ledger"])
    return Counts(**dict(row or {}))


async def is_quiet(connection: Connection, now: datetime, records: Sequence[RecordPlace]) -> bool:
    """Say whether records were posted, all that is due by now too, and everything published.

    A record is named by topic, partition and offset.
    """
    return bool(await connection.fetchval(_SQL["is_quiet"], now, *_columns(records)))


async def dead_letters_of(
    connection: Connection, records: Sequence[RecordPlace]
) -> list[tuple[str, str]]:
    """Return reason and detail of those records that became dead letters, in their order."""
    rows = await connection.fetch(_SQL["dead_letters_of"], *_columns(records))
    return [(row["reason"], row["detail"]) for row in rows]


def _columns(records: Sequence[RecordPlace]) -> list[list[str | int]]:
    return [[record[place] for record in records] for place in range(3)]
