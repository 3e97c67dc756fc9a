"""Starts: where to read each partition on, after a look at whether it is still the same.

An offset says nothing about the log that it belongs to: a topic may have been deleted and made
again. So the record before the position is read once more and compared with what was read then.
"""

from __future__ import annotations

from asyncio import timeout
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from aiokafka import TopicPartition

from booking_credits.inbox.records import fingerprint
from booking_credits.kafka_ends import end_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from aiokafka import AIOKafkaConsumer

    from booking_credits.inbox.records import Record
    from booking_credits.postgres.positions import Held, Partition

ConsumerFactory: TypeAlias = "Callable[[], AIOKafkaConsumer]"
Surprise: TypeAlias = Literal["topic_recreated", "records_expired"]

_CALL_TIMEOUT_SECONDS: Final = 10
_LOOK_TIMEOUT_SECONDS: Final = 20
_POLL_MS: Final = 200


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read a partition on, and what had become of it, if that is not as it should be."""

    offset: int
    surprise: Surprise | None = None


async def find_starts(
    consumer_factory: ConsumerFactory, held: Mapping[Partition, Held]
) -> dict[Partition, Start]:
    """Find out where to read partitions on.

    The factory makes consumers that belong to no group, read what is committed and are not
    started. Whatever Kafka's client raises comes through.
    """
    if not held:
        return {}
    async with _started(consumer_factory()) as consumer, timeout(_LOOK_TIMEOUT_SECONDS):
        partitions = [TopicPartition(*partition) for partition in held]
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        starts = {p: _start(held[p], begins[p], ends[p]) for p in partitions}
        seen = {p: held[p].next_offset - 1 for p, start in starts.items() if start is None}
        records = await _read_at(consumer, seen)
    return {
        (p.topic, p.partition): start or _verified(held[p], records.get(p), begins[p])
        for p, start in starts.items()
    }


def _start(held: Held, begin: int, end: int) -> Start | None:
    """Decide by the log's two ends, or say with None that the last record has to be looked at."""
    if held.fingerprint is None:
        return Start(max(held.next_offset, begin))
    if held.next_offset > end:
        return Start(begin, "topic_recreated")
    if held.next_offset < begin:
        return Start(begin, "records_expired")
    return Start(begin) if held.next_offset == begin else None


def _verified(held: Held, record: Record | None, begin: int) -> Start:
    """Compare the last record; one that compaction took away proves nothing."""
    if record is None or fingerprint(record) == held.fingerprint:
        return Start(held.next_offset)
    return Start(begin, "topic_recreated")


async def _read_at(
    consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Record]:
    """Read the records that stand at offsets; where none does, none is returned."""
    consumer.assign(list(offsets))
    for partition, offset in offsets.items():
        consumer.seek(partition, offset)
    records: dict[TopicPartition, Record] = {}
    waiting = set(offsets)
    while waiting:
        # Singly: what stands behind it may be nothing that can be read.
        fetched = await consumer.getmany(*waiting, timeout_ms=_POLL_MS, max_records=1)
        for partition, batch in fetched.items():
            if batch and batch[0].offset == offsets[partition]:
                records[partition] = batch[0]
        waiting = await _not_passed(consumer, waiting, offsets)
    return records


async def _not_passed(
    consumer: AIOKafkaConsumer,
    partitions: Iterable[TopicPartition],
    offsets: Mapping[TopicPartition, int],
) -> set[TopicPartition]:
    return {p for p in partitions if await consumer.position(p) <= offsets[p]}


@asynccontextmanager
async def _started(consumer: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
    try:
        async with timeout(_CALL_TIMEOUT_SECONDS):
            await consumer.start()
        yield consumer
    finally:
        await end_client(consumer.stop(), _CALL_TIMEOUT_SECONDS)
