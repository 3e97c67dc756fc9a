"""Polling: on a real Kafka, what cannot be read holds up its own partition and leaves no hole."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from structlog.testing import capture_logs

from booking_credits.inbox import polling
from booking_credits.inbox.starts import ConsumerFactory, Start, find_starts
from booking_credits.postgres.positions import Held, Partition
from inbox.worlds import DEADLINE_SECONDS, World, until

ROUNDS = 60


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_whatever_it_is_compressed_by_is_read(world: World, codec: str) -> None:
    """Publishers choose."""
    async with world.producing(compression_type=codec) as producer:
        await world.publish_by(producer, ["a"])
    async with world.reading():
        await until(lambda: world.names() == ["a"])


async def test_a_record_that_cannot_be_read_takes_nothing_of_other_partitions(
    wide_world: World,
) -> None:
    """They go on, and what stands before it is posted; it is named, and its partition waits."""
    world = wide_world
    names = [f"beside-{number}" for number in range(ROUNDS)]
    with capture_logs() as logs:
        async with world.reading() as inbox:
            await until(lambda: len(inbox.assignment.readings) == 4)
            await world.publish(["before"], partition=1)
            await world.publish_unreadable(partition=1)
            async with world.producing() as producer:
                for name in names:
                    await world.publish_by(producer, [name], partition=0)
                    await world.publish_by(producer, [f"{name}-too"], partition=2)
            await until(lambda: len(set(world.names())) == 2 * ROUNDS + 1)
            await until(lambda: (world.topic, 1) not in inbox.assignment.readings)
            assert 4 == len(inbox.assignment.assigned)

    assert sorted(world.names()) == sorted(["before", *names, *(f"{name}-too" for name in names)])
    named = {(log["partition"], log["offset"]) for log in logs if _is_unreadable(log)}
    assert {(1, 1)} == named


async def test_what_cannot_be_read_is_found_where_kafka_answers_slowly(world: World) -> None:
    """It is waited for until Kafka has answered for the partition."""
    await world.publish(["a"])
    await world.publish_unreadable(partition=0)
    with capture_logs() as logs:
        async with world.reading() as inbox:
            client = inbox._consumer()._client
            client.send = partial(_send_slowly, client.send)
            await until(lambda: any(_is_unreadable(log) for log in logs))
    assert ["a"] == world.names()


async def test_an_error_of_the_group_is_no_partitions(wide_world: World) -> None:
    """Nothing is let go for it, and it is told to whoever watches."""
    with capture_logs() as logs:
        async with wide_world.reading() as inbox:
            await until(lambda: len(inbox.assignment.readings) == 4)
            told = asyncio.ensure_future(
                inbox._consumer()._coordinator._push_error_to_user(KafkaError("passing"))
            )
            await asyncio.wait_for(told, DEADLINE_SECONDS)
            assert 4 == len(inbox.assignment.readings)
    assert [] == [log for log in logs if _is_unreadable(log)]


async def test_a_take_over_that_failed_leaves_to_others_what_they_took(
    wide_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it goes on in halves."""
    world = wide_world

    async def look(
        factory: ConsumerFactory, held: Mapping[Partition, Held]
    ) -> dict[Partition, Start]:
        if len(held) == 2:
            await until(lambda: (world.topic, 0) in inbox.assignment.readings)
            raise TimeoutError
        return await find_starts(factory, held)

    async with world.reading() as inbox:
        await until(lambda: len(inbox.assignment.readings) == 4)
        monkeypatch.setattr("booking_credits.inbox.assignment.find_starts", look)
        inbox.assignment.let_go([(world.topic, 0), (world.topic, 1)], 0)
        await asyncio.sleep(0.3)
        inbox.assignment.let_go([(world.topic, 0)], 0)
        await until(lambda: (world.topic, 0) in inbox.assignment.readings)
        reading = inbox.assignment.readings[world.topic, 0]
        await until(lambda: (world.topic, 1) in inbox.assignment.readings)
        await asyncio.sleep(0.5)
        assert reading is inbox.assignment.readings[world.topic, 0]


async def test_a_partition_is_read_again_once_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried now and then; here what could not be read has expired."""
    monkeypatch.setattr(polling, "UNREADABLE_DELAY_SECONDS", 1.0)
    await world.publish(["a"])
    await world.publish_unreadable(partition=0)
    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a"])
        await until(lambda: not inbox.assignment.readings)
        await world.publish(["b"])
        await world.delete_records(before_offset=2)
        await until(lambda: world.names() == ["a", "b"])
        assert 1 == inbox.assignment.records_expired


async def test_a_start_before_what_cannot_be_read_is_found(world: World) -> None:
    """The record before a position is looked at alone."""
    await world.publish(["a"])
    async with world.reading():
        await until(lambda: world.names() == ["a"])
    await world.publish_unreadable(partition=0)
    with capture_logs() as logs:
        async with world.reading():
            await until(lambda: any(_is_unreadable(log) for log in logs))
    assert [] == [log for log in logs if log["event"] == "partitions_not_taken"]


async def test_records_that_expire_under_way_are_told(world: World) -> None:
    """Retention may overtake a worker whose database is away for long."""
    async with world.reading() as inbox:
        await world.publish(["a"])
        await until(lambda: world.names() == ["a"])
        world.faults = [ConnectionError() for _ in range(1000)]
        await world.publish(["b"])
        await until(lambda: inbox.state.failures >= 2)
        await world.publish([f"c{number}" for number in range(20)])
        await world.delete_records(before_offset=15)
        world.faults = []
        await until(lambda: world.names()[-1:] == ["c19"])
        # What had been fetched before may be among them.
        assert [f"c{number}" for number in range(13, 20)] == world.names()[-7:]
        assert len(world.names()) < 22
        assert 1 == inbox.assignment.records_expired


async def test_a_partition_that_was_let_go_twice_is_taken_over_once(world: World) -> None:
    """Whoever was about to take it leaves it to the last: else each would fence the other."""
    async with world.reading() as inbox:
        await until(lambda: len(inbox.assignment.readings) == 1)
        inbox.assignment.let_go([(world.topic, 0)], delay_seconds=0.5)
        inbox.assignment.let_go([(world.topic, 0)], delay_seconds=0)
        await until(lambda: len(inbox.assignment.readings) == 1)
        reading = inbox.assignment.readings[world.topic, 0]
        await asyncio.sleep(1)
        assert reading is inbox.assignment.readings[world.topic, 0]


async def test_a_partition_that_kafka_does_not_show_holds_up_no_other(wide_world: World) -> None:
    """Those that are taken over with it are, in smaller and smaller parts."""
    wide_world.consumer_class = _Blind
    await wide_world.publish(["a"], partition=0)
    await wide_world.publish(["b"], partition=2)
    async with wide_world.reading() as inbox:
        await until(lambda: sorted(wide_world.names()) == ["a", "b"])
        await until(lambda: len(inbox.assignment.readings) == 3)


async def _send_slowly(send: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
    answer = await send(*args, **options)
    if type(args[1]).__name__.startswith("Fetch"):
        await asyncio.sleep(0.25)
    return answer


# aiokafka has no types.
class _Blind(AIOKafkaConsumer):  # type: ignore[misc]
    """Is told nothing of one partition, as when nobody leads it."""

    async def beginning_offsets(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]:
        if any(partition.partition == 3 for partition in partitions):
            raise TimeoutError
        offsets: dict[TopicPartition, int] = await super().beginning_offsets(partitions)
        return offsets


def _is_unreadable(log: MutableMapping[str, Any]) -> bool:
    return bool(log["event"] == "partition_unreadable")
