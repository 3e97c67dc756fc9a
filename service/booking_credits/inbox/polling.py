"""Polling: what Kafka's client hands over, without a hole.

The client moves on before it hands over. Where it fails at one partition, what it had taken of
others is gone, and its next answer begins behind that. So after a failure all partitions are set
back to where reading had come to, and read one by one; the one that fails by itself is let go and
taken over again later, after another look at it.
"""

from __future__ import annotations

import time
from random import sample
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiokafka import AIOKafkaConsumer

    from booking_credits.inbox.assignment import Assignment, Reading
    from booking_credits.inbox.records import Record

UNREADABLE_DELAY_SECONDS: Final = 30.0
_APART_SECONDS: Final = 5.0
_APART_POLL_MS: Final = 50
# The first may be to what was asked before it was set back.
_ANSWERS: Final = 2
# Kafka's other errors are of the group, or of the client.
_OF_PARTITIONS: Final = (
    CorruptRecordException,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)

_log = structlog.get_logger("inbox")


class Polling:
    """Asks a consumer for records, whatever its partitions hold."""

    def __init__(
        self,
        poll: Callable[[AIOKafkaConsumer], Awaitable[tuple[Record, ...]]],
        assignment: Assignment,
        most_records: int,
    ) -> None:
        """Ask by `poll` as long as that answers, for at most so many records otherwise."""
        self._poll = poll
        self._assignment = assignment
        self._most_records = most_records
        self._suspects: set[TopicPartition] = set()

    async def next_records(self, consumer: AIOKafkaConsumer) -> tuple[Record, ...]:
        """Return what comes next, those of a partition together and in order.

        Raises what the client raises where that has nothing to do with a partition that is read.
        """
        try:
            return await self._poll(consumer)
        except (ConsumerStoppedError, IllegalStateError):
            raise
        except NoOffsetForPartitionError as error:
            self._begin(consumer, *error.args)
            return ()
        except Exception as error:
            held = self._set_back(consumer)
            if not held or not _is_of_partition(error):
                raise
            _log.warning("poll_failed", error=type(error).__name__)
        return await self._next_apart(consumer, held)

    def _begin(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Give a partition a place that has none and is paused until its position is taken.

        As long as the client looks for one, it fetches nothing of others either.
        """
        is_read = (partition.topic, partition.partition) in self._assignment.readings
        if not is_read and partition in consumer.assignment():
            consumer.seek(partition, 0)

    def _set_back(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, Reading]:
        """Set every partition back to where reading had come to."""
        held = {TopicPartition(*p): reading for p, reading in self._assignment.readings.items()}
        for partition, reading in held.items():
            consumer.seek(partition, reading.next_offset)
        return held

    async def _next_apart(
        self, consumer: AIOKafkaConsumer, held: dict[TopicPartition, Reading]
    ) -> tuple[Record, ...]:
        """Read partitions one by one, those first that failed before.

        Where there is not the time for all of them, others come first the next time.
        """
        until = time.monotonic() + _APART_SECONDS
        found: list[Record] = []
        for partition in self._in_turn(held):
            if not await self._read_through(consumer, partition, held[partition], found, until):
                break
        return tuple(found)

    def _in_turn(self, held: Iterable[TopicPartition]) -> list[TopicPartition]:
        partitions = list(held)
        return sorted(sample(partitions, len(partitions)), key=lambda p: p not in self._suspects)

    async def _read_through(
        self,
        consumer: AIOKafkaConsumer,
        partition: TopicPartition,
        reading: Reading,
        found: list[Record],
        until: float,
    ) -> bool:
        """Add a partition's records to those found; False where it fails, or time or room is up.

        They come singly, so that those before a failure are handed over, which then comes first.
        """
        before = len(found)
        try:
            while len(found) < self._most_records:
                if len(found) > before:
                    records: list[Record] | None = await _records_of(consumer, partition, 0)
                else:
                    records = await _first_of(consumer, partition, until)
                if not records:
                    return records is not None
                found += records
        except Exception as error:
            if not _is_of_partition(error):
                if not found:
                    raise
            elif len(found) == before:
                self._let_go(partition, reading, error)
        return False

    def _let_go(self, partition: TopicPartition, reading: Reading, error: Exception) -> None:
        there = (partition.topic, partition.partition)
        if self._assignment.readings.get(there) is not reading:
            return
        if isinstance(error, OffsetOutOfRangeError):
            # Expired, or made anew: the look says which.
            self._assignment.let_go([there])
            return
        # It comes first the next time, so that others need not wait for it to be found again.
        self._suspects.add(partition)
        _log.error(
            "partition_unreadable",
            topic=partition.topic,
            partition=partition.partition,
            offset=reading.next_offset,
            error=type(error).__name__,
        )
        self._assignment.let_go([there], UNREADABLE_DELAY_SECONDS)


async def _first_of(
    consumer: AIOKafkaConsumer, partition: TopicPartition, until: float
) -> list[Record] | None:
    """Return a partition's next record, none where Kafka has none; None: it did not say in time."""
    answers, answered_at_ms = 0, consumer.last_poll_timestamp(partition)
    while answers < _ANSWERS:
        records = await _records_of(consumer, partition, _APART_POLL_MS)
        if records:
            return records
        if time.monotonic() > until:
            return None
        if answered_at_ms != consumer.last_poll_timestamp(partition):
            answers, answered_at_ms = answers + 1, consumer.last_poll_timestamp(partition)
    return []


async def _records_of(
    consumer: AIOKafkaConsumer, partition: TopicPartition, wait_ms: int
) -> list[Record]:
    fetched = await consumer.getmany(partition, timeout_ms=wait_ms, max_records=1)
    records: list[Record] = fetched.get(partition, [])
    return records


def _is_of_partition(error: Exception) -> bool:
    """Say whether an error may be of what a partition holds; decoding raises any kind."""
    return not isinstance(error, KafkaError) or isinstance(error, _OF_PARTITIONS)
