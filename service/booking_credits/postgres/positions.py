"""Positions: how far each partition has been read, and by whom it may be read on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from booking_credits.postgres.pool import Connection, Pool

Partition: TypeAlias = tuple[str, int]

_SQL = load_queries("positions.sql")


@dataclass(frozen=True, slots=True)
class Held:
    """A partition's position, and the epoch in which its owner holds it.

    The fingerprint is of the record before `next_offset`; None where none was read yet.
    """

    next_offset: int
    fingerprint: bytes | None
    epoch: int


class Positions:
    """The positions of the consumer, kept where what it reads is kept."""

    def __init__(self, pool: Pool) -> None:
        """Keep positions in the database of a pool."""
        self._pool = pool

    async def take(self, partitions: Iterable[Partition], owner: UUID) -> dict[Partition, Held]:
        """Make partitions an owner's, from wherever each was read to."""
        ordered = sorted(partitions)
        if not ordered:
            return {}
        topics, numbers = zip(*ordered, strict=True)
        rows = await self._pool.fetch(_SQL["take_positions"], topics, numbers, owner)
        return {
            (row["topic"], row["partition"]): Held(
                row["next_offset"], row["fingerprint"], row["epoch"]
            )
            for row in rows
        }

    async def note_ends(self, ends: Iterable[tuple[str, int, int, datetime]], owner: UUID) -> None:
        """Note when the ends of partitions were seen: topic, partition, epoch and instant."""
        columns = zip(*sorted(ends), strict=True)
        await self._pool.execute(_SQL["note_ends"], *columns, owner)


async def complete_through(connection: Connection, topics: Sequence[str]) -> datetime | None:
    """Return the instant through which all of some topics was read, as far as Kafka's times say.

    None while one of their partitions has not been read at all.
    """
    through: datetime | None = await connection.fetchval(_SQL["complete_through"], topics)
    return through
