"""Closing: a period is closed after its grace, once, and only when all of it has been read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import astuple
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from booking_credits.clock.clock import Clock
from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.announcements import PeriodStatement
from booking_credits.ledger.facts import Fact
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.postgres.probe import DatabaseProbe
from booking_credits.posting.batch import Batch
from booking_credits.posting.post import Poster
from booking_credits.posting.shards import SHARDS
from booking_credits.verify.verification import verify
from booking_credits_contracts import PUBLISHED, PeriodClosed
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_line,
    a_record,
    a_renewal,
    an_account,
    an_allotment,
    at,
    on,
)
from postgres.arrivals import arrival

Closed: TypeAlias = tuple[datetime, date, datetime]

BOOK = a_book(policy="packs")
TOPICS = ("bookings", "accounts")
DEADLINE_SECONDS = 20
FOUND_BY_KEY = (
    "select idx_scan > 0 from pg_stat_user_tables where relname = 'closed_lines' and idx_scan > 0"
)
# Only what every account shares, and what has a row for each partition, may be read so.
READ_WHOLE = (
    "select relname from pg_stat_user_tables where seq_scan > 0 and relname not in"
    " ('migrations', 'policy_rules', 'positions') order by relname"
)
MARCH = (at("2026-04-04 00:00"), on("2026-03-01"), at("2026-04-01 00:00"))
APRIL = (at("2026-05-04 00:00"), on("2026-04-01"), at("2026-05-01 00:00"))


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of a few workers' sessions."""
    opened = await open_pool(database, application_name="tests", max_size=4, by_index=True)
    yield opened
    await opened.close()


@pytest.fixture
async def poster(pool: Pool) -> Poster:
    """Posts by packs, with a booking made in the middle of March."""
    made = Poster(pool, BOOK, read_fact=_read, render=render)
    await _post(made, a_booking("standup", a_line(starts="2026-03-20 10:00")))
    return made


async def test_a_period_is_closed_after_its_grace(pool: Pool, poster: Poster) -> None:
    """Not a moment before it is due, for the instant at which it was due, and once."""
    await _read_through(pool, "2026-04-10 00:00")
    assert [] == await _closed_by(pool, poster, "2026-04-03 23:59")
    assert [MARCH] == await _closed_by(pool, poster, "2026-04-05 00:00")
    assert [MARCH] == await _closed_by(pool, poster, "2026-04-06 00:00")


@pytest.mark.parametrize(
    "read",
    [
        pytest.param({"behind": "2026-04-03 23:59"}, id="records wait to be read"),
        pytest.param({"behind": "2026-03-20 00:00"}, id="its worker has stopped"),
        pytest.param({"behind": None}, id="no worker has read it yet"),
        pytest.param({"topics": TOPICS[:1]}, id="a topic that was never assigned"),
    ],
)
async def test_what_was_not_read_postpones_closing(
    database: str, pool: Pool, poster: Poster, read: dict[str, Any]
) -> None:
    """While one partition is behind the period is seen to wait; then it closes as it was due."""
    await _read_through(pool, "2026-04-10 00:00", **read)
    assert [] == await _closed_by(pool, poster, "2026-04-10 00:00")
    assert (1, MARCH[0]) == await _waiting(database, "2026-04-10 00:00")
    await _read_through(pool, "2026-04-10 00:00")
    assert [MARCH] == await _closed_by(pool, poster, "2026-04-10 00:00")
    assert (0, None) == await _waiting(database, "2026-04-10 00:00")


async def test_periods_are_closed_one_after_the_other(pool: Pool, poster: Poster) -> None:
    """A service that was away for months closes each of them, as at its own time."""
    await _read_through(pool, "2026-05-20 00:00")
    assert [MARCH, APRIL] == await _closed_by(pool, poster, "2026-05-20 00:00")


async def test_clocks_close_a_period_once(pool: Pool, poster: Poster) -> None:
    """Any number of clocks may look for what is to be closed."""
    await _read_through(pool, "2026-05-20 00:00")
    now = at("2026-05-20 00:00")
    while await pool.fetchval("select count(*) from closings where closes_at <= $1", now):
        await asyncio.gather(*(_look(_clock(pool, poster, now)) for _ in range(3)))
    assert [MARCH, APRIL] == await _closed(pool)


async def test_what_is_due_before_is_posted_first(pool: Pool, poster: Poster) -> None:
    """A period with something left to happen in it stays open until that has happened."""
    await _read_through(pool, "2026-04-10 00:00")
    clock = _clock(pool, poster, at("2026-04-10 00:00"))
    assert 0 == await clock.close_periods()
    await clock.post_due()
    assert 1 == await clock.close_periods()


async def test_another_calendar_moves_the_next_closing(pool: Pool, poster: Poster) -> None:
    """The running month keeps its end; from then on the account closes by the quarter."""
    moved = an_account(since="2026-03-20", cycle="quarter", zone="Asia/Kathmandu", policy="packs")
    opened = an_account(policy="packs")
    await _post(poster, opened, moved)
    await _read_through(pool, "2026-07-20 00:00")
    second = (at("2026-07-03 18:15"), on("2026-04-01"), at("2026-06-30 18:15"))
    assert [MARCH, second] == await _closed_by(pool, poster, "2026-07-20 00:00")


async def test_an_account_is_closed_from_when_it_was_first_heard_of(pool: Pool) -> None:
    """A history that is told late is closed together with the period in which it is told."""
    poster = Poster(pool, BOOK, read_fact=_read, render=render)
    told = a_renewal(period="2025-07-01", occurred="2025-07-01 00:00")
    await _post(poster, told, recorded="2026-04-15 00:00")
    await _read_through(pool, "2026-05-10 00:00")
    assert [APRIL] == await _closed_by(pool, poster, "2026-05-10 00:00")


async def test_no_table_is_read_whole(database: str, pool: Pool, poster: Poster) -> None:
    """Whatever was there when plans were made, a worker finds an account's rows by their key."""
    await _read_through(pool, "2026-05-20 00:00")
    assert [MARCH, APRIL] == await _closed_by(pool, poster, "2026-05-20 00:00")
    await _post(poster, a_booking("late", a_line(starts="2026-03-05 10:00")), a_renewal())
    await pool.close()

    connection = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await connection.fetchval(FOUND_BY_KEY):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        read_whole = [row["relname"] for row in await connection.fetch(READ_WHOLE)]
    finally:
        await connection.close()
    assert [] == read_whole


@pytest.mark.usefixtures("poster")
async def test_waiting_periods_are_counted(database: str) -> None:
    """Whoever watches sees how many should be closed, and since when, by the worker's time."""
    assert (0, None) == await _waiting(database, "2026-04-03 23:59")
    assert (1, MARCH[0]) == await _waiting(database, "2026-04-05 00:00")


async def test_closings_are_rebuilt(database: str, pool: Pool, poster: Poster) -> None:
    """A closing is a fact like any other."""
    await _read_through(pool, "2026-05-20 00:00")
    assert [MARCH, APRIL] == await _closed_by(pool, poster, "2026-05-20 00:00")
    await pool.execute("reset role")
    found = await verify(database, BOOK, lambda *_: None)
    assert [] == [violation for violation in found if violation.check != "policies"]


async def test_statements_are_those_of_the_pure_core(pool: Pool, poster: Poster) -> None:
    """Summed up by the database or in memory, whatever came between closings, they agree."""
    await _read_through(pool, "2026-06-10 00:00")
    await _post(poster, a_renewal(), a_renewal(period="2026-04-01", occurred="2026-04-01 00:00"))
    await _closed_by(pool, poster, "2026-04-02 00:00")
    await _post(poster, a_booking("short", a_line(starts="2026-04-02 10:00", costs={"coin": 9000})))
    assert [MARCH] == await _closed_by(pool, poster, "2026-04-05 00:00")
    late = a_booking("late", a_line(starts="2026-03-05 10:00", costs={"coin": 7000}, price=7000))
    bonus = a_renewal(an_allotment(300, unit="minute"), plan="bonus", ends="2026-12-01")
    await _post(poster, late, a_cancellation(occurred="2026-03-20 09:00"), bonus)
    await _closed_by(pool, poster, "2026-06-10 00:00")

    expected = await _check_published(pool, 3)
    assert any(unit.adjusted for statement in expected for unit in statement.units)
    assert any(o.adjusted_minor for statement in expected for o in statement.overages)


async def test_a_calendar_that_changes_after_a_close_has_nothing_stated_twice(
    pool: Pool, poster: Poster
) -> None:
    """The next period begins where the last one ended and is named so; a reversal is stated."""
    await _read_through(pool, "2026-06-10 00:00")
    assert [MARCH] == await _closed_by(pool, poster, "2026-04-05 00:00")
    await _post(poster, an_account(zone="America/New_York"), a_cancellation())
    names = [("2026-03-31", "2026-04-01 04:00"), ("2026-04-01", "2026-05-01 04:00")]
    expected = [(on(name), at(ends)) for name, ends in names]
    _, *found = await _closed_by(pool, poster, "2026-05-20 00:00")
    assert expected == [closed[1:] for closed in found]

    march, rest, april = await _check_published(pool, 3)
    assert [(1000, 0)] == [(o.owed_minor, o.adjusted_minor) for o in march.overages]
    assert [(0, -1000)] == [(o.owed_minor, o.adjusted_minor) for o in rest.overages]
    assert () == april.overages


async def _check_published(pool: Pool, count: int) -> list[PeriodStatement]:
    """Check that so many statements were published, and return them as the pure core has them."""
    facts = await pool.fetch("select type, occurred_at, payload from facts order by fact_no")
    record = a_record(*(_read(*tuple(fact)) for fact in facts), book=BOOK)
    contents = (a.content for o in record.postings.outcomes for a in o.announcements)
    expected = [content for content in contents if isinstance(content, PeriodStatement)]
    published = await pool.fetch(
        "select payload from announcements where type = 'period-closed' order by sequence"
    )
    actual = [PUBLISHED["period-closed"].model_validate_json(row["payload"]) for row in published]
    assert count == len(actual)
    for statement, event in zip(expected, actual, strict=True):
        assert isinstance(event, PeriodClosed)
        assert statement.start_date == event.billing_period.start
        assert [astuple(unit)[1:] for unit in statement.units] == [
            tuple(_steps(text, unit.unit) for text in list(unit.model_dump().values())[1:])
            for unit in event.units
        ]
        assert [astuple(overage) for overage in statement.overages] == [
            tuple(overage.model_dump().values()) for overage in event.overages
        ]
    return expected


async def _waiting(database: str, now: str) -> tuple[int, datetime | None]:
    probe = DatabaseProbe(database, shards=SHARDS, now=lambda: at(now))
    try:
        outlook = await probe.look()
    finally:
        probe.close()
    return outlook.periods_waiting_to_close, outlook.oldest_waiting_to_close


async def _post(poster: Poster, *facts: Fact, recorded: str = "2026-03-15 12:00") -> None:
    told = tuple(arrival(fact, recorded_at=at(recorded)) for fact in facts)
    assert [] == (await poster.post(Batch(told))).dead_letters


async def _read_through(
    pool: Pool, instant: str, *, topics: Sequence[str] = TOPICS, **behind: str | None
) -> None:
    """Have every partition read through an instant, but for one that is `behind`."""
    await pool.execute(
        "insert into positions (topic, partition, owner, read_through)"
        " select topic, partition, $2, $3 from unnest($1::text[]) as topic,"
        " generate_series(0, 2) as partition"
        " on conflict (topic, partition) do update set read_through = excluded.read_through",
        topics,
        uuid4(),
        at(instant),
    )
    for through in behind.values():
        await pool.execute(
            "update positions set read_through = $1 where topic = $2 and partition = 1",
            None if through is None else at(through),
            TOPICS[1],
        )


async def _closed_by(pool: Pool, poster: Poster, now: str) -> list[Closed]:
    """Let a clock look at an instant; returns all that has been closed so far."""
    await _look(_clock(pool, poster, at(now)))
    return await _closed(pool)


async def _look(clock: Clock) -> None:
    while await clock.post_due() or await clock.close_periods():
        pass


async def _closed(pool: Pool) -> list[Closed]:
    rows = await pool.fetch(
        "select occurred_at, payload ->> 'period_start' as period_start,"
        " payload ->> 'ends_at' as ends_at from facts"
        " where account_id = $1 and type = 'period-closed' order by fact_no",
        ACCOUNT,
    )
    return [
        (r["occurred_at"], on(r["period_start"]), datetime.fromisoformat(r["ends_at"]))
        for r in rows
    ]


def _clock(pool: Pool, poster: Poster, now: datetime) -> Clock:
    return Clock(pool, poster, now=lambda: now, posted=lambda _: None, topics=TOPICS)


def _read(kind: str, occurred_at: datetime, payload: str) -> Fact:
    return read_fact(kind, occurred_at, payload, BOOK)


def _steps(quantity: str, unit: str) -> int:
    return int(Decimal(quantity) * 10 ** BOOK.units[unit].scale)
