"""The clock: what is due is posted once, at the instant at which it was due, whatever happens."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from booking_credits.clock.clock import Clock
from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.facts import Fact
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.posting.batch import Batch, Posted
from booking_credits.posting.post import Poster
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_line,
    a_renewal,
    a_standing_allotment,
    an_account,
    an_allotment,
    at,
)
from postgres.arrivals import arrivals

BOOK = a_book(policy="packs")
FACTS: list[Fact] = [
    a_renewal(an_allotment(1500)),
    a_booking("standup", a_line(starts="2026-03-10 10:00")),
    a_booking("retro", a_line(starts="2026-03-11 10:00"), occurred="2026-03-01 10:00"),
]
STARTS = [at("2026-03-10 10:00"), at("2026-03-11 10:00")]
DEADLINE_SECONDS = 20


class Breaking(Poster):
    """A poster that fails, so many times, as a session does that was cut in mid answer."""

    breaks = 0

    async def post_within(self, connection: Any, batch: Batch) -> Posted:
        if self.breaks:
            self.breaks -= 1
            raise asyncpg.InternalClientError("got result for unknown protocol state")
        return await super().post_within(connection, batch)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of a worker's sessions."""
    opened = await open_pool(database, application_name="tests", max_size=3)
    yield opened
    await opened.close()


@pytest.fixture
async def poster(pool: Pool) -> Breaking:
    """Posts by packs, with two bookings made whose starts are to come."""
    made = Breaking(pool, BOOK, read_fact=_read, render=render)
    await made.post(Batch(tuple(arrivals(FACTS))))
    return made


async def test_what_is_due_is_posted_at_the_instant_it_was_due(pool: Pool, poster: Poster) -> None:
    """However late it is noticed, each start is a fact of its own instant, in order, once."""
    clock = _clock(pool, poster, now="2026-03-12 00:00")

    posted = await clock.post_due(), await clock.post_due()

    assert (2, 0) == posted
    assert STARTS == await _passed(pool)


async def test_a_standing_grant_has_the_clock_post_each_of_its_starts(
    pool: Pool, poster: Poster
) -> None:
    """One after the other, however many the clock has missed, and no other account pays for it."""
    tenant = an_account(since="2026-01-10", allotments=[a_standing_allotment()])
    await poster.post(Batch(tuple(arrivals([tenant], "tenant"))))
    clock = _clock(pool, poster, now="2026-04-02 00:00")

    while await clock.post_due():
        pass

    grants = "select grant_id, available, expired from grants where account_id = 'tenant'"
    assert [
        ("allotment/allowance/credit/2026-01-01", 0, 500),
        ("allotment/allowance/credit/2026-02-01", 0, 500),
        ("allotment/allowance/credit/2026-03-01", 0, 500),
        ("allotment/allowance/credit/2026-04-01", 500, 0),
    ] == [tuple(row) for row in await pool.fetch(f"{grants} order by grant_id")]
    due = await pool.fetch("select due_at from due where account_id = 'tenant' order by 1")
    assert at("2026-05-01 00:00") in [due_at for (due_at,) in due]


async def test_what_is_not_due_waits(pool: Pool, poster: Poster) -> None:
    """An instant is not posted before it has come."""
    assert 0 == await _clock(pool, poster, now="2026-03-10 09:59").post_due()
    assert 1 == await _clock(pool, poster, now="2026-03-10 10:00").post_due()
    assert STARTS[:1] == await _passed(pool)


async def test_many_clocks_post_each_instant_once(pool: Pool, poster: Poster) -> None:
    """Clocks that run at once neither post twice nor stand in each other's way."""
    clocks = [_clock(pool, poster, now="2026-03-12 00:00") for _ in range(3)]

    await asyncio.gather(*(clock.post_due() for clock in clocks))

    assert STARTS == await _passed(pool)


async def test_a_clock_goes_on_after_any_failure(pool: Pool, poster: Breaking) -> None:
    """Whatever breaks a posting, the clock tries again until what is due is posted."""
    poster.breaks = 2
    clock = _clock(pool, poster, now="2026-03-12 00:00")
    clock.start()
    try:
        await _until_passed(pool, STARTS)
    finally:
        await clock.stop()

    assert 0 == poster.breaks


def _clock(pool: Pool, poster: Poster, *, now: str) -> Clock:
    return Clock(pool, poster, now=lambda: at(now), posted=lambda _: None, poll_seconds=0.05)


def _read(kind: str, occurred_at: datetime, payload: str) -> Fact:
    return read_fact(kind, occurred_at, payload, BOOK)


async def _passed(pool: Pool) -> list[datetime]:
    query = (
        "select occurred_at from facts where account_id = $1 and type = 'time-passed' order by 1"
    )
    return [row["occurred_at"] for row in await pool.fetch(query, ACCOUNT)]


async def _until_passed(pool: Pool, instants: list[datetime]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await _passed(pool) != instants:  # noqa: ASYNC110 - the database says when
            await asyncio.sleep(0.05)
