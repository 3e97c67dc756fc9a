"""Topic ids: what was read of a topic is posted only while it is that topic."""

import time
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from booking_credits.inbox import assignment, topic_ids
from booking_credits.inbox.starts import ConsumerFactory, Start, find_starts
from booking_credits.inbox.topic_ids import find_topic_ids
from booking_credits.postgres.positions import Held, Partition
from inbox.worlds import FENCED_DELAY_SECONDS, World, until


async def test_a_topic_that_was_made_anew_has_another_id(world: World) -> None:
    """A partition that nobody leads has none."""
    there, nowhere = TopicPartition(world.topic, 0), TopicPartition(world.topic, 7)
    found = []
    for _ in range(2):
        async with world.look() as consumer:
            await consumer.beginning_offsets([there])
            found.append(await find_topic_ids(consumer, [there, nowhere]))
        await world.recreate()
    before, after = found
    assert [{there}, {there}] == [set(before), set(after)]
    assert before != after


async def test_nothing_is_left_out_while_kafka_does_not_say_which_topic_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in hand is read again then, and posted once it is known."""
    async with world.reading() as inbox:
        await until(lambda: bool(inbox.assignment.readings))
        client = inbox._consumer()._client
        send, refusals = client.send, [KafkaConnectionError(), TimeoutError()]

        async def refuse(node: int, request: object, **options: Any) -> Any:
            if isinstance(request, topic_ids._MetadataRequest) and refusals:
                raise refusals.pop()
            return await send(node, request, **options)

        monkeypatch.setattr(client, "send", refuse)
        await world.publish(["a", "b"])
        await until(lambda: world.names() == ["a", "b"])
        assert [] == refusals


async def test_topics_that_kafka_says_nothing_of_are_asked_for_now_and_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time costs the database an epoch and Kafka a look."""

    async def say_nothing(*_: object) -> dict[TopicPartition, bytes | None]:
        return {}

    begun: list[float] = []
    ended: list[float] = []

    async def note(
        factory: ConsumerFactory, held: Mapping[Partition, Held]
    ) -> dict[Partition, Start]:
        begun.append(time.monotonic())
        starts = await find_starts(factory, held)
        ended.append(time.monotonic())
        return starts

    monkeypatch.setattr(assignment, "find_topic_ids", say_nothing)
    monkeypatch.setattr(assignment, "find_starts", note)
    await world.publish(["a"])
    async with world.reading():
        # A look that is broken off leaves a connection open (aiokafka 0.14).
        await until(lambda: len(ended) == 4)
    assert min(after - before for before, after in pairwise(begun)) >= FENCED_DELAY_SECONDS
    assert [] == world.names()


async def test_a_kafka_that_gives_topics_no_ids_is_read_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is too old for it says so."""
    monkeypatch.setattr(topic_ids._MetadataRequest12, "API_VERSION", 10_000)
    await world.publish(["a"])
    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a"])
        assert [None] == [reading.topic_id for reading in inbox.assignment.readings.values()]
