"""Publisher: writes a page of announcements to Kafka and waits until all of it is there."""

from __future__ import annotations

import time
from asyncio import gather, timeout
from collections import defaultdict
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from aiokafka.errors import ProducerClosed, UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner

from booking_credits.kafka_ends import end_client

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from aiokafka import AIOKafkaProducer

    from booking_credits.postgres.outbox_queue import Queued

    Trace: TypeAlias = Callable[[Sequence[Queued]], AbstractContextManager[object]]

ProducerFactory: TypeAlias = "Callable[[], AIOKafkaProducer]"
Target: TypeAlias = tuple[str, int]

_START_TIMEOUT_SECONDS: Final = 20
_PUBLISH_TIMEOUT_SECONDS: Final = 30
_STOP_TIMEOUT_SECONDS: Final = 5
_TOPIC_TIMEOUT_SECONDS: Final = 3
# So that those who need a topic that is missing do not keep others waiting one after the other.
_TOPIC_MISSES_SECONDS: Final = 10
# As `write_headers` of the contracts writes them, which checks what is known to be right here.
_HEADERS: Final = (("content-type", b"application/json"), ("ce_specversion", b"1.0"))

_log = structlog.get_logger("outbox")


class TopicMissing(Exception):
    """Kafka says nothing of a topic."""


@lru_cache(maxsize=16_384)
def _partition_of(account_id: str, partitions: tuple[int, ...]) -> int:
    """Choose the partition of an account as any producer does, which takes it long."""
    among = list(partitions)
    partition: int = DefaultPartitioner()(account_id.encode(), among, among)
    return partition


# All of a batch are of one instant.
@lru_cache(maxsize=64)
def _written(instant: datetime) -> bytes:
    return f"{instant.isoformat()[:-6]}Z".encode()


class Publisher:
    """Publishes as CloudEvents in binary mode, keyed by account.

    A failure costs the producer: after one, an idempotent producer may refuse whatever follows.
    """

    def __init__(
        self,
        producer_factory: ProducerFactory,
        topics: Mapping[str, str],
        source: str,
        trace: Trace = nullcontext,
    ) -> None:
        """Publish each type of event to its topic, as events of a source.

        The factory makes producers that are idempotent, wait for all replicas and are not started.
        Each page is published within its `trace`.
        """
        self._producer_factory = producer_factory
        self._topics = topics
        self._source = source.encode()
        self._trace = trace
        self._producer: AIOKafkaProducer | None = None
        self._misses_until: dict[str, float] = {}

    async def publish(self, page: Sequence[Queued]) -> None:
        """Publish in order and return once Kafka has everything.

        Raises whatever went wrong; then part of the page may have been published.
        """
        try:
            producer = self._producer or await self._start()
            with self._trace(page):
                async with timeout(_PUBLISH_TIMEOUT_SECONDS):
                    await self._send(producer, page)
        except TopicMissing:
            # Before anything was sent.
            raise
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give the producer up, with whatever it has not published."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        # A producer waits for what it still has to publish, with Kafka away for ever (aiokafka
        # 0.14). So that goes first, and with it the task that would publish it.
        producer._message_accumulator.fail_all(ProducerClosed())  # noqa: SLF001
        if producer._sender.sender_task is not None:  # noqa: SLF001
            producer._sender.sender_task.cancel()  # noqa: SLF001
        await end_client(producer.stop(), _STOP_TIMEOUT_SECONDS)
        # The task that is gone takes the producer's own end along before it closes its connections.
        await end_client(producer.client.close(), _STOP_TIMEOUT_SECONDS)

    async def _start(self) -> AIOKafkaProducer:
        self._producer = self._producer_factory()
        async with timeout(_START_TIMEOUT_SECONDS):
            await self._producer.start()
        return self._producer

    async def _send(self, producer: AIOKafkaProducer, page: Sequence[Queued]) -> None:
        """Send a partition's events in as few batches as they fit into, one after the other."""
        by_key: dict[tuple[str, str], list[Queued]] = defaultdict(list)
        for queued in page:
            by_key[self._topics[queued.type], queued.account_id].append(queued)
        by_target: dict[Target, list[Queued]] = defaultdict(list)
        for (topic, account_id), events in by_key.items():
            partitions = await self._partitions_of(producer, topic)
            by_target[topic, _partition_of(account_id, partitions)].extend(events)
        await gather(
            *(self._send_to(producer, target, events) for target, events in by_target.items())
        )

    async def _partitions_of(self, producer: AIOKafkaProducer, topic: str) -> tuple[int, ...]:
        if time.monotonic() < self._misses_until.get(topic, 0.0):
            raise TopicMissing
        try:
            async with timeout(_TOPIC_TIMEOUT_SECONDS):
                return tuple(sorted(await producer.partitions_for(topic)))
        except (TimeoutError, UnknownTopicOrPartitionError):
            self._misses_until[topic] = time.monotonic() + _TOPIC_MISSES_SECONDS
            _log.error("topic_missing", topic=topic)
            raise TopicMissing from None

    async def _send_to(
        self, producer: AIOKafkaProducer, target: Target, events: Iterable[Queued]
    ) -> None:
        topic, partition = target
        sent: list[Future[object]] = []
        batch = producer.create_batch()
        for queued in events:
            record = self._record(queued)
            if batch.append(timestamp=None, **record) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, **record)
        sent.append(await producer.send_batch(batch, topic, partition=partition))
        await gather(*sent)

    def _record(self, queued: Queued) -> dict[str, object]:
        account = queued.account_id.encode()
        headers = [
            *_HEADERS,
            ("ce_source", self._source),
            ("ce_id", str(queued.event_id).encode()),
            ("ce_type", queued.type.encode()),
            ("ce_time", _written(queued.recorded_at)),
            ("ce_subject", account),
        ]
        if queued.traceparent is not None:
            headers.append(("traceparent", queued.traceparent.encode()))
        return {"key": account, "value": queued.payload.encode(), "headers": headers}
