"""Workers in containers: killed and drained under load, they lose nothing and double nothing."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from containers.engine import docker, running
from journey.checker import check
from journey.conftest import stage
from journey.load import make_load
from journey.stage import SESSION_TIMEOUT_SECONDS, Stage, wait_until

__all__ = ["stage"]

pytestmark = [pytest.mark.timeout(600)]

_GRACE_SECONDS = 15


class Containers:
    """Workers on a stage, each in a container of its own."""

    def __init__(self, image: str, stage: Stage, started: ExitStack) -> None:
        self._image = image
        self._stage = stage
        self._started = started

    def start(self) -> str:
        """Start a worker; return its container."""
        settings = {
            "kafka_bootstrap": self._stage.bootstrap,
            "postgres_dsn": self._stage.dsn,
            "group_id": self._stage.group_id,
            "input_topics": ",".join(self._stage.input_topics),
            # On the machine's own network, where a port that is free now may be taken in a moment.
            "health_port": "0",
            # Small, so that there is much to be in the middle of.
            "batch_records": "10",
            "session_timeout_seconds": str(SESSION_TIMEOUT_SECONDS),
        } | {f"topic_{n.replace('-', '_')}": topic for n, topic in self._stage.outputs.items()}
        environment = {f"BOOKING_CREDITS_{n.upper()}": text for n, text in settings.items()}
        return self._started.enter_context(running(self._image, "serve", environment=environment))


@pytest.fixture
def containers(image: str, stage: Stage) -> Iterator[Containers]:
    with ExitStack() as started:
        yield Containers(image, stage, started)


async def test_nothing_is_lost_or_doubled_by_kills_and_drains(
    containers: Containers,
    stage: Stage,
) -> None:
    """One worker is killed and one is drained in mid load; a third ends their work."""
    load = make_load(60, seed=11)
    sent = len({event.event_id for event in load})
    await stage.send(load)

    killed = containers.start()
    assert await _posted(stage, sent // 10, killed) < sent
    docker("kill", "--signal=KILL", killed)

    drained = containers.start()
    assert await _posted(stage, sent // 3, drained) < sent
    seconds, code = await asyncio.to_thread(_drain, drained)
    assert "0" == code, docker("logs", drained)
    assert seconds < _GRACE_SECONDS

    containers.start()
    await stage.settled()
    await check(stage, load)


def _drain(container: str) -> tuple[float, str]:
    """Stop a container as orchestrators do; return how long it took and how it ended."""
    began_at = time.monotonic()
    docker("stop", f"--time={_GRACE_SECONDS}", container)
    seconds = time.monotonic() - began_at
    return seconds, docker("inspect", "--format={{.State.ExitCode}}", container)


async def _posted(stage: Stage, least: int, container: str) -> int:
    """Wait until at least so many events were posted, by a container; return how many were."""
    posted = 0

    async def is_reached() -> bool:
        nonlocal posted
        [row] = await stage.fetch("select count(*) as n from events_received")
        posted = int(row["n"])
        return posted >= least

    try:
        # A start, and the time after which a group does without a member that was killed.
        await wait_until(is_reached, 60)
    except TimeoutError:
        raise AssertionError(f"{posted} of {least} posted: {docker('logs', container)}") from None
    return posted
