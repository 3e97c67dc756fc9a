"""Crashes: a worker that is killed anywhere loses nothing and doubles nothing."""

import pytest

from journey.checker import check
from journey.load import make_load
from journey.stage import Stage


async def test_a_worker_answers_what_the_core_answers(stage: Stage) -> None:
    """With nothing in the way, what is published and kept is what the core says."""
    load = make_load(60, seed=1)
    await stage.send(load)
    stage.start_worker()
    await stage.settled()
    await stage.stop_workers()
    checked = await check(stage, load)
    assert checked.published > checked.facts
    assert 0 == checked.repeated


@pytest.mark.parametrize("point", ["written", "publishing", "published"])
async def test_a_killed_worker_leaves_its_work_to_the_next(stage: Stage, point: str) -> None:
    """Killed before a batch is committed, before it is published, and before that is noted."""
    load = make_load(30, seed=2)
    await stage.send(load)
    killed = stage.start_worker(fault=f"{point} 4 SIGKILL")
    assert -9 == await killed.wait(30)
    stage.start_worker()
    await stage.settled()
    await stage.stop_workers()
    checked = await check(stage, load)
    # While a batch is written, the relay may be at any point with those before it.
    if point != "written":
        assert (point == "published") == (checked.repeated > 0)
