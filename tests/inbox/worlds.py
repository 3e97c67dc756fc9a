"""Worlds: a topic to publish to, and what inboxes make of it."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.record.util import calc_crc32c
from faststream.kafka import KafkaBroker

from booking_credits.inbox.subscriber import Inbox
from booking_credits.ledger.facts import CreditsGranted
from booking_credits.postgres.pool import Pool
from booking_credits.postgres.positions import Held, Partition, Positions, complete_through
from booking_credits.postgres.registry import advance_positions
from booking_credits.posting.batch import Batch, DeadLetter, Fenced, Posted
from builders import a_book, a_grant, at
from local.kafka import Kafka
from postgres.arrivals import record_of

DEADLINE_SECONDS = 40
BATCH_TIMEOUT_SECONDS = 1.0
FENCED_DELAY_SECONDS = 1.0

_NAME = b"a-header"
# In a batch of records, where the sum over all that follows stands.
_CRC_AT = 17

CreateTopic = Callable[..., Awaitable[str]]


class World:
    """A topic to publish to, and what inboxes made of it."""

    def __init__(self, kafka: Kafka, pool: Pool, topic: str) -> None:
        self.topic = topic
        self.batches: list[Batch] = []
        self.faults: list[Exception] = []
        self.most_at_once = 1000
        self.consumer_class = AIOKafkaConsumer
        self.positions = Positions(pool)
        self.now = at("2026-03-01 09:00")
        self._kafka = kafka
        self._pool = pool
        self._group_id = f"group-{uuid4().hex}"

    async def publish(self, names: Iterable[str], partition: int = 0) -> None:
        """Publish a grant for each name."""
        async with self.producing() as producer:
            await self.publish_by(producer, names, partition)

    async def publish_by(
        self, producer: AIOKafkaProducer, names: Iterable[str], partition: int = 0
    ) -> None:
        """Publish a grant for each name by a producer."""
        for name in names:
            record = record_of(a_grant(name))
            await producer.send_and_wait(
                self.topic, record.value, partition=partition, headers=list(record.headers)
            )

    async def publish_raw(
        self, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> None:
        """Publish any record."""
        async with self.producing() as producer:
            await producer.send_and_wait(self.topic, value, key=b"k", headers=headers, partition=0)

    async def publish_unreadable(self, partition: int) -> None:
        """Publish a record whose header's name is no text."""
        async with self.producing(enable_idempotence=False) as producer:
            batch = producer.create_batch()
            batch.append(timestamp=None, key=None, value=b"{}", headers=[(_NAME.decode(), b"")])
            raw = bytearray(batch._build())
            raw[raw.index(_NAME)] = 0xFF
            struct.pack_into(">I", raw, _CRC_AT, calc_crc32c(bytes(raw[_CRC_AT + 4 :])))
            batch._buffer = bytes(raw)
            await (await producer.send_batch(batch, self.topic, partition=partition))

    async def delete_records(self, before_offset: int) -> None:
        """Let the first partition's log begin at an offset, as when records expire."""
        async with self._administering() as admin:
            expired = RecordsToDelete(before_offset=before_offset)
            await admin.delete_records({TopicPartition(self.topic, 0): expired})

    @asynccontextmanager
    async def reading(self, positions: "Stubborn | None" = None) -> AsyncIterator[Inbox]:
        """Run an inbox for as long as the block lasts."""
        inbox = Inbox(
            KafkaBroker(
                self._kafka.bootstrap_servers,
                logger=None,
                allow_auto_create_topics=False,
                metadata_max_age_ms=1000,
                graceful_timeout=5,
            ),
            self.look,
            [self.topic],
            self._group_id,
            post=self._post,
            positions=positions or self.positions,
            book=a_book(),
            now=lambda: self.now,
            batch_timeout_seconds=BATCH_TIMEOUT_SECONDS,
        )
        await inbox.start()
        try:
            yield inbox
        finally:
            await inbox.stop()

    @asynccontextmanager
    async def holding_position(self, partition: int) -> AsyncIterator[None]:
        """Hold the row of a partition's position, so that nobody can take it."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "select from positions where topic = $1 and partition = $2 for update",
                self.topic,
                partition,
            )
            yield

    async def recreate(self, partitions: int = 1) -> None:
        """Delete the topic and make it anew under the same name."""
        async with self._administering() as admin:
            await admin.delete_topics([self.topic])
            async with asyncio.timeout(DEADLINE_SECONDS):
                while True:
                    made = await admin.create_topics([NewTopic(self.topic, partitions, 1)])
                    if made.topic_errors[0][1] == 0:
                        return
                    await asyncio.sleep(0.05)

    def look(self) -> AIOKafkaConsumer:
        """Make a consumer without a group."""
        return self.consumer_class(
            bootstrap_servers=self._kafka.bootstrap_servers,
            isolation_level="read_committed",
            enable_auto_commit=False,
        )

    def names(self) -> list[str]:
        """List the grants that were posted, in order."""
        return [
            arrival.fact.grant_id
            for batch in self.batches
            for arrival in batch.arrivals
            if isinstance(arrival.fact, CreditsGranted)
        ]

    def letters(self) -> list[DeadLetter]:
        """List the dead letters that were posted, in order."""
        return [letter for batch in self.batches for letter in batch.dead_letters]

    async def complete_through(self) -> datetime | None:
        """Say through which instant the topic was read."""
        async with self._pool.acquire() as connection:
            return await complete_through(connection, [self.topic])

    async def _post(self, batch: Batch) -> Posted:
        if self.faults:
            raise self.faults.pop(0)
        if len(batch.arrivals) > self.most_at_once:
            await asyncio.sleep(DEADLINE_SECONDS)
        moves = [
            (a.topic, a.partition, a.next_offset, a.fingerprint, a.owner, a.epoch, a.read_through)
            for a in batch.advances
        ]
        async with self._pool.acquire() as connection, connection.transaction():
            if not await advance_positions(connection, moves):
                raise Fenced
        self.batches.append(batch)
        return Posted()

    @asynccontextmanager
    async def producing(self, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
        """Run a producer for as long as the block lasts."""
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka.bootstrap_servers, **options)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    @asynccontextmanager
    async def _administering(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka.bootstrap_servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


class Stubborn:
    """Positions that cannot be taken for the first few times."""

    def __init__(self, positions: Positions, refusals: int) -> None:
        self.positions = positions
        self.refusals = refusals

    async def take(self, partitions: Iterable[Partition], owner: UUID) -> dict[Partition, Held]:
        if self.refusals:
            self.refusals -= 1
            raise ConnectionError
        return await self.positions.take(partitions, owner)

    async def note_ends(self, ends: Iterable[tuple[str, int, int, datetime]], owner: UUID) -> None:
        await self.positions.note_ends(ends, owner)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, but not for ever."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)
