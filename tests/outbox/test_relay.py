"""Relay: on a real Kafka and Postgres, everything goes out, in order, whatever breaks."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from structlog.testing import capture_logs

from booking_credits.outbox import publisher
from booking_credits.outbox import relay as relay_module
from booking_credits.outbox.relay import Relay
from booking_credits.postgres.outbox_queue import OutboxQueue, Queued
from booking_credits.posting.shards import shard_of
from builders import at
from local.kafka import Kafka

TYPE = "balance-changed"
MISSING_TYPE = "overage-detected"
DEADLINE_SECONDS = 20
NAMESPACE = UUID("2f0e2a57-8f2b-4f6e-9a2e-3f5b3b0f4a11")

CreateTopic = Callable[..., Awaitable[str]]
Record: TypeAlias = ConsumerRecord[Any, Any]


class Outbox:
    """What a test puts into the outbox and finds in the topic."""

    def __init__(self, dsn: str, kafka: Kafka, topic: str) -> None:
        self.dsn = dsn
        self.topic = topic
        self._kafka = kafka

    async def put(
        self, account_id: str, sequences: Sequence[int], payload: str = "{}", kind: str = TYPE
    ) -> None:
        """Announce something of an account, in one transaction."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(
                """
                with announced as (
                    insert into announcements
                    select $1, n, 1, $2, i, 1, $3, $4::json
                    from unnest($5::bigint[], $6::uuid[]) as a (n, i)
                    returning account_id, sequence, part
                )
                insert into outbox (shard, account_id, sequence, part)
                select $7, account_id, sequence, part from announced order by sequence
                """,
                account_id,
                kind,
                at("2026-03-01 09:00"),
                payload,
                list(sequences),
                [event_id(account_id, sequence) for sequence in sequences],
                shard_of(account_id),
            )
        finally:
            await connection.close()

    async def left(self) -> int:
        """Count what waits to be published."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return int(await connection.fetchval("select count(*) from outbox"))
        finally:
            await connection.close()

    async def read(self) -> list[Record]:
        """Read all that was published, partition by partition."""
        consumer = AIOKafkaConsumer(
            self.topic,
            bootstrap_servers=self._kafka.bootstrap_servers,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            records: list[Record] = []
            ends = await consumer.end_offsets(consumer.assignment())
            for partition, end in ends.items():
                while await consumer.position(partition) < end:
                    batch = await consumer.getmany(partition, timeout_ms=200)
                    records += batch.get(partition, [])
            return records
        finally:
            await consumer.stop()

    def relay(self, queue: OutboxQueue | None = None, **options: Any) -> Relay:
        """Make a relay that publishes to the topic."""
        return Relay(
            queue or OutboxQueue(self.dsn),
            options.pop("producers", self.producer),
            {TYPE: self.topic, MISSING_TYPE: f"{self.topic}-missing"},
        )

    def producer(self) -> AIOKafkaProducer:
        """Make a producer as the relay wants it."""
        return AIOKafkaProducer(
            bootstrap_servers=self._kafka.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            max_batch_size=512 * 1024,
            max_request_size=8 * 1024 * 1024,
            request_timeout_ms=5000,
        )


@pytest.fixture
async def outbox(database: str, kafka: Kafka, topics: CreateTopic) -> Outbox:
    """An empty outbox, and a topic of four partitions to publish to."""
    return Outbox(database, kafka, await topics(TYPE, partitions=4))


class ForgetfulQueue(OutboxQueue):
    """A queue that breaks, so many times, just before it would remove what was published."""

    def __init__(self, dsn: str, breaks: int) -> None:
        super().__init__(dsn)
        self.breaks = breaks

    async def remove(self, published: Sequence[Queued]) -> bool:
        if self.breaks:
            self.breaks -= 1
            await self.close()
        return await super().remove(published)


async def test_everything_goes_out_in_the_order_of_each_account(outbox: Outbox) -> None:
    """Events are keyed by account, whole, and in the order of their sequence."""
    accounts = [f"account-{number}" for number in range(12)]
    for first in (1, 11):
        for account_id in accounts:
            await outbox.put(account_id, range(first, first + 10), json.dumps({"n": account_id}))

    async with running(outbox.relay()) as relay:
        await until(lambda: relay.state.published == 240)
    records = await outbox.read()

    assert 0 == await outbox.left()
    assert {account: list(range(1, 21)) for account in accounts} == sequences(records, accounts)
    for record in records:
        assert {"n": record.key.decode()} == json.loads(record.value)
    assert {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": str(event_id("account-0", 1)).encode(),
        "ce_source": b"booking-credits",
        "ce_type": TYPE.encode(),
        "ce_time": b"2026-03-01T09:00:00Z",
        "ce_subject": b"account-0",
    } == dict(next(r for r in records if r.key == b"account-0").headers)
    assert len({record.partition for record in records}) > 1


async def test_an_account_keeps_the_partition_that_any_producer_would_choose(
    outbox: Outbox,
) -> None:
    """Keys are spread as Kafka's own clients spread them."""
    for number in range(8):
        await outbox.put(f"account-{number}", [1])
    async with running(outbox.relay()) as relay:
        await until(lambda: relay.state.published == 8)
    published = {record.key: record.partition for record in await outbox.read()}

    producer = outbox.producer()
    await producer.start()
    try:
        chosen = {
            key: (await producer.send_and_wait(outbox.topic, b"", key=key)).partition
            for key in published
        }
    finally:
        await producer.stop()
    assert chosen == published


async def test_what_was_published_before_a_crash_comes_again_with_the_same_ids(
    outbox: Outbox,
) -> None:
    """Between Kafka's answer and its removal from the queue, an event may only be repeated."""
    await outbox.put("mina-and-sons", range(1, 31))

    async with running(outbox.relay(ForgetfulQueue(outbox.dsn, breaks=2))) as relay:
        await until(lambda: relay.state.published == 30)
    records = await outbox.read()

    once = [str(event_id("mina-and-sons", n)).encode() for n in range(1, 31)]
    assert once * 3 == [dict(record.headers)["ce_id"] for record in records]


async def test_what_comes_while_the_relay_runs_goes_out_at_once(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The relay is told by Postgres, and does not wait for its next look."""
    monkeypatch.setattr(relay_module, "_LOOK_EVERY_SECONDS", 3 * DEADLINE_SECONDS)
    async with running(outbox.relay()) as relay:
        await until(lambda: relay.state.led == set(range(16)))
        for sequence in range(1, 6):
            await outbox.put("mina-and-sons", [sequence])
            await until(partial(_has_published, relay, sequence))

    assert {"mina-and-sons": [1, 2, 3, 4, 5]} == sequences(await outbox.read(), ["mina-and-sons"])


async def test_of_two_relays_one_leads_until_it_stops(outbox: Outbox) -> None:
    """Nothing is published twice, and nothing waits once the other has taken over."""
    async with running(outbox.relay()) as first:
        await until(lambda: len(first.state.led) == 16)
        async with running(outbox.relay()) as second:
            await outbox.put("mina-and-sons", range(1, 11))
            await until(lambda: first.state.published == 10)
            assert set() == second.state.led
            await first.stop()
            await outbox.put("mina-and-sons", range(11, 21))
            await until(lambda: second.state.published == 10)

    assert {"mina-and-sons": list(range(1, 21))} == sequences(
        await outbox.read(), ["mina-and-sons"]
    )


async def test_a_session_that_is_cut_is_replaced(outbox: Outbox) -> None:
    """The relay leads again with a new session."""
    async with running(outbox.relay()) as relay:
        await outbox.put("mina-and-sons", [1])
        await until(lambda: relay.state.published == 1)
        connection = await asyncpg.connect(outbox.dsn)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'booking-credits outbox' and datname = current_database()"
        )
        await connection.close()
        await outbox.put("mina-and-sons", [2])
        await until(lambda: relay.state.published == 2)

    assert {"mina-and-sons": [1, 2]} == sequences(await outbox.read(), ["mina-and-sons"])


async def test_a_session_that_lost_its_lead_removes_nothing(outbox: Outbox) -> None:
    """Removing asks whether the session that asks still leads."""
    await outbox.put("mina-and-sons", [1])
    shard = shard_of("mina-and-sons")
    queue = OutboxQueue(outbox.dsn)
    await queue.open(lambda: None)
    try:
        page = await queue.read_pages([shard])
        assert not await queue.remove(page)
        assert await queue.lead(shard)
        assert await queue.remove(page)
    finally:
        await queue.close()


async def test_an_event_that_kafka_refuses_holds_up_its_shard_alone(outbox: Outbox) -> None:
    """A refusal costs a producer, not the others' events nor their order."""
    kept_up, *others = (f"account-{number}" for number in range(30))
    others = [name for name in others if shard_of(name) != shard_of(kept_up)]
    await outbox.put(kept_up, [1], json.dumps("x" * 1_100_000))
    async with running(outbox.relay()) as relay:
        await until(lambda: relay.state.failures > 0)
        for account_id in others:
            await outbox.put(account_id, [1, 2, 3])
        await until(lambda: relay.state.published == 3 * len(others))
        await until(lambda: relay.state.failures > 1)
        assert at("2026-03-01 09:00") == relay.state.oldest_unpublished

    assert {name: [1, 2, 3] for name in others} == sequences(await outbox.read(), others)
    assert 1 == await outbox.left()


async def test_a_shard_that_fails_is_tried_less_and_less_often(outbox: Outbox) -> None:
    """Whatever others get done meanwhile: each time costs them a producer."""
    failing, *others = (f"account-{number}" for number in range(30))
    other = next(name for name in others if shard_of(name) != shard_of(failing))
    await outbox.put(failing, [1], json.dumps("x" * 1_100_000))
    with capture_logs() as logs:
        async with running(outbox.relay()) as relay:
            number = 0
            while relay.state.failures < 7:
                number += 1
                await outbox.put(other, [number])
                await until(partial(_has_published, relay, number))
    # The first time it may have been together with the other.
    alone = [log for log in logs if log.get("shards") == [shard_of(failing)]]
    # Doubled five times from a tenth of a second, and no less than half of it.
    assert alone[5]["again_in_seconds"] >= 1.6


async def test_a_topic_that_is_missing_holds_up_who_needs_it(outbox: Outbox) -> None:
    """However many shards do, the others' events go out as they come."""
    kept_up = {shard_of(name): name for name in (f"account-{number}" for number in range(200))}
    _, other = kept_up.popitem()
    for name in kept_up.values():
        await outbox.put(name, [1], kind=MISSING_TYPE)
    async with running(outbox.relay()) as relay:
        await until(lambda: relay.state.failures > 1)
        for number in (1, 2, 3):
            await outbox.put(other, [number])
            await until(partial(_has_published, relay, number))

    assert {other: [1, 2, 3]} == sequences(await outbox.read(), [other])
    assert len(kept_up) == await outbox.left()


async def test_a_page_ends_before_it_grows_too_large(outbox: Outbox) -> None:
    """Pages are bounded in bytes, but always hold one event."""
    await outbox.put("mina-and-sons", range(1, 6), json.dumps("x" * 200_000))
    queue = OutboxQueue(outbox.dsn)
    await queue.open(lambda: None)
    try:
        assert 2 == len(await queue.read_pages([shard_of("mina-and-sons")]))
    finally:
        await queue.close()


async def test_a_relay_starts_and_stops_once_however_often_asked(outbox: Outbox) -> None:
    """Starting and stopping again change nothing."""
    relay = outbox.relay()
    await relay.stop()
    relay.start()
    relay.start()
    await until(lambda: relay.state.last_looked_at is not None)
    await relay.stop()
    await relay.stop()


@pytest.mark.slow
async def test_while_kafka_hangs_the_relay_stops_in_time_and_nothing_is_lost(
    outbox: Outbox, kafka: Kafka
) -> None:
    """What is in flight is given up, and published by whoever comes next."""
    if not kafka.controllable:
        pytest.skip("this Kafka cannot be paused")
    async with running(outbox.relay()) as relay:
        await outbox.put("mina-and-sons", [1])
        await until(lambda: relay.state.published == 1)
        kafka.pause()
        try:
            await outbox.put("mina-and-sons", [2])
            await until(lambda: relay.state.oldest_unpublished is not None)
            async with asyncio.timeout(12):
                await relay.stop()
        finally:
            kafka.resume()
    assert 1 == await outbox.left()

    async with running(outbox.relay()) as relay:
        await until(lambda: relay.state.published == 1)
    assert [1, 2] == sorted(set(sequences(await outbox.read(), ["mina-and-sons"])["mina-and-sons"]))


async def test_while_kafka_is_away_the_relay_goes_on_trying(
    outbox: Outbox, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away for longer than a page may take: producers are given up, and the relay is not."""
    if not kafka.controllable:
        pytest.skip("this Kafka cannot be killed")
    monkeypatch.setattr(publisher, "_PUBLISH_TIMEOUT_SECONDS", 3)
    async with running(outbox.relay()) as relay:
        await outbox.put("mina-and-sons", [1])
        await until(lambda: relay.state.published == 1)
        kafka.pause()
        try:
            await outbox.put("mina-and-sons", [2])
            await until(lambda: relay.state.oldest_unpublished is not None)
            await asyncio.to_thread(kafka.kill)
            await until(lambda: relay.state.failures >= 2)
        finally:
            await asyncio.to_thread(kafka.kill)
            await asyncio.to_thread(kafka.start)
        await until(lambda: relay.state.published == 2)
    assert {"mina-and-sons": [1, 2]} == sequences(await outbox.read(), ["mina-and-sons"])


def _has_published(relay: Relay, events: int) -> bool:
    return relay.state.published == events


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[Relay]:
    """Run a relay for as long as the block lasts."""
    relay.start()
    try:
        yield relay
    finally:
        await relay.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, but not for ever."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


def event_id(account_id: str, sequence: int) -> UUID:
    """Name an event."""
    return uuid5(NAMESPACE, f"{account_id}/{sequence}")


def sequences(records: Sequence[Record], accounts: Sequence[str]) -> dict[str, list[int]]:
    """List the sequence numbers of each account in the order in which they came."""
    ids = {str(event_id(a, n)).encode(): (a, n) for a in accounts for n in range(1, 50)}
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        account_id, sequence = ids[dict(record.headers)["ce_id"]]
        assert account_id == record.key.decode()
        found[account_id].append(sequence)
    return dict(found)
