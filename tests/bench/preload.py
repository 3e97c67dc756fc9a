"""Preload: put events on Kafka as fast as it takes them, before any can be read."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import DefaultPartitioner

from bench.mix import Event

PARTITIONS: Final = 12

_BATCH_BYTES: Final = 512 * 1024
_TIMEOUT_SECONDS: Final = 120


async def create_topic(bootstrap: str, topic: str, partitions: int) -> None:
    """Create a topic on one broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()
    if answer.topic_errors[0][1] != 0:
        raise RuntimeError(f"Kafka refuses to create the topic {topic}: {answer}")


async def preload(bootstrap: str, topic: str, events: Sequence[Event]) -> None:
    """Publish events, those of an account in their order, and return when Kafka has them all.

    Who reads what is committed, as the service does, sees none before the last is there.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        max_batch_size=_BATCH_BYTES,
        transactional_id=f"{topic}-preload",
    )
    await producer.start()
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), producer.transaction():
            by_partition: dict[int, list[Event]] = defaultdict(list)
            for event in events:
                by_partition[partition_of(event.account_id)].append(event)
            await asyncio.gather(
                *(_publish(producer, topic, p, its) for p, its in by_partition.items())
            )
    finally:
        await producer.stop()


def partition_of(account_id: str) -> int:
    """Name the partition to which any producer sends an account's events."""
    partitions = list(range(PARTITIONS))
    return int(DefaultPartitioner()(account_id.encode(), partitions, partitions))


async def _publish(
    producer: AIOKafkaProducer, topic: str, partition: int, events: Sequence[Event]
) -> None:
    batch = producer.create_batch()
    for event in events:
        said = {"key": event.key, "value": event.value, "headers": event.headers}
        if batch.append(timestamp=None, **said) is None:
            await (await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(timestamp=None, **said)
    await (await producer.send_batch(batch, topic, partition=partition))
