"""Silences: a partition that Kafka does not answer for holds up nobody and is seen."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException
from structlog.testing import capture_logs

from booking_credits.inbox import silences
from booking_credits.inbox.subscriber import Inbox
from inbox.worlds import World, until

SILENCE_SECONDS = 2.0


@pytest.fixture(autouse=True)
def short_silences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let go soon, and take over again soon."""
    monkeypatch.setattr(silences, "SILENCE_SECONDS", SILENCE_SECONDS)
    monkeypatch.setattr(silences, "UNREADABLE_DELAY_SECONDS", 1.0)


class Mute:
    """A Kafka whose disk fails it for some partitions: it says so, and the client tells nobody."""

    def __init__(self, inbox: Inbox, partitions: set[int]) -> None:
        self.partitions = partitions
        self.answers = 0
        client = inbox._consumer()._client
        client.send = partial(self._send, client.send)

    async def _send(
        self, send: Callable[..., Awaitable[Any]], node: int, request: Any, **options: Any
    ) -> Any:
        answer = await send(node, request, **options)
        if type(request).__name__.startswith("FetchRequest"):
            self.answers += 1
            answer.topics = [
                (topic, [self._mute(*said) for said in of_topic])
                for topic, of_topic in answer.topics
            ]
        return answer

    def _mute(self, partition: int, code: int, *said: Any) -> tuple[Any, ...]:
        errno = CorruptRecordException.errno
        return partition, errno if partition in self.partitions else code, *said


async def test_a_partition_that_kafka_cannot_read_is_let_go_and_tried_again(
    wide_world: World,
) -> None:
    """The others go on meanwhile, and once it can be read nothing of it is missing."""
    world = wide_world
    with capture_logs() as logs:
        async with world.reading() as inbox:
            await until(lambda: len(inbox.assignment.readings) == 4)
            await world.publish(["before"], partition=1)
            await until(lambda: world.names() == ["before"])
            mute = Mute(inbox, {1})
            # What was asked before is answered by then.
            await until(lambda: mute.answers > 0)
            await world.publish(["kept-up"], partition=1)
            await until(lambda: (world.topic, 1) not in inbox.assignment.readings)
            await world.publish(["beside"], partition=0)
            await until(lambda: world.names() == ["before", "beside"])
            assert 4 == len(inbox.assignment.assigned)

            mute.partitions.clear()
            await until(lambda: world.names() == ["before", "beside", "kept-up"])

    silent = [log for log in logs if log["event"] == "partition_silent"]
    assert {(1, 1)} == {(log["partition"], log["offset"]) for log in silent}


async def test_where_nothing_is_answered_nothing_is_let_go(wide_world: World) -> None:
    """Then it is Kafka that is away, and whoever were let go would be read on later."""
    async with wide_world.reading() as inbox:
        await until(lambda: len(inbox.assignment.readings) == 4)
        mute = Mute(inbox, {0, 1, 2, 3})
        readings, polls = dict(inbox.assignment.readings), inbox.state.polls
        await until(lambda: inbox.state.polls > polls + 20 * 3 * SILENCE_SECONDS)
        assert mute.answers
        assert readings == inbox.assignment.readings
