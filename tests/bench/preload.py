"""Preload: put events on Kafka as fast as it takes them, before anyone reads."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import DefaultPartitioner

from bench.mix import Event

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
    """Publish events, those of an account in their order, and return when Kafka has them all."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            by_partition = await _sort(producer, topic, events)
            await asyncio.gather(
                *(_publish(producer, topic, p, its) for p, its in by_partition.items())
            )
    finally:
        await producer.stop()


async def _sort(
    producer: AIOKafkaProducer, topic: str, events: Sequence[Event]
) -> dict[int, list[Event]]:
    """Share events out as any producer would that publishes them one by one."""
    partitions = sorted(await producer.partitions_for(topic))
    choose = DefaultPartitioner()
    by_partition: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        by_partition[choose(event.key, partitions, partitions)].append(event)
    return by_partition


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
