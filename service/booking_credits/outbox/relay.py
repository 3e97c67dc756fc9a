"""Relay: publishes what waits in the outbox, in order for each account, at least once.

Of all relays one leads a shard at a time. It reads a page, publishes it, waits until Kafka has
all of it, and removes it: whatever goes wrong in between, the page is published again, with the
same ids. Some of it may then be there twice, but nothing is left out.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import sample
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka.errors import KafkaConnectionError

from booking_credits.outbox.publisher import Publisher
from booking_credits.posting.shards import SHARDS
from booking_credits.retries import retry_delay_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from booking_credits.outbox.publisher import ProducerFactory, Trace
    from booking_credits.postgres.outbox_queue import OutboxQueue

# Who leads is told what waits; it looks by itself where it could not be told.
_LOOK_EVERY_SECONDS: Final = 1.0
_LEAD_EVERY_SECONDS: Final = 1.0
_STOP_TIMEOUT_SECONDS: Final = 5.0

_log = structlog.get_logger("outbox")


class NoLongerLeading(Exception):
    """The session that led the shards is not the one that asked."""


@dataclass
class RelayState:
    """How publishing goes, for whoever watches.

    `oldest_unpublished` is when the first of what waited at the last look was recorded;
    `published_by_type` splits `published` up.
    """

    led: set[int] = field(default_factory=set)
    oldest_unpublished: datetime | None = None
    last_looked_at: datetime | None = None
    last_published_at: datetime | None = None
    published: int = 0
    published_by_type: Counter[str] = field(default_factory=Counter)
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Rest:
    """After so many failures in a row, until when a shard is left alone."""

    failures: int
    until: float


class Relay:
    """Publishes the shards that it can come to lead, until it is stopped."""

    def __init__(  # noqa: PLR0913 - the usual values are its documentation
        self,
        queue: OutboxQueue,
        producer_factory: ProducerFactory,
        topics: Mapping[str, str],
        *,
        source: str = "booking-credits",
        shards: Iterable[int] = range(SHARDS),
        trace: Trace = nullcontext,
    ) -> None:
        """Publish each type of event to its topic, by producers as `Publisher` wants them."""
        self.state = RelayState()
        self._queue = queue
        self._publisher = Publisher(producer_factory, topics, source, trace)
        self._shards = frozenset(shards)
        self._wake = asyncio.Event()
        self._lead_next_at = 0.0
        self._rests: dict[int, _Rest] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to publish; starting twice is starting once."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="relay")

    async def stop(self) -> None:
        """Stop within seconds; what was not published stays queued."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task], timeout=_STOP_TIMEOUT_SECONDS)
        await self._publisher.close()
        await self._queue.close()
        self.state.led.clear()

    async def _run(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            try:
                await self._publish_all()
            except Exception as error:  # noqa: BLE001 - whatever it is, what is queued must go out
                delay = self._fail("outbox_unreadable", error, failures)
                failures += 1
                await self._queue.close()
                await asyncio.sleep(delay)
            else:
                failures = 0
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._look_in_seconds())

    def _rests_now(self, shard: int) -> bool:
        rest = self._rests.get(shard)
        return rest is not None and rest.until > time.monotonic()

    def _look_in_seconds(self) -> float:
        """Say when to look again, at the latest: a shard that failed is tried after its rest."""
        rests = (rest.until - time.monotonic() for rest in self._rests.values())
        return min((_LOOK_EVERY_SECONDS, *(seconds for seconds in rests if seconds > 0)))

    async def _publish_all(self) -> None:
        """Publish a page of each shard in turn until nothing waits but what failed just now."""
        await self._lead()
        while True:
            waiting = await self._queue.find_waiting(self.state.led)
            self.state.last_looked_at = datetime.now(UTC)
            self.state.oldest_unpublished = waiting[0][1] if waiting else None
            ready = [shard for shard, _ in waiting if not self._rests_now(shard)]
            if not ready:
                return
            trusted = [shard for shard in ready if shard not in self._rests]
            for shards in (trusted, *([shard] for shard in ready if shard in self._rests)):
                if shards:
                    await self._publish_pages(shards)

    async def _publish_pages(self, shards: list[int]) -> None:
        """Publish a page of each shard together; where Kafka refuses that, each on its own.

        A shard that failed goes on its own until it succeeds, so that it holds up no other.
        """
        pages = await self._queue.read_pages(shards)
        try:
            await self._publisher.publish(pages)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is to be tried again
            known = [self._rests[shard].failures for shard in shards if shard in self._rests]
            failures = max(known, default=0)
            delay = self._fail("publishing_failed", error, failures, shards=shards)
            if len(shards) > 1 and not _is_away(error):
                for shard in shards:
                    await self._publish_pages([shard])
            else:
                rest = _Rest(failures + 1, time.monotonic() + delay)
                self._rests.update(dict.fromkeys(shards, rest))
            return
        if not await self._queue.remove(pages):
            raise NoLongerLeading
        for shard in shards:
            self._rests.pop(shard, None)
        self.state.published += len(pages)
        self.state.published_by_type.update(queued.type for queued in pages)
        self.state.last_published_at = datetime.now(UTC)

    def _fail(self, what: str, error: Exception, failures: int, **context: object) -> float:
        """Note a failure after so many in a row, and say how long to wait."""
        delay = retry_delay_seconds(failures)
        self.state.failures += 1
        _log.warning(what, error=type(error).__name__, again_in_seconds=round(delay, 1), **context)
        return delay

    async def _lead(self) -> None:
        """Try to lead what another relay may have left, once in a while."""
        if not self._queue.is_open:
            self.state.led.clear()
            await self._queue.open(self._wake.set)
            self._lead_next_at = 0.0
        if time.monotonic() < self._lead_next_at:
            return
        # In an order of its own, so that relays that start together share them.
        left = sorted(self._shards - self.state.led)
        for shard in sample(left, len(left)):
            if await self._queue.lead(shard):
                self.state.led.add(shard)
        self._lead_next_at = time.monotonic() + _LEAD_EVERY_SECONDS


def _is_away(error: Exception) -> bool:
    """Say whether Kafka did not answer, which says nothing of what it was to take."""
    return isinstance(error, TimeoutError | OSError | KafkaConnectionError)
