"""Ceiling: the rows that a finished measurement left, written again with nothing decided.

Facts, entries, announcements, outbox and balances, in the batches in which they were posted, over
as many connections as there were workers, are the least that any service writes that keeps the same
record. They are measured twice: by the stopwatch of all other measurements, until the service's own
relays have published them and the last came back, and alone, with the machine to themselves.
"""

import asyncio
import time
from asyncio import gather
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, Final, TypeAlias

from bench.measure import Progress, open_readback, require_running, running
from bench.preload import PARTITIONS, partition_of
from bench.trial import Connection, Trial, connect
from booking_credits.postgres.sql import load_queries
from booking_credits.posting.shards import SHARDS, shard_of

Row: TypeAlias = tuple[Any, ...]

RELAY: Final = ("booking-credits", "relay")

_TIMEOUT_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.01

_SQL: Final = load_queries("ledger.sql")
_FACTS: Final = "select * from facts where fact_no > 1 order by recorded_at, account_id, fact_no"
_CAUSED: Final = (
    "select t.*, f.recorded_at as posted_at from {table} as t"
    " join facts as f using (account_id, fact_no)"
    " where f.fact_no > 1 order by f.recorded_at, t.account_id, t.{number}"
)
_BALANCES: Final = "select * from balances order by account_id, unit"
_LED: Final = "select count(*) from pg_locks where locktype = 'advisory' and granted"
_OUTBOX: Final = ("shard", "account_id", "sequence", "part")


@dataclass(slots=True)
class Batch:
    """The rows of one transaction."""

    facts: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    announcements: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    accounts: set[str] = field(default_factory=set)
    balances: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Precomputed:
    """The batches of each worker of a measurement, and the columns of their rows."""

    shares: list[list[Batch]]
    columns: dict[str, list[str]]

    def count(self, rows: str) -> int:
        """Count the rows of a kind, named as in a batch."""
        return sum(len(getattr(batch, rows)) for share in self.shares for batch in share)


async def precompute(trial: Trial, workers: int) -> Precomputed:
    """Read what workers left in a database, but for the first fact of each account."""
    columns: dict[str, list[str]] = {}
    by_account: dict[str, list[Row]] = defaultdict(list)
    shares: list[dict[datetime, Batch]] = [defaultdict(Batch) for _ in range(workers)]
    async with connect(trial.dsn) as connection:

        def batch_of(account_id: str, at: datetime) -> Batch:
            """Find what a worker posted at a time; a worker has a range of partitions."""
            return shares[partition_of(account_id) * workers // PARTITIONS][at]

        facts = await connection.fetch(_FACTS)
        columns["facts"] = list(facts[0].keys())
        for fact in facts:
            batch = batch_of(fact["account_id"], fact["recorded_at"])
            batch.facts.append(tuple(fact))
            batch.accounts.add(fact["account_id"])
        for at, row in await _caused(connection, "entries", "entry_no", columns):
            batch_of(row[0], at).entries.append(row)
        for at, row in await _caused(connection, "announcements", "sequence", columns):
            batch_of(row[0], at).announcements.append(row)
            batch_of(row[0], at).outbox.append((shard_of(row[0]), *row[:3]))
        for balance in await connection.fetch(_BALANCES):
            by_account[balance["account_id"]].append(tuple(balance))
    batches = [[share[at] for at in sorted(share)] for share in shares]
    for batch in chain.from_iterable(batches):
        batch.balances = [row for a in sorted(batch.accounts) for row in by_account[a]]
    return Precomputed(batches, columns)


async def measure_ceiling(trial: Trial, precomputed: Precomputed, progress: Progress) -> float:
    """Write batches where their accounts are open, have them published; events per second."""
    announced = precomputed.count("announcements")
    async with (
        connect(trial.dsn) as connection,
        open_readback(trial, *trial.output_topics) as readback,
        AsyncExitStack() as stack,
    ):
        commands = [trial.command(*RELAY) for _ in precomputed.shares]
        relays = [await stack.enter_async_context(running(trial, c)) for c in commands]
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            while await connection.fetchval(_LED) < SHARDS:
                require_running(relays)
                await asyncio.sleep(_POLL_SECONDS)
            start = time.perf_counter()
            writing = asyncio.create_task(_write_shares(trial.dsn, precomputed))
            while len(readback.ids) < announced:
                require_running(relays)
                if writing.done():
                    await writing
                await readback.read()
                progress(len(readback.ids), announced)
            seconds = time.perf_counter() - start
            await writing
    return precomputed.count("facts") / seconds


async def measure_rows(dsn: str, precomputed: Precomputed) -> float:
    """Write batches where their accounts are open, and nothing else; events per second."""
    start = time.perf_counter()
    await _write_shares(dsn, precomputed)
    return precomputed.count("facts") / (time.perf_counter() - start)


async def _write_shares(dsn: str, precomputed: Precomputed) -> None:
    async with AsyncExitStack() as stack:
        shares = [
            (await stack.enter_async_context(connect(dsn)), share) for share in precomputed.shares
        ]
        await gather(*(_write_share(*share, precomputed.columns) for share in shares))


async def _write_share(
    connection: Connection, share: Sequence[Batch], columns: dict[str, list[str]]
) -> None:
    for batch in share:
        async with connection.transaction():
            await _write(connection, batch, columns)


async def _write(connection: Connection, batch: Batch, columns: dict[str, list[str]]) -> None:
    for table in ("facts", "entries", "announcements"):
        rows: Sequence[Row] = getattr(batch, table)
        if rows:
            await connection.copy_records_to_table(table, records=rows, columns=columns[table])
    if batch.outbox:
        await connection.copy_records_to_table("outbox", records=batch.outbox, columns=_OUTBOX)
    if batch.balances:
        arrays = [list(column) for column in zip(*batch.balances, strict=True)]
        await connection.execute(_SQL["put_balances"], *arrays)


async def _caused(
    connection: Connection, table: str, number: str, columns: dict[str, list[str]]
) -> list[tuple[datetime, Row]]:
    """Read the rows that facts caused, each with when its fact was posted."""
    rows = await connection.fetch(_CAUSED.format(table=table, number=number))
    columns[table] = list(rows[0].keys())[:-1]
    return [(row["posted_at"], tuple(row)[:-1]) for row in rows]
