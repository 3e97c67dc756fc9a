"""A clock that was interrupted, stood still or ran wrong ends where an undisturbed one does."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from booking_credits.clock.clock import Clock
from booking_credits.ledger.account import AccountRecord
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.posting.batch import Batch
from booking_credits.posting.post import Poster
from builders import (
    ACCOUNT,
    a_booking,
    a_cancellation,
    a_line,
    a_renewal,
    an_account,
    an_allotment,
    at,
    post,
)
from clock.year import BOOK, END, FIRST, a_year, first_weeks, ledger_of, read_told, seeded, state_of
from ledger.living import live
from postgres.arrivals import arrivals

LIVE, LATE = "live", "late"
DEADLINE_SECONDS = 30


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of a few workers' sessions."""
    opened = await open_pool(database, application_name="tests", max_size=6)
    yield opened
    await opened.close()


@pytest.fixture
def poster(pool: Pool) -> Poster:
    """Posts by a tenant's credits."""
    return Poster(pool, BOOK, read_fact=read_told, render=render)


async def test_a_clock_that_was_down_for_a_month_catches_up(pool: Pool, poster: Poster) -> None:
    """All that was due is posted in order, and every entry and event is that of a clock that ran.

    Only when it was recorded differs, and notices of what has ended meanwhile are not given.
    """
    now = FIRST
    await poster.post(Batch(tuple(arrivals(first_weeks(LIVE), LIVE))))
    while now < at("2026-03-03 00:00"):
        await _run_down(_clock(pool, poster, now))
        now += timedelta(hours=7)
    live = await ledger_of(pool, LIVE)

    await poster.post(Batch(tuple(arrivals(first_weeks(LATE), LATE))))
    await _run_down(_clock(pool, poster, now))

    late = await ledger_of(pool, LATE)
    assert live["entries"] == late["entries"]
    assert live["obligations"] == late["obligations"]
    assert live["state"] == late["state"]
    notices = {"credits-expiring"}
    assert [e for e in live["events"] if e[0] not in notices] == late["events"]
    assert notices < {kind for kind, _ in live["events"]}


async def test_a_year_told_in_any_order_ends_as_it_did_live(pool: Pool, poster: Poster) -> None:
    """Told a year late and shuffled, in batches, an account is where the pure core was live."""
    random = seeded(2)
    facts = a_year(random)
    expected = state_of(live(BOOK, facts, END), LATE)
    told = arrivals(random.sample(facts, len(facts)), LATE)
    for index in range(0, len(told), 17):
        await poster.post(Batch(tuple(told[index : index + 17])))
        if index % 4 == 0:
            await _clock(pool, poster, END).post_due()

    await _run_down(_clock(pool, poster, END))

    assert expected == (await ledger_of(pool, LATE))["state"]


def test_a_year_in_any_order_ends_as_it_did_live() -> None:
    """In the ledger itself: whatever the order, and however late time is told to have passed."""
    for seed in range(5):
        random = seeded(seed)
        facts = a_year(random)
        lived = live(BOOK, facts, END)
        passed = [f for subject in lived.facts.values() for f in subject if f not in facts]
        record = AccountRecord(ACCOUNT, BOOK)
        post(record, random.sample([*facts, *passed], len(facts) + len(passed)))
        assert state_of(lived, LATE) == state_of(record, LATE)


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_is_set_an_hour_off_does_no_harm(
    pool: Pool, poster: Poster, hours: int
) -> None:
    """What was posted too early stands, what is late comes later; a cancellation counts as ever."""
    standup = a_booking("standup", a_line(starts="2026-03-10 10:00", costs={"credit": 3}))
    renewal = a_renewal(an_allotment(10, unit="credit"))
    await poster.post(Batch(tuple(arrivals([an_account(policy="packs"), renewal, standup]))))
    times = [at("2026-03-10 09:30"), at("2026-03-10 09:31"), at("2026-03-10 09:32")]
    times[1] += timedelta(hours=hours)
    for now in times:
        await _run_down(_clock(pool, poster, now))
    assert [at("2026-03-10 10:00")][: hours > 0] == await _passed(pool, ACCOUNT)

    cancelled = a_cancellation(occurred="2026-03-10 09:45")
    await poster.post(Batch(tuple(arrivals([cancelled]))))
    await _run_down(_clock(pool, poster, at("2026-03-10 11:00")))

    state = (await ledger_of(pool, ACCOUNT))["state"]
    assert [("plan/hot-desk/base/2026-03-01", 10, 0, 0, 0)] == state["grants"]


async def _run_down(clock: Clock) -> None:
    while await clock.post_due():
        pass


async def _passed(pool: Pool, account_id: str) -> list[datetime]:
    query = (
        "select occurred_at from facts where account_id = $1 and type = 'time-passed'"
        " order by fact_no"
    )
    return [row["occurred_at"] for row in await pool.fetch(query, account_id)]


def _clock(pool: Pool, poster: Poster, now: datetime, *, page_size: int = 500) -> Clock:
    return Clock(
        pool, poster, now=lambda: now, posted=lambda _: None, poll_seconds=0.01, page_size=page_size
    )
