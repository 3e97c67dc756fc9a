"""Assignment: the partitions that this consumer may post from, and where it reads them on.

Positions are kept in Postgres, beside what was posted from them; what Kafka remembers is a hint.
So a partition that is assigned is paused, its position taken and looked after, and only then
read. Taking it fences off whoever had it before. One that Kafka does not let us look at holds up no
other. What was read is posted only while the topic is the one that was looked at.
"""

from __future__ import annotations

import asyncio
from asyncio import timeout
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from booking_credits.inbox.starts import find_starts
from booking_credits.inbox.topic_ids import find_topic_ids
from booking_credits.retries import retry_delay_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from aiokafka import AIOKafkaConsumer

    from booking_credits.inbox.starts import ConsumerFactory, Start
    from booking_credits.postgres.positions import Held, Partition

    class TakesPositions(Protocol):
        """Where positions are kept."""

        async def take(self, partitions: Iterable[Partition], owner: UUID) -> dict[Partition, Held]:
            """Make partitions an owner's and say how far each was read."""

        async def note_ends(
            self, ends: Iterable[tuple[str, int, int, datetime]], owner: UUID
        ) -> None:
            """Note when the ends of partitions were seen: topic, partition, epoch, instant."""


# Less than the rebalance timeout, for the group waits meanwhile.
REVOKE_TIMEOUT_SECONDS: Final = 20.0
# More than a heartbeat: by then a consumer that was replaced has learned of it.
FENCED_DELAY_SECONDS: Final = 4.0
_TAKE_TIMEOUT_SECONDS: Final = 30.0

_log = structlog.get_logger("inbox")


class LookFailed(Exception):
    """Kafka did not say what has become of partitions."""


@dataclass(slots=True)
class Reading:
    """A partition that is being read, in the epoch in which it is held.

    `topic_id` tells its topic from any other of that name; None where Kafka did not say.
    """

    epoch: int
    next_offset: int
    topic_id: bytes | None


# aiokafka has no types.
class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps `readings`, the partitions that may be posted from, as they come and go."""

    def __init__(
        self,
        consumer: Callable[[], AIOKafkaConsumer],
        positions: TakesPositions,
        look_factory: ConsumerFactory,
        owner: UUID,
    ) -> None:
        """Listen for a consumer; `look_factory` makes those of `find_starts`."""
        self.readings: dict[Partition, Reading] = {}
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.topics_recreated = 0
        self.records_expired = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._consumer = consumer
        self._positions = positions
        self._look_factory = look_factory
        self._owner = owner
        self._taking: set[asyncio.Task[None]] = set()
        self._claims: dict[TopicPartition, object] = {}

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Let the batch in hand be posted, as long as the group can wait; then let go."""
        self.assigned = frozenset()
        await self.stop()
        if revoked:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), REVOKE_TIMEOUT_SECONDS)
        self.readings.clear()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Pause before anything can be read from where Kafka would begin, then take over."""
        self.assigned = frozenset(assigned)
        self._take_over(self.assigned, 0)

    def let_go(self, partitions: Collection[Partition], delay_seconds: float | None = None) -> None:
        """Read partitions anew from their position, after a while, if they are still assigned."""
        for partition in partitions:
            self.readings.pop(partition, None)
        again = {TopicPartition(*partition) for partition in partitions} & self.assigned
        self._take_over(again, FENCED_DELAY_SECONDS if delay_seconds is None else delay_seconds)

    async def let_go_of_other_topics(self) -> None:
        """Read partitions anew whose topic was made anew since they were taken.

        Its log may have grown past where reading had come to, which nothing else would tell. Where
        Kafka does not say, they are read anew after a while; a topic that is gone left what was
        read of it.
        """
        readings = dict(self.readings)
        now = await find_topic_ids(self._consumer(), [TopicPartition(*p) for p in readings])
        others = [p for p, r in readings.items() if p in now and now[p] not in (None, r.topic_id)]
        self.let_go(others, 0)
        self.let_go([partition for partition in readings if partition not in now])

    async def stop(self) -> None:
        """Take nothing over any more."""
        taking = list(self._taking)
        for task in taking:
            task.cancel()
        if taking:
            await asyncio.wait(taking)

    def _take_over(self, partitions: Collection[TopicPartition], delay_seconds: float) -> None:
        """Take partitions over after a while; whoever was about to take one of them does not."""
        if not partitions:
            return
        self._consumer().pause(*partitions)
        claim = object()
        self._claims.update(dict.fromkeys(partitions, claim))
        task = asyncio.create_task(self._take_until_taken(claim, partitions, delay_seconds))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    def _claimed(self, claim: object, partitions: Iterable[TopicPartition]) -> list[TopicPartition]:
        return [partition for partition in partitions if self._claims.get(partition) is claim]

    async def _take_until_taken(
        self, claim: object, partitions: Iterable[TopicPartition], delay_seconds: float
    ) -> None:
        failures = 0
        while True:
            await asyncio.sleep(delay_seconds)
            claimed = self._claimed(claim, partitions)
            if not claimed:
                return
            try:
                async with timeout(_TAKE_TIMEOUT_SECONDS):
                    await self._take(claim, claimed)
            except Exception as error:  # noqa: BLE001 - until it is taken, nothing is read
                claimed = self._claimed(claim, claimed)
                delay_seconds = retry_delay_seconds(failures)
                failures += 1
                _log.warning(
                    "partitions_not_taken",
                    error=type(error.__cause__ or error).__name__,
                    again_in_seconds=delay_seconds,
                )
                # One that Kafka or another's transaction keeps from us may hold up no other.
                if isinstance(error, LookFailed | TimeoutError) and len(claimed) > 1:
                    middle = len(claimed) // 2
                    self._take_over(claimed[:middle], delay_seconds)
                    self._take_over(claimed[middle:], delay_seconds)
                    return
            else:
                return

    async def _take(self, claim: object, partitions: Collection[TopicPartition]) -> None:
        taken = await self._positions.take(
            [(p.topic, p.partition) for p in partitions], self._owner
        )
        # Before the look: of a topic that is made anew in between, the next one is found.
        topic_ids = await find_topic_ids(self._consumer(), partitions)
        starts = await self._look(taken)
        consumer, claimed = self._consumer(), self._claimed(claim, partitions)
        for there in claimed:
            partition = (there.topic, there.partition)
            start = starts[partition]
            if start.surprise is not None:
                self._alert(partition, start.surprise, start.offset)
            consumer.seek(there, start.offset)
            epoch, topic_id = taken[partition].epoch, topic_ids.get(there)
            self.readings[partition] = Reading(epoch, start.offset, topic_id)
        if claimed:
            consumer.resume(*claimed)

    async def _look(self, taken: Mapping[Partition, Held]) -> dict[Partition, Start]:
        try:
            return await find_starts(self._look_factory, taken)
        except Exception as error:
            raise LookFailed from error

    def _alert(self, partition: Partition, surprise: str, offset: int) -> None:
        self.topics_recreated += surprise == "topic_recreated"
        self.records_expired += surprise == "records_expired"
        topic, number = partition
        _log.error(surprise, topic=topic, partition=number, read_from=offset)
