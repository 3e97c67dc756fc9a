"""Interrupted: clocks that are cut off at every step end where one that is not does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from booking_credits.clock.clock import Clock
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.posting.batch import Batch
from booking_credits.posting.post import Poster
from builders import at
from clock.fragile import Fragile, When
from clock.year import BOOK, FIRST, first_weeks, ledger_of, read_told
from postgres.arrivals import arrival

TOPIC = "bookings"
NOW = at("2026-03-10 00:00")
PAGE_SIZE = 50
DEADLINE_SECONDS = 90
WHEN: tuple[When, ...] = ("before", "after")
POSTED = "select count(*) from facts"
DUE = (
    "select exists (select from due where due_at <= $1)"
    " or exists (select from closings where closes_at <= $1)"
)

Ledger: TypeAlias = dict[str, Any]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of a few workers' sessions, of a service that has read all through the present."""
    opened = await open_pool(database, application_name="tests", max_size=6)
    await opened.execute(
        "insert into positions (topic, partition, owner, read_through) values ($1, 0, $2, $3)",
        *(TOPIC, uuid4(), NOW),
    )
    yield opened
    await opened.close()


@pytest.mark.parametrize("clocks", [1, 3])
async def test_clocks_cut_off_at_every_step_post_each_instant_once(pool: Pool, clocks: int) -> None:
    """Before each step of each page and after it: whatever is due is posted at its own instant.

    Closings among it. Entries, statements and what is owed are those of a clock nobody disturbed.
    """
    await _tell(pool, "whole")
    steady = _clock(pool, Poster(pool, BOOK, read_fact=read_told, render=render))
    while await steady.post_due() or await steady.close_periods():
        pass
    await _tell(pool, "cut")

    async with asyncio.timeout(DEADLINE_SECONDS):
        broken = await _run_down_breaking(pool, clocks)

    whole, cut = await ledger_of(pool, "whole"), await ledger_of(pool, "cut")
    assert len(set(whole["facts"])) == len(whole["facts"])
    if clocks == 1:
        assert whole == cut
    assert _in_any_order(whole) == _in_any_order(cut)
    kinds = {kind for kind, _ in cut["facts"]}
    assert {"time-passed", "period-closed"} < kinds
    assert broken > 100


async def _tell(pool: Pool, account_id: str) -> None:
    """Tell an account's first weeks, as they began."""
    told = (arrival(f, account_id, recorded_at=FIRST) for f in first_weeks(account_id))
    poster = Poster(pool, BOOK, read_fact=read_told, render=render)
    assert [] == (await poster.post(Batch(tuple(told)))).dead_letters


async def _run_down_breaking(pool: Pool, clocks: int) -> int:
    """Have every page cut off before and after each of its steps; returns how often."""
    broken, turn = 0, 0
    while await pool.fetchval(DUE, NOW):
        posted = await pool.fetchval(POSTED)
        step, when = 1 + turn // 2, WHEN[turn % 2]
        cut_off = [Fragile(pool, step, when) for _ in range(clocks)]
        await asyncio.gather(*(_look(fragile) for fragile in cut_off))
        broken += sum(fragile.broke for fragile in cut_off)
        if posted < await pool.fetchval(POSTED):
            turn = 0
        elif any(fragile.broke for fragile in cut_off):
            turn += 1
    return broken


async def _look(fragile: Fragile) -> None:
    """Let a clock look once, which ends as its session does."""
    clock = _clock(
        fragile.as_pool(), Poster(fragile.pool, BOOK, read_fact=read_told, render=render)
    )
    with suppress(Exception):
        await clock.post_due() or await clock.close_periods()


def _clock(pool: Pool, poster: Poster) -> Clock:
    return Clock(
        pool,
        poster,
        now=lambda: NOW,
        posted=lambda _: None,
        topics=(TOPIC,),
        page_size=PAGE_SIZE,
    )


def _in_any_order(ledger: Ledger) -> Ledger:
    """Leave out what hangs on when an account's closings were posted among its other instants."""
    statements = [told for kind, told in ledger["events"] if kind == "period-closed"]
    entries = sorted(str(entry[2:]) for entry in ledger["entries"])
    kept = {name: ledger[name] for name in ("obligations", "state")}
    return {**kept, "facts": sorted(ledger["facts"]), "entries": entries, "statements": statements}
