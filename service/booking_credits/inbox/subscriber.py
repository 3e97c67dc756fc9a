"""Subscriber: one batch after the other, from all input topics into posting.

A batch ends when it is posted with its positions, and only then. While the database is away the
batch is tried again, and again; nothing is skipped. One that takes too long is posted in halves.
Kafka's own offset is committed afterwards, for those who watch the lag.
"""

from __future__ import annotations

import asyncio
from asyncio import timeout
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import structlog
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage

from booking_credits.inbox.assignment import Assignment
from booking_credits.inbox.ends import Ends
from booking_credits.inbox.polling import Polling
from booking_credits.inbox.reading import read_record
from booking_credits.inbox.records import fingerprint, origin_of, read_through
from booking_credits.inbox.silences import Silences
from booking_credits.inbox.state import InboxState
from booking_credits.kafka_ends import end_client
from booking_credits.posting.batch import Advance, Arrival, Batch, DeadLetter, Fenced
from booking_credits.retries import retry_delay_seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from aiokafka import AIOKafkaConsumer

    from booking_credits.inbox.assignment import Reading, TakesPositions
    from booking_credits.inbox.records import Record
    from booking_credits.inbox.starts import ConsumerFactory
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.positions import Partition
    from booking_credits.posting.batch import Posted

_COMMIT_TIMEOUT_SECONDS: Final = 5
_START_TIMEOUT_SECONDS: Final = 60
# A batch waits for its database however long that is away, and stays its group's meanwhile: what a
# worker does not get on with, the watchdog finds.
_FOR_EVER_MS: Final = 2**31 - 1

_log = structlog.get_logger("inbox")


class NotPosted(Exception):
    """The batch in hand could not be posted before the end; it will be read again."""


class TooLong(Exception):
    """The batch in hand takes longer than it may, and has parts."""


class Inbox:
    """Reads the input topics as a member of a consumer group, until it is stopped."""

    def __init__(  # noqa: PLR0913 - its parts, most of them named at the call
        self,
        broker: KafkaBroker,
        look_factory: ConsumerFactory,
        topics: Sequence[str],
        group_id: str,
        *,
        post: Callable[[Batch], Awaitable[Posted]],
        positions: TakesPositions,
        book: PolicyBook,
        now: Callable[[], datetime],
        batch_records: int = 1000,
        batch_timeout_seconds: float = 60,
        session_timeout_seconds: int = 30,
    ) -> None:
        """Subscribe by a broker that is not started and has no other subscriber.

        The broker must not create topics, and wait for the batch in hand less than `stop` does.

        `look_factory` makes consumers without a group, as `find_starts` wants them. `post` raises
        `Fenced` where another consumer has a partition; whatever else it raises is tried again.
        """
        self._broker = broker
        self._post = post
        self._book = book
        self._now = now
        self._batch_timeout_seconds = batch_timeout_seconds
        self._owner = uuid4()
        self._stopping = asyncio.Event()
        self._held: Mapping[Partition, Reading] = {}
        self.assignment = Assignment(self._consumer, positions, look_factory, self._owner)
        self.state = InboxState()
        self._ends = Ends(self._consumer, self.assignment, positions, self._owner, now)
        self._subscriber = broker.subscriber(
            *topics,
            batch=True,
            group_id=group_id,
            partition_assignment_strategy=(RangePartitionAssignor,),
            auto_offset_reset="none",
            ack_policy=AckPolicy.NACK_ON_ERROR,
            isolation_level="read_committed",
            max_records=batch_records,
            batch_timeout_ms=50,
            fetch_min_bytes=1,
            fetch_max_wait_ms=50,
            session_timeout_ms=session_timeout_seconds * 1000,
            heartbeat_interval_ms=session_timeout_seconds * 100,
            rebalance_timeout_ms=60_000,
            max_poll_interval_ms=_FOR_EVER_MS,
            listener=self.assignment,
            parser=self._parse,
            decoder=_hand_on,
        )
        self._subscriber(self._handle)
        self._silences = Silences(self._consumer, self.assignment)
        # A client that only raises looks as alive as one that has nothing to read.
        self._polling = Polling(self._subscriber.get_msg, self.assignment, batch_records)
        self._subscriber.get_msg = self._poll_and_count  # type: ignore[method-assign]

    async def start(self) -> None:
        """Join the group. Raises what Kafka's client raises where there is none."""
        async with timeout(_START_TIMEOUT_SECONDS):
            await self._broker.start()

    async def stop(self, timeout_seconds: float = 10) -> None:
        """Let the batch in hand be posted and leave the group, within a time."""
        self._stopping.set()
        await self.assignment.stop()
        await end_client(self._broker.stop(), timeout_seconds)

    def lags(self) -> dict[Partition, int]:
        """Say how many records each partition that is read has yet to be read, as far as known."""
        lags: dict[Partition, int] = {}
        for partition, reading in self.assignment.readings.items():
            end = self._consumer().highwater(TopicPartition(*partition))
            if end is not None:
                lags[partition] = max(0, end - reading.next_offset)
        return lags

    def fetched_at_ms(self) -> int | None:
        """Say when Kafka last answered for a partition that is read, 0 for never; None: none is."""
        consumer = self._subscriber.consumer
        if consumer is None:
            return None
        read = consumer.assignment() - consumer.paused()
        return max((consumer.last_poll_timestamp(p) or 0 for p in read), default=None)

    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        if consumer is None:
            raise ConnectionError("the consumer is not started")
        return consumer

    async def _poll_and_count(self, consumer: AIOKafkaConsumer) -> tuple[Record, ...]:
        records = await self._polling.next_records(consumer)
        self._held = dict(self.assignment.readings)
        self.state.polls += 1
        self._silences.end()
        if records:
            await self.assignment.let_go_of_other_topics()
        await self._ends.note({(record.topic, record.partition) for record in records})
        return records

    async def _parse(self, records: tuple[Record, ...]) -> _Delivery:
        first = records[0]
        return _Delivery(
            body=[],
            batch_headers=[],
            raw_message=records,
            consumer=self._consumer(),
            message_id=f"{first.topic}-{first.partition}-{first.offset}",
        )

    async def _handle(self, records: Any) -> None:
        self.assignment.idle.clear()
        try:
            await self._post_records(records, self._held)
        finally:
            self.state.end()
            self.assignment.idle.set()

    async def _post_records(
        self, records: Sequence[Record], held: Mapping[Partition, Reading]
    ) -> None:
        """Post records at once or, where that takes too long, each half by itself.

        Of a partition that was let go since they came, and perhaps taken over again, nothing is
        posted: what comes before in it may not have been.
        """
        self.state.begin()
        batch = self._read(records, held)
        if not batch.advances:
            return
        middle = len(records) // 2
        try:
            await self._post_until_posted(batch, self._batch_timeout_seconds if middle else None)
        except TooLong:
            await self._post_records(records[:middle], held)
            await self._post_records(records[middle:], held)

    def _read(self, records: Iterable[Record], held: Mapping[Partition, Reading]) -> Batch:
        """Read the records of the partitions that may be posted from; others are another's."""
        received_at = self._now()
        read: list[Arrival | DeadLetter] = []
        advances: list[Advance] = []
        for partition, group in groupby(records, key=attrgetter("topic", "partition")):
            reading = self.assignment.readings.get(partition)
            if reading is None or reading is not held.get(partition):
                continue
            delivered = list(group)
            if delivered[0].offset < reading.next_offset:
                # The log has begun anew: look at it as when it was assigned.
                self.assignment.let_go([partition])
                continue
            read.extend(read_record(origin_of(r), self._book, received_at) for r in delivered)
            last = delivered[-1]
            epoch, mark = reading.epoch, fingerprint(last)
            through = read_through(last, received_at)
            advances.append(Advance(*partition, last.offset + 1, mark, self._owner, epoch, through))
        return Batch(
            tuple(r for r in read if isinstance(r, Arrival)),
            tuple(r for r in read if isinstance(r, DeadLetter)),
            tuple(advances),
        )

    async def _post_until_posted(self, batch: Batch, timeout_seconds: float | None) -> None:
        failures = 0
        while not await self._try_to_post(batch, timeout_seconds):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), retry_delay_seconds(failures))
                raise NotPosted
            failures += 1

    async def _try_to_post(self, batch: Batch, timeout_seconds: float | None) -> bool:
        """Say whether a batch is done with: posted, or another consumer's to post.

        Raises:
            TooLong: it took longer than it may, or one of its statements did.
        """
        try:
            async with timeout(timeout_seconds):
                posted = await self._post(batch)
        except Fenced:
            partitions = [(a.topic, a.partition) for a in batch.advances]
            _log.warning("batch_fenced", partitions=partitions)
            self.state.fenced += 1
            self.assignment.let_go(partitions)
            return True
        except Exception as error:  # noqa: BLE001 - whatever it is, what was read must be posted
            self.state.failures += 1
            _log.warning("posting_failed", error=type(error).__name__)
            if timeout_seconds is not None and isinstance(error, TimeoutError):
                raise TooLong from None
            return False
        for advance in batch.advances:
            reading = self.assignment.readings.get((advance.topic, advance.partition))
            if reading is not None and reading.epoch == advance.epoch:
                reading.next_offset = advance.next_offset
        self.state.note_posted(batch, posted)
        return True


class _Delivery(KafkaAckableMessage):
    """A batch as it came; committing its offsets is tried but not waited for without end."""

    async def ack(self) -> None:
        with suppress(KafkaError, TimeoutError):
            async with timeout(_COMMIT_TIMEOUT_SECONDS):
                await super().ack()


async def _hand_on(message: Any) -> Any:
    return message.raw_message
