"""Checker: what is lost, or otherwise than the pure core says, is found."""

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from journey.checker import check
from journey.load import Event, make_load
from journey.stage import Stage


async def test_the_checker_finds_what_is_wrong(stage: Stage) -> None:
    """An event lost, a row that reads otherwise, and an id published with two contents."""
    load = make_load(5, seed=18)
    lost = make_load(1, seed=19)
    await stage.send(load)
    stage.start_worker()
    await stage.settled()
    await stage.stop_workers()
    await check(stage, load)

    await _finds_fault(stage, [*load, lost[0]])
    await stage.fetch("update charges set drawn = not drawn")
    await _finds_fault(stage, load)
    await stage.fetch("update charges set drawn = not drawn")
    last = max(await stage.read_published(), key=lambda record: record.offset)
    await _publish(stage, last, last.value)
    assert 1 == (await check(stage, load)).repeated
    await _publish(stage, last, last.value + b" ")
    await _finds_fault(stage, load)


async def _finds_fault(stage: Stage, load: list[Event]) -> None:
    with pytest.raises(AssertionError):
        await check(stage, load)


async def _publish(stage: Stage, record: ConsumerRecord, value: bytes) -> None:
    """Publish a record again, with another value."""
    async with AIOKafkaProducer(bootstrap_servers=stage.bootstrap, acks="all") as producer:
        await producer.send_and_wait(
            record.topic,
            key=record.key,
            value=value,
            headers=[*record.headers],
            partition=record.partition,
        )
