"""Profiling: where posting spends its time, without Kafka around it.

The mix is posted twice, each time into a database of its own: with every query timed, to see how
the time divides into reading, deciding and the database, and under the profiler.
"""

import cProfile
import gc
import io
import pstats
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from rich.console import Console
from rich.table import Table

from bench import history, mix
from bench.mix import Event
from bench.trial import Servers
from booking_credits.app import reader_by, spare_the_collector
from booking_credits.inbox.reading import read_record
from booking_credits.outbox.rendering import render
from booking_credits.policy_file import load_policies
from booking_credits.postgres.migrate import migrate
from booking_credits.postgres.pool import Connection, open_pool
from booking_credits.postgres.sql import load_queries
from booking_credits.posting.batch import Arrival, Batch, Origin
from booking_credits.posting.post import Poster

_BATCH: Final = 1000
_FILES: Final = ("ledger.sql", "due.sql", "positions.sql")
_LONGEST: Final = 45


@dataclass
class Spent:
    """Seconds and calls by what they were spent on."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1

    def note_collection(self, phase: str, _about: dict[str, int]) -> None:
        """Count what the garbage collector takes, as one of its callbacks."""
        sign = -1 if phase == "start" else 1
        self.seconds["collecting"] += sign * time.perf_counter()


class TimedConnection:
    """A connection whose every query is timed, under its name in the .sql files."""

    def __init__(self, connection: Any, spent: Spent) -> None:
        """Time what a connection does."""
        self._connection = connection
        self._spent = spent
        self._names = {sql: name for file in _FILES for name, sql in load_queries(file).items()}

    def transaction(self) -> Any:
        return self._connection.transaction()

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        with self._spent.on(self._names.get(sql, sql[:40])):
            return await self._connection.fetch(sql, *arguments)

    async def execute(self, sql: str, *arguments: Any) -> Any:
        with self._spent.on(self._names.get(sql, sql[:40])):
            return await self._connection.execute(sql, *arguments)

    async def copy_records_to_table(self, table: str, **arguments: Any) -> Any:
        with self._spent.on(f"copy {table}"):
            return await self._connection.copy_records_to_table(table, **arguments)


async def profile_posting(servers: Servers, count: int, screen: Console) -> None:
    """Post a mix and print where the time goes."""
    events = mix.make_mix(count)
    name = f"bench_{uuid.uuid4().hex[:8]}"
    origins = [_origin(event) for event in events]
    try:
        dsn = await servers.create_database(f"{name}_open")
        await migrate(dsn)
        ids = mix.account_ids(len({event.account_id for event in events}))
        await history.post(dsn, mix.make_openings(ids))
        for number, show in enumerate((_show_queries, _show_functions)):
            copy = f"{name}_{number}"
            dsn = await servers.create_database(copy, f"{name}_open")
            await servers.settle()
            await show(dsn, origins, screen)
            await servers.drop_database(copy)
    finally:
        await servers.drop_database(f"{name}_open")


async def _show_queries(dsn: str, origins: Sequence[Origin], screen: Console) -> None:
    spent = Spent()
    spare_the_collector()
    gc.callbacks.append(spent.note_collection)
    start, computed = time.perf_counter(), time.process_time()
    await _post(dsn, origins, spent)
    total, computed = time.perf_counter() - start, time.process_time() - computed
    gc.callbacks.remove(spent.note_collection)
    collecting = spent.seconds.pop("collecting", 0.0)
    commits, reading = spent.seconds.pop("commit"), spent.seconds.pop("read_record")
    queries = sum(spent.seconds.values())
    table = Table("spent on", "calls", "seconds", "us/event", "%")
    rows = {"read_record": reading, "commit": commits, "all queries": queries}
    rows["collecting garbage, within the others"] = collecting
    rows["the rest: settling, rendering, rows"] = total - reading - commits - queries
    for name, seconds in (
        *rows.items(),
        *sorted(spent.seconds.items(), key=lambda item: -item[1]),
    ):
        each = f"{seconds / len(origins) * 1e6:.1f}"
        table.add_row(
            name, str(spent.calls[name]), f"{seconds:.3f}", each, f"{seconds / total:.1%}"
        )
    screen.print(table)
    screen.print(
        f"{len(origins):,} events in {total:.2f} s, of which {computed:.2f} s on this processor:"
        f" {len(origins) / total:,.0f} a second"
    )


async def _show_functions(dsn: str, origins: Sequence[Origin], screen: Console) -> None:
    # Under the profiler a collection would be charged to whichever function it interrupts.
    gc.disable()
    profiler = cProfile.Profile()
    profiler.enable()
    await _post(dsn, origins, Spent())
    profiler.disable()
    gc.enable()
    for order in ("tottime", "cumulative"):
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).strip_dirs().sort_stats(order).print_stats(_LONGEST)
        screen.print(text.getvalue(), markup=False, highlight=False)
    screen.print(_generated(profiler))


def _generated(profiler: cProfile.Profile) -> str:
    """Sum up the methods that dataclasses were given: by name they are all one, and shown as it."""
    found = [e for e in profiler.getstats() if getattr(e.code, "co_filename", "") == "<string>"]
    calls, seconds = sum(e.callcount for e in found), sum(e.inlinetime for e in found)
    return f"methods that dataclasses generate: {calls:,} calls, {seconds:.2f} seconds"


async def _post(dsn: str, origins: Sequence[Origin], spent: Spent) -> None:
    """Post records batch by batch, as the worker does but for their positions."""
    book = load_policies()
    pool = await open_pool(dsn, application_name="bench", max_size=1, by_index=True)
    poster = Poster(pool, book, read_fact=reader_by(book), render=render)
    async with pool.acquire() as connection:
        for first in range(0, len(origins), _BATCH):
            now = datetime.now(UTC)
            with spent.on("read_record"):
                read = [read_record(o, book, now) for o in origins[first : first + _BATCH]]
            batch = Batch(tuple(a for a in read if isinstance(a, Arrival)))
            transaction = connection.transaction()
            await transaction.start()
            posted = await poster.post_within(
                cast("Connection", TimedConnection(connection, spent)), batch
            )
            assert posted.dead_letters == []
            with spent.on("commit"):
                await transaction.commit()
    await pool.close()


def _origin(event: Event) -> Origin:
    headers = tuple(event.headers)
    return Origin("bench", 0, 0, event.occurred_at, event.key, event.value, headers)
