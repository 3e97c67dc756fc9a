"""Subscriber: on a real Kafka and Postgres, every record is posted, whatever breaks."""

import asyncio
from datetime import UTC, datetime
from threading import Thread
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.subscription_state import SubscriptionState

from booking_credits.inbox import assignment
from booking_credits.inbox.starts import Start, find_starts
from booking_credits.postgres.pool import open_pool
from booking_credits.postgres.positions import Held
from booking_credits.posting.batch import Batch, Posted
from builders import at
from inbox import worlds
from inbox.worlds import DEADLINE_SECONDS, CreateTopic, Stubborn, World, until
from local.kafka import Kafka

A_DAY_SECONDS = 86_400.0


async def test_records_are_posted_in_order_with_how_far_they_were_read(world: World) -> None:
    """Each batch moves the partition's position, and a restart reads on from there."""
    await world.publish(["a", "b", "c"])
    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a", "b", "c"])
        assert {(world.topic, 0): 0} == inbox.lags()
    await world.publish(["d"])
    async with world.reading():
        await until(lambda: world.names() == ["a", "b", "c", "d"])

    assert 4 == world.batches[-1].advances[0].next_offset
    [arrival] = world.batches[-1].arrivals
    assert arrival.origin is not None
    assert (world.topic, 0, 3) == (
        arrival.origin.topic,
        arrival.origin.partition,
        arrival.origin.offset,
    )


async def test_a_topic_is_complete_through_the_instant_at_which_its_end_was_seen(
    kafka: Kafka, database: str, topics: CreateTopic
) -> None:
    """An idle partition does not hold up the others; what was never read is not complete."""
    pool = await open_pool(database, application_name="test", max_size=4)
    world = World(kafka, pool, await topics("facts", partitions=2))
    world.now = datetime.now(UTC)
    assert None is await world.complete_through()
    try:
        await world.publish(["a"])
        async with world.reading():
            await until(lambda: world.names() == ["a"])
            began_at = world.now
            async with asyncio.timeout(DEADLINE_SECONDS):
                while (await world.complete_through() or began_at) <= began_at:
                    world.now = datetime.now(UTC)
                    await asyncio.sleep(0.1)
        stopped_at, through = world.now, await world.complete_through()
        assert through is not None
        assert began_at < through <= stopped_at
    finally:
        await pool.close()


async def test_a_record_through_which_was_read_is_never_of_the_future(world: World) -> None:
    """Whatever time its publisher gave it."""
    world.now = at("2026-03-01 09:00")
    await world.publish(["a"])
    async with world.reading():
        await until(lambda: world.names() == ["a"])
        [advance] = world.batches[-1].advances
        assert world.now == advance.read_through


async def test_the_end_of_a_transaction_is_nothing_to_wait_for(world: World) -> None:
    """It takes an offset that holds no record; once it was seen, nothing is left to read."""
    async with world.producing(transactional_id=uuid4().hex) as p, p.transaction():
        await p.send(world.topic, b"not an event", partition=0)
    async with world.reading() as inbox:
        await until(lambda: len(world.letters()) == 1)
        await until(lambda: inbox.lags() == {(world.topic, 0): 0})


async def test_a_record_that_cannot_be_read_blocks_no_neighbour(world: World) -> None:
    """Headers that are no text, no headers, no value: each becomes a dead letter in its place."""
    await world.publish(["before"])
    await world.publish_raw(b"{}", [("ce_type", b"\xff\xfe")])
    await world.publish_raw(b"{}", [("ce_type", None)])
    await world.publish_raw(None, [])
    await world.publish_raw(b"{bad", [])
    await world.publish(["after"])

    async with world.reading():
        await until(lambda: world.names() == ["before", "after"])

    assert [
        (1, "not_utf8"),
        (2, "missing_attribute"),
        (3, "empty_value"),
        (4, "missing_attribute"),
    ] == [(letter.origin.offset, letter.reason) for letter in world.letters()]


async def test_while_the_database_fails_a_batch_is_tried_again_and_nothing_is_skipped(
    world: World,
) -> None:
    """A failure postpones; it loses nothing and repeats nothing."""
    world.faults = [ConnectionError(), TimeoutError(), ConnectionError()]
    await world.publish(["a", "b"])

    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a", "b"])
        await world.publish(["c"])
        await until(lambda: world.names() == ["a", "b", "c"])
        assert 3 == inbox.state.failures


async def test_a_batch_waits_for_its_database_as_a_member_of_its_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long: Kafka's client would leave by itself once nothing had been read for a while."""
    async with world.reading() as inbox:
        await until(lambda: bool(inbox.assignment.readings))
        world.faults = [ConnectionError() for _ in range(1000)]
        await world.publish(["a"])
        await until(lambda: inbox.state.failures >= 1)
        coordinator = inbox._consumer()._coordinator
        generation, beats, beat = coordinator.generation, [], coordinator._do_heartbeat

        async def count() -> bool:
            beats.append(await beat())
            return bool(beats[-1])

        monkeypatch.setattr(SubscriptionState, "fetcher_idle_time", A_DAY_SECONDS)
        monkeypatch.setattr(coordinator, "_do_heartbeat", count)
        await until(lambda: len(beats) == 3)
        assert [True] * 3 == beats
        assert generation == coordinator.generation
        world.faults = []
        await until(lambda: world.names() == ["a"])


async def test_a_batch_that_takes_too_long_is_posted_in_halves(world: World) -> None:
    """Each in a time of its own and with its position, until they are small enough."""
    world.most_at_once = 2
    names = [f"grant-{number}" for number in range(7)]
    async with world.producing(transactional_id="all-at-once") as producer, producer.transaction():
        await world.publish_by(producer, names)

    async with world.reading() as inbox:
        await until(lambda: world.names() == names)
        assert [1, 2, 2, 2] == [len(batch.arrivals) for batch in world.batches]
        assert 3 == inbox.state.failures


async def test_nothing_is_left_out_where_a_partition_is_lost_between_halves(
    wide_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after a part that was refused is not posted in its place."""
    world, post, calls = wide_world, wide_world._post, 0
    monkeypatch.setattr(worlds, "BATCH_TIMEOUT_SECONDS", 3.0)
    # So that the first partition's records come first.
    monkeypatch.setattr("aiokafka.consumer.fetcher.random.shuffle", list.sort)

    async def post_slowly(batch: Batch) -> Posted:
        nonlocal calls
        calls += 1
        if calls == 1:
            await world.positions.take([(world.topic, 0)], uuid4())
        if calls in (1, 3):
            await asyncio.sleep(DEADLINE_SECONDS)
        return await post(batch)

    monkeypatch.setattr(world, "_post", post_slowly)
    first, second = [f"x{number}" for number in range(6)], ["y0", "y1"]
    async with world.producing(transactional_id=uuid4().hex) as producer, producer.transaction():
        await world.publish_by(producer, first, partition=0)
        await world.publish_by(producer, second, partition=1)
    async with world.reading():
        await until(lambda: sorted(world.names()) == [*first, *second])


async def test_a_batch_that_is_posted_in_parts_is_in_hand_until_the_last(world: World) -> None:
    """Its age goes on, while each part has the time that the watchdog grants."""
    world.most_at_once = 1
    async with world.producing(transactional_id="all-at-once") as producer, producer.transaction():
        await world.publish_by(producer, ["a", "b", "c", "d"])

    async with world.reading() as inbox:
        await until(lambda: inbox.state.batch_began_at is not None)
        began_at = inbox.state.batch_began_at
        await until(lambda: inbox.state.failures == 2)
        assert began_at == inbox.state.batch_began_at
        assert inbox.state.posting_began_at != began_at
        await until(lambda: inbox.state.batch_began_at is None)
        assert ["a", "b", "c", "d"] == world.names()


async def test_a_record_that_takes_long_by_itself_is_given_its_time(world: World) -> None:
    """There is nothing to halve: what fails is tried again."""
    world.faults = [TimeoutError()]
    await world.publish(["a"])

    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a"])
        assert 1 == inbox.state.failures


async def test_an_inbox_stops_in_time_while_the_database_fails(world: World) -> None:
    """The batch in hand is given up and read again by whoever comes next."""
    world.faults = [ConnectionError() for _ in range(1000)]
    await world.publish(["a"])
    async with world.reading() as inbox:
        await until(lambda: inbox.state.failures > 0)
        async with asyncio.timeout(8):
            await inbox.stop()
    assert [] == world.names()

    world.faults = []
    async with world.reading():
        await until(lambda: world.names() == ["a"])


async def test_nothing_is_read_until_positions_are_taken(world: World) -> None:
    """A partition stays paused while the database does not say where to read on."""
    await world.publish(["a"])
    async with world.reading():
        await until(lambda: world.names() == ["a"])
    await world.publish(["b"])

    stubborn = Stubborn(world.positions, refusals=3)
    async with world.reading(stubborn):
        await until(lambda: stubborn.refusals == 1)
        assert ["a"] == world.names()
        await until(lambda: world.names() == ["a", "b"])


async def test_a_position_that_another_holds_keeps_its_partition_alone_waiting(
    wide_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a batch of a worker that had it before may, until it ends."""
    monkeypatch.setattr(assignment, "_TAKE_TIMEOUT_SECONDS", 0.5)
    world = wide_world
    await world.positions.take([(world.topic, number) for number in range(4)], uuid4())
    for number in range(4):
        await world.publish([f"of-{number}"], partition=number)
    async with world.reading():
        async with world.holding_position(2):
            await until(lambda: len(world.names()) == 3)
            assert ["of-0", "of-1", "of-3"] == sorted(world.names())
        await until(lambda: world.names()[3:] == ["of-2"])


async def test_what_another_owner_took_is_dropped_and_read_again_once_taken_back(
    world: World,
) -> None:
    """A batch of an owner that was replaced is not posted; while assigned, it takes over again."""
    async with world.reading() as inbox:
        await until(lambda: len(inbox.assignment.readings) == 1)
        await world.positions.take([(world.topic, 0)], uuid4())
        await world.publish(["a", "b"])
        await until(lambda: inbox.state.fenced == 1)
        await until(lambda: world.names() == ["a", "b"])


@pytest.mark.parametrize("names", [["x"], ["x", "y", "z", "more"]], ids=["shorter", "longer"])
async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    world: World, names: list[str]
) -> None:
    """The position is of another log: past its end, or before it stands another record."""
    await world.publish(["a", "b", "c"])
    async with world.reading():
        await until(lambda: world.names() == ["a", "b", "c"])
    await world.recreate()
    await world.publish(names)

    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a", "b", "c", *names])
        assert 1 == inbox.assignment.topics_recreated


@pytest.mark.slow
async def test_a_topic_that_is_made_anew_under_way_is_read_from_its_beginning(
    world: World,
) -> None:
    """Records below the position say that the log is another one."""
    await world.publish(["a", "b", "c"])
    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a", "b", "c"])
        await world.recreate()
        await world.publish(["x", "y"])
        await until(lambda: world.names() == ["a", "b", "c", "x", "y"])
        assert inbox.assignment.topics_recreated


async def test_a_topic_that_was_made_anew_between_two_fetches_is_read_from_its_beginning(
    world: World,
) -> None:
    """Neither the client nor its position tells: it has grown past where the old one ended."""

    async def make_anew() -> None:
        await world.recreate()
        await world.publish(["b", "c", "d"])

    async with world.reading() as inbox:
        await world.publish(["a"])
        await until(lambda: world.names() == ["a"])
        # Whoever reads is held up meanwhile, as it shares this thread's event loop.
        another = Thread(target=asyncio.run, args=(make_anew(),))
        another.start()
        another.join(DEADLINE_SECONDS)
        await until(lambda: world.names() == ["a", "b", "c", "d"])
        assert 1 == inbox.assignment.topics_recreated


async def test_a_topic_that_was_made_anew_behind_a_long_batch_is_read_from_its_beginning(
    world: World,
) -> None:
    """By then it may have grown past the position, which says nothing any more."""
    async with world.reading() as inbox:
        await world.publish(["a"])
        await until(lambda: world.names() == ["a"])
        world.faults = [ConnectionError() for _ in range(1000)]
        await world.publish(["b"])
        await until(lambda: inbox.state.failures >= 1)
        await world.recreate()
        await world.publish(["c", "d", "e"])
        world.faults = []
        await until(lambda: world.names() == ["a", "b", "c", "d", "e"])
        assert 1 == inbox.assignment.topics_recreated


async def test_records_below_the_position_make_an_inbox_look_again(world: World) -> None:
    """They are not posted again where the log is the same, and reading goes on behind them."""
    await world.publish(["a", "b"])
    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a", "b"])
        inbox._consumer().seek(TopicPartition(world.topic, 0), 0)
        await until(lambda: not inbox.assignment.readings)
        await world.publish(["c"])
        await until(lambda: world.names() == ["a", "b", "c"])
        assert 0 == inbox.assignment.topics_recreated


@pytest.mark.slow
async def test_an_inbox_stops_in_time_while_kafka_hangs(world: World, kafka: Kafka) -> None:
    """Nobody has to wait for a server that does not answer."""
    if not kafka.controllable:
        pytest.skip("this Kafka cannot be paused")
    await world.publish(["a"])
    async with world.reading() as inbox:
        await until(lambda: world.names() == ["a"])
        kafka.pause()
        try:
            async with asyncio.timeout(12):
                await inbox.stop(timeout_seconds=6)
        finally:
            kafka.resume()


@pytest.mark.slow
async def test_after_kafka_was_away_reading_goes_on(world: World, kafka: Kafka) -> None:
    """An outage of Kafka postpones; it loses nothing and repeats nothing."""
    if not kafka.controllable:
        pytest.skip("this Kafka cannot be stopped")
    await world.publish(["a"])
    async with world.reading():
        await until(lambda: world.names() == ["a"])
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        await world.publish(["b"])
        await until(lambda: world.names() == ["a", "b"])


@pytest.mark.slow
async def test_workers_that_come_and_go_post_every_record_once(
    kafka: Kafka, topics: CreateTopic, database: str
) -> None:
    """Partitions change hands between batches: nothing is posted by two, nothing by none."""
    pool = await open_pool(database, application_name="test", max_size=4)
    world = World(kafka, pool, await topics("facts", partitions=4))
    try:
        async with world.reading() as first:
            await until(lambda: len(first.assignment.readings) == 4)
            async with world.reading() as second:
                publishing = asyncio.create_task(_publish_everywhere(world, 25))
                await until(lambda: len(second.assignment.readings) == 2)
                await until(lambda: len(world.names()) > 10)
            await publishing
            await until(lambda: len(world.names()) == 100)
    finally:
        await pool.close()

    offsets = [
        (arrival.origin.partition, arrival.origin.offset)
        for batch in world.batches
        for arrival in batch.arrivals
        if arrival.origin is not None
    ]
    assert sorted(offsets) == [(p, o) for p in range(4) for o in range(25)]
    for partition in range(4):
        assert list(range(25)) == [offset for number, offset in offsets if number == partition]


async def test_where_nothing_stands_before_a_position_it_is_believed(world: World) -> None:
    """A transaction's end takes an offset that holds no record: this proves nothing."""
    async with world.producing(transactional_id=uuid4().hex) as producer:
        for value in (b"first", b"second"):
            async with producer.transaction():
                await producer.send(world.topic, value, partition=0)

    starts = await find_starts(world.look, {(world.topic, 0): Held(2, b"another", 1)})

    assert {(world.topic, 0): Start(2)} == starts


async def test_a_record_is_told_from_the_one_that_stood_in_its_place(world: World) -> None:
    """Only the fingerprint of the very record confirms a position."""
    await world.publish(["a", "b"])
    async with world.reading():
        await until(lambda: world.names() == ["a", "b"])
    known = world.batches[-1].advances[0].fingerprint

    async def start(next_offset: int, fingerprint: bytes | None) -> Start:
        held = Held(next_offset, fingerprint, 1)
        return (await find_starts(world.look, {(world.topic, 0): held}))[world.topic, 0]

    assert Start(2) == await start(2, known)
    assert Start(0, "topic_recreated") == await start(1, known)
    assert Start(0, "topic_recreated") == await start(3, known)
    assert Start(0) == await start(0, None)


async def _publish_everywhere(world: World, records: int) -> None:
    for number in range(records):
        for partition in range(4):
            await world.publish([f"g{number}-{partition}"], partition)
