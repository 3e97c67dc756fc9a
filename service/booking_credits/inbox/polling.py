"""Polling: what Kafka's client hands over, without a hole.

The client moves on before it hands over. Where it fails at one partition, what it had taken of
others is gone, and its next answer begins behind that. So after a failure all partitions are set
back to where reading had come to, and read one by one; the one that fails by itself is let go and
taken over again later, after another look at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from booking_credits.inbox.assignment import FENCED_DELAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka import AIOKafkaConsumer

    from booking_credits.inbox.assignment import Assignment
    from booking_credits.inbox.records import Record

UNREADABLE_DELAY_SECONDS: Final = 30.0
_APART_TIMEOUT_MS: Final = 200

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
            if not self._assignment.readings:
                raise
            _log.warning("poll_failed", error=type(error).__name__)
        return await self._next_apart(consumer)

    def _begin(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Give a partition a place that has none and is paused until its position is taken.

        As long as the client looks for one, it fetches nothing of others either.
        """
        is_read = (partition.topic, partition.partition) in self._assignment.readings
        if not is_read and partition in consumer.assignment():
            consumer.seek(partition, 0)

    async def _next_apart(self, consumer: AIOKafkaConsumer) -> tuple[Record, ...]:
        """Read partitions from where reading had come to, those first that failed before."""
        starts = {
            TopicPartition(*partition): reading.next_offset
            for partition, reading in self._assignment.readings.items()
        }
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        found: list[Record] = []
        for partition in sorted(starts, key=lambda p: p not in self._suspects):
            if not await self._read_through(consumer, partition, found):
                break
        return tuple(found)

    async def _read_through(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, found: list[Record]
    ) -> bool:
        """Add a partition's records to those found; False where it fails, or they are enough.

        They come singly, so that those before a failure are handed over, which then comes first.
        """
        came = 0
        try:
            while len(found) < self._most_records:
                wait_ms = 0 if came else _APART_TIMEOUT_MS
                fetched = await consumer.getmany(partition, timeout_ms=wait_ms, max_records=1)
                if not fetched:
                    self._suspects.discard(partition)
                    return True
                found.extend(fetched[partition])
                came += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this partition's
            if not came:
                self._let_go(partition, error)
        return False

    def _let_go(self, partition: TopicPartition, error: Exception) -> None:
        there = (partition.topic, partition.partition)
        reading = self._assignment.readings.get(there)
        if isinstance(error, OffsetOutOfRangeError):
            # Expired, or made anew: the look says which.
            self._assignment.let_go([there], FENCED_DELAY_SECONDS)
            return
        self._suspects.add(partition)
        _log.error(
            "partition_unreadable",
            topic=partition.topic,
            partition=partition.partition,
            offset=reading and reading.next_offset,
            error=type(error).__name__,
        )
        self._assignment.let_go([there], UNREADABLE_DELAY_SECONDS)
