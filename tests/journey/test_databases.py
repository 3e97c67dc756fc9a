"""Databases: whatever Postgres does in mid batch, the batch is posted in the end, and once."""

import asyncio
import signal

from journey.checker import check
from journey.cutter import Cutter
from journey.load import make_load
from journey.stage import Stage, connected, wait_until, wait_until_stopped
from local.postgres import Postgres

AWAY_SECONDS = 20
# By which a batch of the load's size takes longer than the watchdog grants it.
SLOW_FACTS = """
    create function be_slow() returns trigger language plpgsql as
        'begin perform pg_sleep(0.02); return new; end';
    create trigger slow before insert on facts for each row
        when (new.source <> 'booking-credits/clock') execute function be_slow();
"""


async def test_a_postgres_that_ends_in_mid_batch_is_waited_for(
    stage: Stage, broken_postgres: Postgres
) -> None:
    """Ended at once, as by a crash, with rows written and not committed; back after a while."""
    load = make_load(30, seed=6)
    await stage.send(load)
    worker = stage.start_worker(fault="written 4 SIGSTOP")
    await wait_until_stopped(worker)
    await asyncio.to_thread(broken_postgres.stop, "immediate")
    try:
        worker.send(signal.SIGCONT)
        await asyncio.sleep(AWAY_SECONDS)
    finally:
        await asyncio.to_thread(broken_postgres.start)
    assert worker.running
    assert 3 < len(worker.logged("posting_failed")) < 30
    await stage.settled()
    await stage.stop_workers()
    await check(stage, load)


async def test_terminated_sessions_are_replaced(stage: Stage) -> None:
    """Every session is ended in mid batch, that of the relay too, twice."""
    load = make_load(30, seed=7)
    await stage.send(load)
    worker = stage.start_worker(fault="written 4 SIGSTOP")
    await wait_until_stopped(worker)
    await _terminate_sessions(stage)
    worker.send(signal.SIGCONT)
    await worker.has_logged("posting_failed")
    await _terminate_sessions(stage)
    await stage.settled()
    await stage.stop_workers()
    await check(stage, load)


async def test_a_commit_without_an_answer_is_not_doubled(stage: Stage) -> None:
    """Postgres commits and the answer is lost: the worker posts the batch again, to no effect."""
    load = make_load(30, seed=8)
    await stage.send(load)
    async with Cutter(stage.dsn, cuts=3) as cutter:
        worker = stage.start_worker(dsn=cutter.dsn)
        await stage.settled()
        await stage.stop_workers()
    assert 3 == cutter.cut
    failures = [*worker.logged("posting_failed"), *worker.logged("clock_failed")]
    assert len(failures) >= 3
    await check(stage, load)


async def test_a_batch_that_is_too_much_at_once_is_posted_in_halves(narrow_stage: Stage) -> None:
    """Before the watchdog sees it stuck, which would end one worker after the other."""
    load = make_load(4, seed=9)
    await narrow_stage.send(load)
    async with connected(narrow_stage.dsn) as connection:
        await connection.execute(SLOW_FACTS)
    worker = narrow_stage.start_worker(batch_records=1000, batch_stuck_seconds=2.5)
    await narrow_stage.settled()
    assert worker.running
    await narrow_stage.stop_workers()
    assert {"TimeoutError"} == {line["error"] for line in worker.logged("posting_failed")}
    await check(narrow_stage, load)


async def _terminate_sessions(stage: Stage) -> None:
    """End every session as soon as there are any: a worker may just be opening new ones."""

    async def are_ended() -> bool:
        async with connected(stage.dsn) as connection:
            ended = await connection.fetch(
                "select pg_terminate_backend(pid) as ended from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        return bool(ended)

    await wait_until(are_ended, 20)
