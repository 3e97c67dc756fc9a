"""Closing: how posting fares while the periods of thousands of accounts close at one instant.

All accounts have the same month behind them. The mix is published as for the latency; after a
while every account's closing falls due at once, and each event's latency is held against those of
the events before it.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from bench import history, mix
from bench.latency import Latencies, drain, publish
from bench.measure import (
    FACTS,
    MeasurementError,
    Progress,
    Readback,
    open_readback,
    require_running,
    start_workers,
)
from bench.mix import Event
from bench.trial import Connection, Trial, connect
from booking_credits.app import reader_by
from booking_credits.clock.clock import Clock
from booking_credits.outbox.rendering import render
from booking_credits.policy_file import load_policies
from booking_credits.postgres.pool import open_pool
from booking_credits.posting.post import Poster

WARM_UP_SECONDS: Final = 3.0

# A month of the mix that is over: nothing but its closing is still to come.
_EVENTS_BEFORE: Final = mix.EVENTS_PER_ACCOUNT // 4
_LIVED_BEFORE: Final = timedelta(days=200)
_HEARD_OF_BEFORE: Final = timedelta(days=45)
_TIMEOUT_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.1

_POSTPONE: Final = "update closings set closes_at = $1"
_BEGAN: Final = "select min(recorded_at) from facts where type = 'period-closed'"


@dataclass
class Closed:
    """What was measured: latencies before the closing began and while it went on, by when sent."""

    accounts: int = 0
    seconds: float = 0.0
    usual: Latencies = field(default_factory=Latencies)
    meanwhile: Latencies = field(default_factory=Latencies)
    # Seconds after the first period was closed at which an event was sent, and its milliseconds.
    course: list[tuple[float, float]] = field(default_factory=list)

    @property
    def p99_ratio(self) -> float:
        return self.meanwhile.quantile_ms(0.99) / self.usual.quantile_ms(0.99)


async def make_accounts(source: str, target: str, count: int, progress: Progress) -> None:
    """Fill a database with accounts that have one more period to close, after models in another."""
    now = datetime.now(UTC)
    models = {mix.policy_of(n): f"closer-{mix.policy_of(n)}" for n in range(5)}
    for policy, account_id in models.items():
        four_months = mix.make_single(
            account_id, policy, mix.EVENTS_PER_ACCOUNT, now - _LIVED_BEFORE, seed=3
        )
        events = [mix.make_opening(account_id, policy), *four_months[:_EVENTS_BEFORE]]
        await history.post(source, events, now=now - _HEARD_OF_BEFORE)
    await _pass_time(source)
    await history.copy_models(source, target, models, mix.account_ids(count), progress)


async def _pass_time(dsn: str) -> None:
    """Post all that is due by now."""
    book = load_policies()
    pool = await open_pool(dsn, application_name="bench", max_size=1)
    poster = Poster(pool, book, read_fact=reader_by(book), render=render)
    clock = Clock(pool, poster, now=lambda: datetime.now(UTC), posted=lambda _: None)
    try:
        while await clock.post_due():
            pass
    finally:
        await pool.close()


@dataclass
class _Course:
    """What comes out, and when, in seconds of this machine's clock."""

    seen: dict[str, float] = field(default_factory=dict)
    statements: int = 0
    last_statement: float = 0.0

    async def read(self, readback: Readback, trial: Trial) -> None:
        changes, statements = (
            trial.output_topics[kind] for kind in ("balance-changed", "period-closed")
        )
        while True:
            records = await readback.read()
            now = time.perf_counter()
            for record in records:
                if record.topic == changes:
                    self.seen[json.loads(record.value)["cause"]["id"]] = now
                elif record.topic == statements:
                    self.statements += 1
                    self.last_statement = now


async def measure_closing(
    trial: Trial,
    events: Sequence[Event],
    per_second: float,
    usual_seconds: float,
    progress: Progress,
) -> Closed:
    """Publish events at a rate, and let every period close when that has gone on for a while.

    Raises:
        MeasurementError: a period was not closed in time, or nothing changed meanwhile.
    """
    sent: dict[str, float] = {}
    course = _Course()
    async with (
        connect(trial.dsn) as connection,
        open_readback(trial, "balance-changed", "period-closed") as readback,
        AsyncExitStack() as stack,
    ):
        accounts = int(await connection.fetchval("select count(*) from closings"))
        # Until it is known when they are to close.
        await connection.execute(_POSTPONE, datetime.now(UTC) + timedelta(days=1))
        workers = await start_workers(trial, connection, stack)
        before = await connection.fetchval(FACTS)
        wait = timedelta(seconds=WARM_UP_SECONDS + usual_seconds)
        await connection.execute(_POSTPONE, datetime.now(UTC) + wait)
        reading = asyncio.create_task(course.read(readback, trial))
        publishing = asyncio.create_task(publish(trial, events, per_second, sent, lambda *_: None))
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                while course.statements < accounts:
                    require_running(workers)
                    progress(course.statements, accounts)
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            logs = "; ".join(worker.log() for worker in workers)
            raise MeasurementError(f"closing took too long: {logs}") from None
        finally:
            publishing.cancel()
            await asyncio.wait([publishing])
        await drain(connection, before + len(sent) + accounts)
        reading.cancel()
        await asyncio.wait([reading])
        began = await _began(connection)
    return _divide(accounts, sent, course, began)


async def _began(connection: Connection) -> float:
    """Tell when the first period was closed, by the clock that times events."""
    at: datetime = await connection.fetchval(_BEGAN)
    return at.timestamp() - time.time() + time.perf_counter()


def _divide(accounts: int, sent: dict[str, float], course: _Course, began: float) -> Closed:
    """Tell the events that were under way while periods were closed from those before."""
    start, ended = min(sent.values()) + WARM_UP_SECONDS, course.last_statement
    took = [(at, course.seen[e]) for e, at in sent.items() if e in course.seen and at >= start]
    usual = sorted((seen - at) * 1000 for at, seen in took if seen < began)
    meanwhile = sorted((seen - at) * 1000 for at, seen in took if at < ended and seen >= began)
    if not usual or not meanwhile:
        raise MeasurementError("no balance changed before the closing, or none while it went on")
    points = [(at - began, (seen - at) * 1000) for at, seen in took]
    return Closed(accounts, ended - began, Latencies(usual), Latencies(meanwhile), points)
