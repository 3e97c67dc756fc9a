"""Latency: from publishing an event to reading the balance-changed that it causes."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaProducer

from bench.measure import (
    FACTS,
    MeasurementError,
    Progress,
    Readback,
    open_readback,
    start_workers,
)
from bench.mix import Event
from bench.trial import Connection, Trial, connect

_LOOK_SECONDS: Final = 0.05
_TICK_SECONDS: Final = 0.005
# The first events find an unprepared service; they are published and not counted.
_WARM_UP_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 30.0
_QUEUED: Final = "select exists (select from outbox)"


@dataclass
class Latencies:
    """Milliseconds for each event that changed a balance, in order of size."""

    milliseconds: list[float] = field(default_factory=list)

    def quantile_ms(self, share: float) -> float:
        """Return the latency that a share of all events keeps within."""
        return self.milliseconds[min(len(self.milliseconds) - 1, int(share * len(self)))]

    def __len__(self) -> int:
        return len(self.milliseconds)


async def measure_latency(
    trial: Trial, events: Sequence[Event], per_second: float, progress: Progress
) -> Latencies:
    """Publish events one by one at a rate, and time what comes out.

    Raises:
        MeasurementError: something is missing in the end.
    """
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with (
        connect(trial.dsn) as connection,
        open_readback(trial, "balance-changed") as readback,
        AsyncExitStack() as stack,
    ):
        await start_workers(trial, connection, stack)
        before = await connection.fetchval(FACTS)
        reading = asyncio.create_task(_read(readback, trial, seen))
        try:
            await publish(trial, events, per_second, sent, progress)
            await drain(connection, before + len(events))
        finally:
            reading.cancel()
            await asyncio.wait([reading])
    counted = list(sent)[int(_WARM_UP_SECONDS * per_second) :]
    found = sorted((seen[e] - sent[e]) * 1000 for e in counted if e in seen)
    if not found:
        raise MeasurementError("no balance changed")
    return Latencies(found)


async def publish(
    trial: Trial,
    events: Sequence[Event],
    per_second: float,
    sent: dict[str, float],
    progress: Progress,
) -> None:
    """Publish what is due every few milliseconds, whatever became of what came before."""
    records = [(e.event_id, e.key, e.value, e.headers) for e in events]
    producer = AIOKafkaProducer(bootstrap_servers=trial.bootstrap, acks="all")
    await producer.start()
    try:
        start, number = time.perf_counter(), 0
        while number < len(records):
            due = min(len(records), int((time.perf_counter() - start) * per_second))
            for event_id, key, value, headers in records[number:due]:
                sent[event_id] = time.perf_counter()
                await producer.send(trial.input_topic, key=key, value=value, headers=headers)
            number = max(number, due)
            progress(number, len(records))
            await asyncio.sleep(_TICK_SECONDS)
        await producer.flush()
    finally:
        await producer.stop()


async def _read(readback: Readback, trial: Trial, seen: dict[str, float]) -> None:
    topic = trial.output_topics["balance-changed"]
    while True:
        records = await readback.read()
        now = time.perf_counter()
        for record in records:
            if record.topic == topic:
                # An event may change several balances: it is done when it has changed the last.
                seen[json.loads(record.value)["cause"]["id"]] = now


async def drain(connection: Connection, facts: int) -> None:
    """Wait until all is posted and published, and then a moment for what is under way."""
    async with asyncio.timeout(_DRAIN_SECONDS):
        # Only the database can be asked.
        while await connection.fetchval(FACTS) < facts or await connection.fetchval(_QUEUED):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
    await asyncio.sleep(0.5)
