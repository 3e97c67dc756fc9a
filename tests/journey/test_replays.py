"""Replays: what is read again changes nothing, and a topic made anew is read whole."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from journey.checker import check
from journey.load import Event, make_load
from journey.stage import Stage, wait_until


async def test_topics_read_again_from_their_beginning_change_nothing(stage: Stage) -> None:
    """Positions are set back to nothing: everything is read again and nothing posted."""
    load = make_load(30, seed=9)
    await _play(stage, load)
    before = await check(stage, load)
    await stage.fetch("update positions set next_offset = 0, fingerprint = null")
    await _play(stage, [])
    assert before == await check(stage, load)


async def test_events_sent_again_change_nothing(stage: Stage) -> None:
    """Every system sends all it ever sent once more, in another order."""
    load = make_load(30, seed=10)
    await _play(stage, load)
    before = await check(stage, load)
    await _play(stage, load[::-1])
    assert before == await check(stage, load)


@pytest.mark.parametrize("worker", ["at work", "stopped"])
async def test_a_topic_made_anew_is_read_from_its_beginning(stage: Stage, worker: str) -> None:
    """Deleted, made again and filled further than it was ever read: nothing is missed."""
    load = make_load(30, seed=11)
    stage.start_worker()
    await stage.send(load)
    await stage.settled()
    if worker == "stopped":
        await stage.stop_workers()
    await _make_anew(stage, stage.inputs["bookings"], partitions=6)
    later = make_load(60, seed=12)
    await stage.send(later)
    if worker == "stopped":
        stage.start_worker()
    await stage.settled()
    await stage.stop_workers()
    await check(stage, [*load, *later])


async def _play(stage: Stage, load: list[Event]) -> None:
    await stage.send(load)
    stage.start_worker()
    await stage.settled()
    await stage.stop_workers()


async def _make_anew(stage: Stage, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic])

        async def is_made() -> bool:
            response = await admin.create_topics([NewTopic(topic, partitions, 1)])
            return [0] == [error[1] for error in response.topic_errors]

        await wait_until(is_made, 20)
    finally:
        await admin.close()
