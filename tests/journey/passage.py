"""Passage: the time of a journey as it passes, step by step, with what is written meanwhile.

Time stands still for the workers until the passage moves it on. It sends what was written since the
last step under the time at which it was written, so that a backlog looks as it would.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Self
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata

from journey.season import BEGINS_AT, STEPS, Letter
from journey.stage import Stage, Worker, wait_until
from journey.worker import StandingClock
from local.supervision import free_port

_TOLD = "select count(*) from facts where source <> 'booking-credits/clock'"
# Nothing is due, may be closed or waits to be published. A period whose instant is the present
# cannot be closed yet: its inputs have not been read past that.
_WAITING = """
select (select count(*) from due where due_at <= $1),
    (select count(*) from closings where closes_at < $1), (select count(*) from outbox)
"""
_CLOSED = """
select account_id from facts where type = 'period-closed' and payload ->> 'period_start' = $1
order by account_id collate "C"
"""


class Passage:
    """A season as it goes on; the test says how far."""

    def __init__(self, stage: Stage, folder: Path, letters: Sequence[Letter]) -> None:
        self.stage = stage
        self.account_ids = sorted({letter.event.account_id for letter in letters})
        self.sent: list[Letter] = []
        self._clock = StandingClock(folder / "clock")
        self._to_come = deque(letters)
        self._held: TopicPartition | None = None
        self._readable: set[str] = set()

    async def __aenter__(self) -> Self:
        self._clock.move_to(BEGINS_AT)
        self._producer = AIOKafkaProducer(bootstrap_servers=self.stage.bootstrap, acks="all")
        await self._producer.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._producer.stop()

    def accounts_in(self, zone: str) -> list[str]:
        """Name the accounts of a zone."""
        return [name for name in self.account_ids if name.startswith(zone.rpartition("/")[2])]

    async def start_workers(self, count: int) -> Worker:
        """Start workers until so many share the partitions, and return the last one."""
        running = sum(worker.running for worker in self.stage.workers)
        for _ in range(count - running):
            self.stage.start_worker(clock=self._clock.file, health_port=free_port())

        async def is_shared() -> bool:
            rows = await self.stage.fetch("select count(distinct owner) from positions")
            return bool(count == rows[0][0])

        await self.wait_until(is_shared)
        return self.stage.workers[-1]

    async def until(self, instant: datetime) -> None:
        """Go on to an instant, and at each step have read what can be read."""
        for step in STEPS:
            if self._clock.now() < step <= instant:
                await self.step(step)
                await self.told()

    async def step(self, instant: datetime) -> None:
        """Move time on, and send what was written meanwhile."""
        await self._send(self._producer, self._written_by(instant))

    def _written_by(self, instant: datetime) -> list[Letter]:
        self._clock.move_to(instant)
        written = []
        while self._to_come and self._to_come[0].written_at <= instant:
            written.append(self._to_come.popleft())
        return written

    async def _send(
        self, producer: AIOKafkaProducer, letters: Iterable[Letter]
    ) -> list[RecordMetadata]:
        sending = []
        for letter in letters:
            record = letter.event.record
            sending.append(
                await producer.send(
                    self.stage.inputs[letter.event.topic],
                    key=record.key,
                    value=record.value,
                    headers=[*record.headers],
                    timestamp_ms=int(letter.written_at.timestamp() * 1000),
                )
            )
            self.sent.append(letter)
        places = await asyncio.gather(*sending)
        for letter, place in zip(letters, places, strict=True):
            if TopicPartition(place.topic, place.partition) != self._held:
                self._readable.add(letter.event.event_id)
        return places

    @asynccontextmanager
    async def holding_back(self) -> AsyncIterator[tuple[TopicPartition, datetime]]:
        """Hold a partition back, by a transaction that stays open, and say which, since when.

        Before time goes on, whoever reads the partition knows that there is something in it.
        """
        instant = next(step for step in STEPS if step > self._clock.now())
        letters = self._written_by(instant)
        news = (letter for letter in letters if letter.event.event_id not in self._readable)
        first = next(letter for letter in news if letter.event.topic == "bookings")
        letters.remove(first)
        async with AIOKafkaProducer(
            bootstrap_servers=self.stage.bootstrap,
            transactional_id=uuid4().hex,
            transaction_timeout_ms=300_000,
        ) as producer:
            async with producer.transaction():
                [place] = await self._send(producer, [first])
                held = self._held = TopicPartition(place.topic, place.partition)
                self._readable.discard(first.event.event_id)
                await self._send(self._producer, letters)
                await self.told()
                lag = f'lag_records{{partition="{held.partition}",topic="{held.topic}"}}'
                await self.see(lag, range(1, 1000))
                yield held, instant
            self._held = None
            self._readable = {letter.event.event_id for letter in self.sent}

    async def told(self) -> None:
        """Wait until all that can be read is on record."""
        await self._become((len(self._readable),), _TOLD)

    async def has_come_to_rest(self) -> None:
        """Wait until nothing is left to do by now."""
        await self._become((0, 0, 0), _WAITING, self._clock.now())

    async def closed(self, month: str) -> list[str]:
        """Name the accounts of which a month is closed."""
        return [row[0] for row in await self.stage.fetch(_CLOSED, month)]

    async def see(self, metric: str, values: Collection[int]) -> None:
        """Wait until a worker shows one of some values."""

        async def is_seen() -> bool:
            running = [worker for worker in self.stage.workers if worker.running]
            found = [await asyncio.to_thread(worker.metrics) for worker in running]
            return any(each.get(f"booking_credits_{metric}") in values for each in found)

        await self.wait_until(is_seen)

    async def _become(self, expected: tuple[int, ...], query: str, *arguments: object) -> None:
        """Wait until a query finds what is expected."""

        async def is_found() -> bool:
            return expected == tuple((await self.stage.fetch(query, *arguments))[0])

        await self.wait_until(is_found)

    async def wait_until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a condition holds, or say what the workers said."""
        try:
            await wait_until(condition, 40)
        except TimeoutError:
            raise AssertionError(f"still {self._clock.now()}\n{self.stage.said()}") from None
