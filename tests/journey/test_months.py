"""Months: whatever happens to workers and to the telling of facts, the statements add up."""

import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from journey.checker import check
from journey.passage import Passage
from journey.season import ENDS_AT, MONTHS, SIX_WEEKS, ZONES, closings, make_season
from journey.stage import Stage, Worker
from journey.statements import check_closings, check_kept, check_statements, sums

MARCH, APRIL, _ = MONTHS
COLUMNS = ("opening", "issued", "drawn", "expired", "removed", "adjusted", "closing")
# Of one and the same moment.
OWNERS_AND_CLOSED = """
select (select count(distinct owner) from positions),
    (select count(*) from facts where type = 'period-closed')
"""
OTHERS_READ_THROUGH = """
select min(read_through) from positions where (topic, partition) <> ($1, $2)
"""
LATEST = "select max(recorded_at - occurred_at) from facts where source <> 'booking-credits/clock'"


@pytest.mark.timeout(240)
async def test_the_statements_of_three_months_add_up(stage: Stage, tmp_path: Path) -> None:
    """In three zones, with facts six weeks late, and workers and a partition that stand still."""
    async with Passage(stage, tmp_path, make_season(seed=21)) as season:
        second = await season.start_workers(2)
        await _one_worker_is_down_over_the_end_of_march(season, second)
        await season.start_workers(2)
        await _one_partition_is_not_read_over_the_end_of_april(season)
        await season.until(ENDS_AT)
        await season.has_come_to_rest()
        [first, *_] = season.account_ids
        answers = [await stage.ask("statement", first, month) for month in MONTHS]
    await stage.stop_workers()
    await check(stage, [letter.event for letter in season.sent])
    assert (await stage.fetch(LATEST))[0][0] > SIX_WEEKS
    # An event that comes twice counts from the first time.
    written = {letter.event.event_id: letter.written_at for letter in reversed(season.sent)}
    await check_closings(stage, written)
    await check_kept(stage)
    published = await check_statements(stage)
    assert season.account_ids == sorted(published)
    for statements in published.values():
        assert [*MONTHS] == [statement["billing_period"]["start"] for statement in statements]
    adjusted = [sums(month, "adjusted") for month in zip(*published.values(), strict=True)]
    assert [False, True, True] == [amount > 0 for amount in adjusted]
    every = [statement for statements in published.values() for statement in statements]
    assert [] == [column for column in COLUMNS if not sums(every, column)]
    assert [(s["units"], s["overages"]) for s in published[first]] == [
        (answer["units"], answer["overages"]) for answer in answers
    ]


async def _one_worker_is_down_over_the_end_of_march(season: Passage, worker: Worker) -> None:
    """What it read is read by nobody, and nothing is closed, until the other one takes it over."""
    auckland, berlin, los_angeles = closings(MARCH)
    await season.until(auckland)
    worker.send(signal.SIGKILL)
    await season.step(berlin)

    async def is_taken_over() -> bool:
        owners, closed = (await season.stage.fetch(OWNERS_AND_CLOSED))[0]
        assert owners == 1 or closed == 0
        return bool(owners == 1)

    await season.wait_until(is_taken_over)
    await season.told()
    await season.has_come_to_rest()
    assert season.accounts_in(ZONES[0]) == await season.closed(MARCH)
    await season.until(los_angeles + timedelta(days=3))
    await season.has_come_to_rest()
    assert season.account_ids == await season.closed(MARCH)


async def _one_partition_is_not_read_over_the_end_of_april(season: Passage) -> None:
    """All periods wait for it, as everybody can see; once it is read, they are closed."""
    await season.until(datetime.fromisoformat("2024-04-25T00:00Z"))
    async with season.holding_back() as (held, since):
        await season.until(closings(APRIL)[-1] + timedelta(days=3))
        await _others_pass(season, held, closings(APRIL)[-1])
        await season.see("periods_waiting_to_close", {len(season.account_ids)})
        assert [] == await season.closed(APRIL)
        last = await season.stage.ask("statement", season.account_ids[0])
        assert MARCH == last["period_start"]
        assert datetime.fromisoformat(last["complete_through"]) <= since
    await season.told()
    await season.has_come_to_rest()
    assert season.account_ids == await season.closed(APRIL)
    await season.see("periods_waiting_to_close", {0})


async def _others_pass(season: Passage, held: TopicPartition, instant: datetime) -> None:
    async def is_passed() -> bool:
        rows = await season.stage.fetch(OTHERS_READ_THROUGH, held.topic, held.partition)
        return bool(rows[0][0] > instant)

    await season.wait_until(is_passed)
