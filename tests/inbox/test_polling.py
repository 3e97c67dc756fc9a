"""Polling: on a real Kafka, what cannot be read holds up its own partition and leaves no hole."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from structlog.testing import capture_logs

from booking_credits.inbox import polling
from inbox.worlds import World, until

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
    named = {(log["partition"], log["offset"]) for log in logs if _is_of(log, "unreadable")}
    assert {(1, 1)} == named


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
            await until(lambda: any(_is_of(log, "unreadable") for log in logs))
    assert [] == [log for log in logs if log["event"] == "partitions_not_taken"]


async def test_records_that_expire_under_way_are_told(world: World) -> None:
    """Retention may overtake a worker whose database is away for long."""
    async with world.reading() as inbox:
        await world.publish(["a"])
        await until(lambda: world.names() == ["a"])
        world.faults = [ConnectionError() for _ in range(6)]
        await world.publish(["b"])
        await until(lambda: inbox.state.failures >= 2)
        await world.publish([f"c{number}" for number in range(20)])
        await world.delete_records(before_offset=15)
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


def _is_of(log: MutableMapping[str, Any], kind: str) -> bool:
    return bool(log["event"] == f"partition_{kind}")
