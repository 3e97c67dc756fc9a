"""Stage: the topics and the database of one journey, and the workers that play on it."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from journey.load import Event
from local.supervision import Supervised

SESSION_TIMEOUT_SECONDS = 6  # The least that a broker allows.

_PREFIX = "BOOKING_CREDITS_"
_STAGED = Path(__file__).with_name("worker.py")
_COMMAND = Path(sys.executable).with_name("booking-credits")
_WAITING = """
select (select count(*) from outbox), (select count(*) from due where due_at <= now()),
    (select count(*) from closings where closes_at <= now() - interval '1 minute')
"""


class Worker:
    """A worker as its users run it, or one with variables of worker.py."""

    def __init__(self, environment: dict[str, str], staged: dict[str, str]) -> None:
        self._process = Supervised("worker")
        self._port = environment[f"{_PREFIX}HEALTH_PORT"]
        command = [sys.executable, _STAGED] if staged else [_COMMAND]
        settings = [f"{name}={value}" for name, value in (environment | staged).items()]
        self._process.start("env", *settings, *command, "serve")

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def log(self) -> str:
        """All that the worker has logged."""
        return (self._process.directory / "log").read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return what was logged of an event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def has_logged(self, event: str, timeout_seconds: float = 40) -> None:
        """Wait until an event is logged."""

        async def is_logged() -> bool:
            return bool(self.logged(event))

        try:
            await wait_until(is_logged, timeout_seconds)
        except TimeoutError:
            raise AssertionError(f"never logged {event}: {self.log[-3000:]}") from None

    def metrics(self) -> dict[str, float]:
        """Return what a scrape finds, by the samples' names; nothing while nobody answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def is_stopped(self) -> bool:
        """Say whether the worker has just been stopped by SIGSTOP; true once for each time."""
        return self._process.is_stopped()

    def send(self, number: signal.Signals) -> None:
        self._process.send(number)

    async def wait(self, timeout_seconds: float) -> int | None:
        """Return the exit status, None if the timeout finds the worker still running."""
        return await asyncio.to_thread(self._process.wait, timeout_seconds)

    def close(self) -> None:
        self._process.close()


@dataclass
class Stage:
    """Where a journey takes place. Inputs and outputs are its topics by their usual names."""

    bootstrap: str
    dsn: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    group_id: str = field(default_factory=lambda: f"journey-{uuid4().hex}")
    workers: list[Worker] = field(default_factory=list)

    @property
    def input_topics(self) -> set[str]:
        return {*self.inputs.values()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for worker in self.workers:
            worker.close()

    def start_worker(
        self,
        *,
        fault: str | None = None,
        clock: Path | None = None,
        batch_records: int = 100,
        batch_stuck_seconds: float = 300,
        dsn: str | None = None,
        health_port: int = 0,  # There is one usual port, and more than one worker.
    ) -> Worker:
        """Start a worker; `fault` and `clock` as in worker.py, `dsn` another way to Postgres."""
        environment = self._environment(
            postgres_dsn=dsn or self.dsn,
            batch_records=str(batch_records),
            batch_stuck_seconds=str(batch_stuck_seconds),
            health_port=str(health_port),
        )
        staged = {"JOURNEY_FAULT": fault, "JOURNEY_CLOCK": clock and str(clock)}
        worker = Worker(environment, {name: text for name, text in staged.items() if text})
        self.workers.append(worker)
        return worker

    def _environment(self, **settings: str) -> dict[str, str]:
        usual = {
            "kafka_bootstrap": self.bootstrap,
            "postgres_dsn": self.dsn,
            "group_id": self.group_id,
            "input_topics": ",".join(self.input_topics),
            "log_format": "json",
            "session_timeout_seconds": str(SESSION_TIMEOUT_SECONDS),
        }
        topics = {f"topic_{name.replace('-', '_')}": topic for name, topic in self.outputs.items()}
        return {f"{_PREFIX}{k.upper()}": v for k, v in (usual | topics | settings).items()}

    async def ask(self, *question: str) -> Any:
        """Ask by the command line, as a person would, and return the answer."""
        asked = await asyncio.create_subprocess_exec(
            _COMMAND,
            *(*question, "--output", "json"),
            env=os.environ | self._environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await asked.communicate()
        assert 0 == asked.returncode
        return json.loads(said)

    async def stop_workers(self) -> None:
        """Stop every worker that runs, as an operator would; each ends well and in time."""
        running = [worker for worker in self.workers if worker.running]
        for worker in running:
            worker.send(signal.SIGTERM)
        assert [0] * len(running) == [await worker.wait(15) for worker in running], self.said()

    async def send(self, load: Iterable[Event]) -> None:
        """Publish events, each under its account's key, and return when Kafka has them."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", enable_idempotence=True
        ) as producer:
            sent = [
                await producer.send(
                    self.inputs[event.topic],
                    key=event.record.key,
                    value=event.record.value,
                    headers=[*event.record.headers],
                )
                for event in load
            ]
            await asyncio.gather(*sent)

    async def settled(self, timeout_seconds: float = 60) -> None:
        """Wait until all that was sent was read, all that was due posted, and all was published.

        A period whose instant passed within the last minute may wait for the inputs to pass it.
        """
        found: Any = None

        async def is_settled() -> bool:
            nonlocal found
            found = await self._unsettled()
            return not any(found)

        try:
            await wait_until(is_settled, timeout_seconds)
        except TimeoutError:
            raise AssertionError(f"not settled: {found}\n{self.said()}") from None

    async def _unsettled(self) -> tuple[Any, ...]:
        ends = await read_ends(self.bootstrap, self.input_topics)
        rows = await self.fetch("select topic, partition, next_offset from positions")
        read = {(topic, partition): offset for topic, partition, offset in rows}
        behind = {p: end for p, end in ends.items() if end and read.get(p) != end}
        return behind, *(await self.fetch(_WAITING))[0]

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database."""
        async with connected(self.dsn) as connection:
            return list(await connection.fetch(query, *arguments))

    async def read_published(self) -> list[ConsumerRecord]:
        """Read all that the outputs hold, each partition in its order."""
        return await read_all(self.bootstrap, self.outputs.values())

    def said(self) -> str:
        """Return the end of what each worker has logged."""
        return "\n".join(f"worker {n}: {w.log[-3000:]}" for n, w in enumerate(self.workers))


class connected:  # noqa: N801 - reads as what it does in an async with
    """A connection to Postgres for the length of a block."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def __aenter__(self) -> "asyncpg.Connection[asyncpg.Record]":
        self._connection = await asyncpg.connect(self._dsn, timeout=10)
        return self._connection

    async def __aexit__(self, *_error: object) -> None:
        await self._connection.close()


async def wait_until(condition: Callable[[], Awaitable[bool]], timeout_seconds: float) -> None:
    """Wait until a condition holds, servers that are away meanwhile included; TimeoutError."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError):
            if await condition():
                return
        await asyncio.sleep(0.1)
    raise TimeoutError


async def wait_until_stopped(worker: Worker, timeout_seconds: float = 30) -> None:
    """Wait until a worker stands at the point where it stops itself."""

    async def is_stopped() -> bool:
        return worker.is_stopped()

    await wait_until(is_stopped, timeout_seconds)


async def read_ends(bootstrap: str, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """Return the end of every partition."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        found = await _partitions(consumer, topics)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(found)
        return ends


async def read_all(bootstrap: str, topics: Iterable[str]) -> list[ConsumerRecord]:
    """Read topics from their beginning to their present end."""
    records: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        partitions = await _partitions(consumer, topics)
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        waiting = {p for p in partitions if ends[p]}
        while waiting:
            for batch in (await consumer.getmany(*waiting, timeout_ms=100)).values():
                records += batch
            waiting = {p for p in waiting if await consumer.position(p) < ends[p]}
    return records


async def _partitions(consumer: AIOKafkaConsumer, topics: Iterable[str]) -> list[TopicPartition]:
    cluster = await consumer._client.fetch_all_metadata()
    return [
        TopicPartition(topic, partition)
        for topic in topics
        for partition in sorted(cluster.partitions_for_topic(topic) or ())
    ]
