"""Roles: the parts of a worker, each in a process of its own, do what one worker does."""

import asyncio
import signal
from contextlib import ExitStack

import pytest

from booking_credits.exit_codes import ExitCode
from builders import a_booking, a_grant, a_line
from health.serving import Worker, serving
from health.test_serve import Place, place
from local.supervision import free_port

__all__ = ["place"]

pytestmark = pytest.mark.timeout(180)

_ROLES = (("serve", "--without-relay", "--without-clock"), ("relay",), ("clock",))


async def test_parts_alone_do_what_a_worker_does(place: Place) -> None:
    """One reads and posts, one publishes, one keeps the clock; each is ready and ends well.

    The watchdog of each, set to a few seconds, leaves alone what is others' to do.
    """
    budgets = dict.fromkeys(("consumer_stuck_seconds", "relay_stuck_seconds"), "3")
    with ExitStack() as started:
        workers = []
        for number, command in enumerate(_ROLES):
            folder = place.directory / str(number)
            folder.mkdir()
            process = serving(folder, command=command, **place.settings | budgets)
            workers.append(started.enter_context(process))
        reader, relay, clock = workers
        for worker in workers:
            worker.wait_until_ready()
        await place.send(a_grant(quantity=500), a_booking("b1", a_line(costs={"coin": 1000})))
        await _until(relay, 'published_total{type="coverage-decided"}', 1)
        await _until(clock, 'events_total{outcome="posted",type="time-passed"}', 1)
        await asyncio.sleep(4)  # Longer than the budgets: whoever is found stuck ends.

        for worker in workers:
            assert (200, []) == (worker.get("/health/ready")[0], worker.failing("/health/ready"))
        assert (0, 16, 0) == tuple(worker.metric("shards_led") for worker in workers)
        assert reader.metric('partitions{state="read"}') == 2
        for worker in workers:
            worker.send(signal.SIGTERM)
        assert [ExitCode.FINISHED] * 3 == [worker.wait(15) for worker in workers]


async def test_the_clock_alone_does_without_kafka(place: Place) -> None:
    """With Kafka away it is ready, and says nothing of a server that it does not ask."""
    settings = place.settings | {"kafka_bootstrap": f"127.0.0.1:{free_port()}"}
    with serving(place.directory, command=("clock",), **settings) as clock:
        clock.wait_until_ready()
        assert 1 == clock.metric('answers{server="database"}')
        assert clock.metric('answers{server="kafka"}') is None


async def _until(worker: Worker, sample: str, least: float) -> None:
    async with asyncio.timeout(40):
        while (worker.metric(sample) or 0) < least:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)
