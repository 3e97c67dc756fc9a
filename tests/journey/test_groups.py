"""Groups: workers share the work, come and go, freeze and wake, and the ledger is the same."""

import signal

import pytest

from journey.checker import check
from journey.load import make_load
from journey.stage import Stage, Worker, wait_until, wait_until_stopped


@pytest.mark.parametrize("most", [2, 4])
async def test_workers_join_and_leave_under_load(stage: Stage, most: int) -> None:
    """One worker after the other joins, then all but the last leave, and events go on coming."""
    load = make_load(20 * most, seed=13)
    size = len(load) // (2 * most)
    parts = iter([load[start : start + size] for start in range(0, len(load), size)])
    for count in range(1, most + 1):
        await stage.send(next(parts))
        stage.start_worker()
        await _shared_by(stage, count)
    for count in range(most - 1, 0, -1):
        await stage.send(next(parts))
        await _leave(stage.workers[most - 1 - count])
        await _shared_by(stage, count)
    for rest in parts:
        await stage.send(rest)
    await stage.settled()
    await stage.stop_workers()
    await check(stage, load)


@pytest.mark.parametrize("point", ["read", "written", "publishing"])
async def test_a_worker_that_wakes_after_it_was_replaced_is_refused(
    stage: Stage, point: str
) -> None:
    """Frozen before or in its transaction, or publishing, for longer than the group waits.

    While it is frozen the other does all the work; when it wakes, what it had in hand is refused.
    """
    load = make_load(30, seed=14)
    await stage.send(load)
    zombie = stage.start_worker(fault=f"{point} 3 SIGSTOP")
    await wait_until_stopped(zombie)
    stage.start_worker()
    await stage.settled()
    zombie.send(signal.SIGCONT)
    await zombie.has_logged("outbox_unreadable" if point == "publishing" else "batch_fenced")
    later = make_load(10, seed=15)
    await stage.send(later)
    await stage.settled()
    await stage.stop_workers()
    await check(stage, [*load, *later])


async def test_a_worker_that_is_asked_to_stop_finishes_what_it_has_in_hand(stage: Stage) -> None:
    """Asked in mid load, it posts its batch, leaves and ends well; the next one goes on at once."""
    load = make_load(30, seed=16)
    await stage.send(load)
    worker = stage.start_worker(fault="written 3 SIGSTOP")
    await wait_until_stopped(worker)
    worker.send(signal.SIGTERM)
    worker.send(signal.SIGCONT)
    await _leave(worker)
    posted = await stage.fetch("select count(*) from facts where source <> 'booking-credits/clock'")
    assert 0 < posted[0][0] < len({event.event_id for event in load})
    assert [] == worker.logged("service_stopped_late")
    stage.start_worker()
    await stage.settled()
    await stage.stop_workers()
    await check(stage, load)


async def _leave(worker: Worker) -> None:
    worker.send(signal.SIGTERM)
    assert 0 == await worker.wait(15), worker.log[-3000:]


async def _shared_by(stage: Stage, count: int) -> None:
    """Wait until as many workers own the partitions."""

    async def is_shared() -> bool:
        rows = await stage.fetch("select count(distinct owner) from positions")
        return bool(count == rows[0][0])

    await wait_until(is_shared, 40)
