"""Measure: how long programs take from the first fetch until all they publish is read back.

Both the start and the end are read from this machine's clock: a fact's `recorded_at` is when the
batch that held it had been fetched, and the end is when the last published event came back.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from bench.mix import Event
from bench.preload import PARTITIONS, preload
from bench.trial import Connection, Trial, connect
from local.supervision import Supervised

Progress: TypeAlias = Callable[[int, int], None]

SERVE: Final = ("booking-credits", "serve")
# As many as deploy/compose.yaml starts.
WORKERS: Final = 2

_TIMEOUT_SECONDS: Final = 300
_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.01
_READ_RECORDS: Final = 10_000
_READ_SECONDS: Final = 0.005
_WAIT_SECONDS: Final = 0.05
_LOOK_SECONDS: Final = 0.25
_STOP_SIGNAL: Final = signal.SIGTERM

# An account's facts are numbered, so that the sum of the last numbers counts them all.
FACTS: Final = "select coalesce(sum(fact_no), 0)::bigint from accounts"
_ANNOUNCEMENTS: Final = "select count(*) from announcements"
_FETCHED: Final = "select min(recorded_at) from facts where recorded_at >= $1"
_LETTERS: Final = "select count(*) from dead_letters"
_OWNERS: Final = "select count(distinct owner) from positions"
_QUEUED: Final = "select exists (select from outbox)"


class MeasurementError(Exception):
    """A program did not do what it should, or not in time; says what it logged last."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured; `read_back` is how many events had come out after so many seconds."""

    events: int
    published: int
    seconds: float
    rss_mb: float
    read_back: tuple[tuple[float, int], ...]

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds


class Published(NamedTuple):
    """A record that came back."""

    topic: str
    event_id: bytes
    value: bytes


@dataclass
class Readback:
    """Reads what is published; `ids` are those of the events that came, each once.

    Its client is one that takes little of the cores that are measured.
    """

    consumer: Consumer
    ids: set[bytes] = field(default_factory=set)
    samples: list[tuple[float, int]] = field(default_factory=list)

    async def read(self) -> list[Published]:
        """Wait a moment for records, and note when they came."""
        until = time.perf_counter() + _WAIT_SECONDS
        while not (messages := self.consumer.consume(_READ_RECORDS, 0)):
            if time.perf_counter() > until:
                return []
            await asyncio.sleep(_READ_SECONDS)
        records = [_published(message) for message in messages]
        self.ids.update(record.event_id for record in records)
        self.samples.append((time.time(), len(self.ids)))
        return records


def _published(message: Message) -> Published:
    error = message.error()
    if error is not None:
        raise MeasurementError(f"what was published cannot be read: {error}")
    # Its types allow for what a record of the service always has.
    headers: dict[str, bytes] = dict(message.headers())  # type: ignore[arg-type]
    return Published(message.topic(), headers["ce_id"], message.value())  # type: ignore[arg-type]


async def measure_workers(
    trial: Trial, events: Sequence[Event], progress: Progress, workers: int = WORKERS
) -> Measurement:
    """Measure the service on events that come all at once, started as its users start it."""
    return await measure(trial, [trial.command(*SERVE)] * workers, events, progress)


async def measure(
    trial: Trial,
    commands: Sequence[Sequence[str]],
    events: Sequence[Event],
    progress: Progress,
    *,
    is_service: bool = True,
) -> Measurement:
    """Run programs until they have posted and published events.

    The service's workers share the partitions first; another program finds the events there.

    Raises:
        MeasurementError: an event is missing, or the time is over.
    """
    async with (
        connect(trial.dsn) as connection,
        open_readback(trial, *trial.output_topics) as readback,
        AsyncExitStack() as stack,
    ):
        if not is_service:
            await preload(trial.bootstrap, trial.input_topic, events)
        programs = [await stack.enter_async_context(running(trial, c)) for c in commands]
        course = _Course(connection, readback, programs, has_outbox=is_service)
        launched_at = datetime.now(UTC)
        facts, announcements = await course.count_facts(), await course.count_announcements()
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                if is_service:
                    await await_taken(connection, programs)
                    await preload(trial.bootstrap, trial.input_topic, events)
                await course.await_posted(facts, len(events), progress)
                published = await course.await_published(announcements)
        except TimeoutError:
            logs = "; ".join(program.log() for program in programs)
            raise MeasurementError(f"{trial.name} took too long: {logs}") from None
        rss_mb = max(read_peak_rss_mb(program.pid) for program in programs)
        fetched_at: datetime = await connection.fetchval(_FETCHED, launched_at)
    start = fetched_at.timestamp()
    samples = tuple((at - start, read) for at, read in readback.samples)
    return Measurement(len(events), published, samples[-1][0], rss_mb, samples)


@dataclass
class _Course:
    """What is watched while programs run."""

    connection: Connection
    readback: Readback
    programs: Sequence[Supervised]
    has_outbox: bool

    async def count_facts(self) -> int:
        return int(await self.connection.fetchval(FACTS))

    async def count_announcements(self) -> int:
        return int(await self.connection.fetchval(_ANNOUNCEMENTS))

    async def await_posted(self, before: int, count: int, progress: Progress) -> None:
        """Read on until every event is on record."""
        look_at, posted = 0.0, 0
        while posted < count:
            await self._read()
            if time.perf_counter() >= look_at:
                posted = await self.count_facts() - before
                progress(posted, count)
                await self._require_no_letters()
                look_at = time.perf_counter() + _LOOK_SECONDS

    async def await_published(self, before: int) -> int:
        """Read on until everything announced has come back, and return how much that is."""
        while self.has_outbox and await self.connection.fetchval(_QUEUED):
            await self._read()
        announced = await self.count_announcements() - before
        while len(self.readback.ids) < announced:
            await self._read()
        if len(self.readback.ids) > announced:
            raise MeasurementError("more came out than is on record")
        return announced

    async def _read(self) -> None:
        require_running(self.programs)
        await self.readback.read()

    async def _require_no_letters(self) -> None:
        if await self.connection.fetchval(_LETTERS):
            raise MeasurementError("an event became a dead letter")


@asynccontextmanager
async def open_readback(trial: Trial, *kinds: str) -> AsyncIterator[Readback]:
    """Read some kinds of what a trial publishes, from the beginning."""
    consumer = Consumer(
        {
            "bootstrap.servers": trial.bootstrap,
            "group.id": f"{trial.name}-readback",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign(
        [
            TopicPartition(trial.output_topics[kind], partition, OFFSET_BEGINNING)
            for kind in kinds
            for partition in range(PARTITIONS)
        ]
    )
    try:
        yield Readback(consumer)
    finally:
        consumer.close()


@asynccontextmanager
async def running(trial: Trial, command: Sequence[str]) -> AsyncIterator[Supervised]:
    """Run a program, and end it as its users do."""
    program = Supervised(trial.name)
    try:
        program.start(*command)
        yield program
        await asyncio.to_thread(program.end, _STOP_SIGNAL)
    finally:
        program.close()


async def start_workers(
    trial: Trial, connection: Connection, stack: AsyncExitStack
) -> list[Supervised]:
    """Start the service as its users do, and wait until its workers have shared the partitions."""
    commands = [trial.command(*SERVE)] * WORKERS
    workers = [await stack.enter_async_context(running(trial, c)) for c in commands]
    async with asyncio.timeout(_START_SECONDS):
        await await_taken(connection, workers)
    return workers


async def await_taken(connection: Connection, workers: Sequence[Supervised]) -> None:
    """Wait until each worker has taken partitions, which it does just before it reads them."""
    while await connection.fetchval(_OWNERS) < len(workers):
        require_running(workers)
        await asyncio.sleep(_POLL_SECONDS)


def require_running(programs: Sequence[Supervised]) -> None:
    """Raise MeasurementError where a program has ended by itself."""
    for program in programs:
        if not program.running:
            raise MeasurementError(f"{program.name} ended: {program.log()}")


def read_peak_rss_mb(pid: int) -> float:
    """Return the most memory that a process has had, where the system says so, else 0."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kilobytes = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(kilobytes[0]) / 1024 if kilobytes else 0.0
