"""A clock that was interrupted, stood still or ran wrong ends where an undisturbed one does."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import asyncpg
import pytest

from booking_credits.clock.clock import Clock
from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.due import due_instants
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.settlement import settle
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.posting.batch import Batch, Posted
from booking_credits.posting.post import Poster
from builders import (
    ACCOUNT,
    COINS,
    PACKS,
    TENANT,
    a_book,
    a_booking,
    a_cancellation,
    a_line,
    a_renewal,
    a_start,
    an_account,
    an_allotment,
    at,
    post,
    time_passed,
)
from postgres.arrivals import arrivals

# Credits are drawn as services end and owed for at the end of the month; a week's notice is given.
BOOK = a_book(
    *(COINS, PACKS, replace(TENANT, expiry_notice_days=7)), policy="tenant", zone="Europe/Sofia"
)
LIVE, LATE = "live", "late"
FIRST, END = at("2026-01-01 00:00"), at("2026-12-31 00:00")
DEADLINE_SECONDS = 30


class Interrupted(Poster):
    """A poster that breaks every other time, after it has posted and before that is committed."""

    turns = 0

    async def post_within(self, connection: Any, batch: Batch) -> Posted:
        posted = await super().post_within(connection, batch)
        self.turns += 1
        if self.turns % 2:
            raise asyncpg.InternalClientError("the session is gone")
        return posted


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of a few workers' sessions."""
    opened = await open_pool(database, application_name="tests", max_size=6)
    yield opened
    await opened.close()


@pytest.fixture
def poster(pool: Pool) -> Poster:
    """Posts by a tenant's credits."""
    return Poster(pool, BOOK, read_fact=_read, render=render)


async def test_a_clock_that_was_down_for_a_month_catches_up(pool: Pool, poster: Poster) -> None:
    """All that was due is posted in order, and every entry and event is that of a clock that ran.

    Only when it was recorded differs, and notices of what has ended meanwhile are not given.
    """
    now = FIRST
    await poster.post(Batch(tuple(arrivals(_weeks(LIVE), LIVE))))
    while now < at("2026-03-03 00:00"):
        await _run_down(_clock(pool, poster, now))
        now += timedelta(hours=7)
    live = await _ledger(pool, LIVE)

    await poster.post(Batch(tuple(arrivals(_weeks(LATE), LATE))))
    await _run_down(_clock(pool, poster, now))

    late = await _ledger(pool, LATE)
    assert live["entries"] == late["entries"]
    assert live["obligations"] == late["obligations"]
    assert live["state"] == late["state"]
    notices = {"credits-expiring"}
    assert [e for e in live["events"] if e[0] not in notices] == late["events"]
    assert notices < {kind for kind, _ in live["events"]}


async def test_a_year_told_in_any_order_ends_as_it_did_live(pool: Pool, poster: Poster) -> None:
    """Told a year late and shuffled, in batches, an account is where the pure core was live."""
    random = _seeded(2)
    facts = _year(random)
    expected = _state_of(_lived(facts))
    told = arrivals(random.sample(facts, len(facts)), LATE)
    for index in range(0, len(told), 17):
        await poster.post(Batch(tuple(told[index : index + 17])))
        if index % 4 == 0:
            await _clock(pool, poster, END).post_due()

    await _run_down(_clock(pool, poster, END))

    assert expected == (await _ledger(pool, LATE))["state"]


def test_a_year_in_any_order_ends_as_it_did_live() -> None:
    """In the ledger itself: whatever the order, and however late time is told to have passed."""
    for seed in range(5):
        random = _seeded(seed)
        facts = _year(random)
        lived = _lived(facts)
        passed = [f for subject in lived.facts.values() for f in subject if f not in facts]
        record = AccountRecord(ACCOUNT, BOOK)
        post(record, random.sample([*facts, *passed], len(facts) + len(passed)))
        assert _state_of(lived) == _state_of(record)


async def test_clocks_that_are_interrupted_post_each_instant_once(pool: Pool) -> None:
    """Several of them, cut off over and over before they can commit, neither miss nor repeat."""
    poster = Interrupted(pool, BOOK, read_fact=_read, render=render)
    steady = Poster(pool, BOOK, read_fact=_read, render=render)
    facts = _weeks(LATE)
    record = _lived(facts)
    await steady.post(Batch(tuple(arrivals(facts, LATE))))

    async with asyncio.timeout(DEADLINE_SECONDS):
        while await pool.fetchval("select count(*) from due"):
            clocks = (_clock(pool, poster, END, page_size=5).post_due() for _ in range(4))
            await asyncio.gather(*clocks, return_exceptions=True)

    passed = await _passed(pool, LATE)
    assert sorted(set(passed)) == passed
    assert _state_of(record) == (await _ledger(pool, LATE))["state"]


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

    state = (await _ledger(pool, ACCOUNT))["state"]
    assert [("plan/hot-desk/base/2026-03-01", 10, 0, 0, 0)] == state["grants"]


def _seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing is secret


def _weeks(prefix: str) -> list[Fact]:
    """The first weeks of a year, of bookings whose ids have a prefix."""
    return [f for f in _year(_seeded(1), prefix) if f.occurred_at < at("2026-03-01 00:00")]


def _year(random: Random, prefix: str = "") -> list[Fact]:
    """A year: renewals, bookings that are moved, cancelled and started, and a move of zone."""
    facts: list[Fact] = [
        an_account(zone="Europe/Sofia", policy="tenant"),
        an_account(
            since="2026-07-01", zone="America/New_York", policy="tenant", occurred="2026-06-20"
        ),
    ]
    for month in range(1, 13):
        period = f"2026-{month:02}-01"
        quantity = random.choice((20, 40, None))
        facts.append(
            a_renewal(an_allotment(quantity, unit="credit"), period=period, occurred=period)
        )
    for number in range(60):
        facts += _booking(random, f"{prefix}b{number}")
    return sorted(facts, key=lambda fact: fact.occurred_at)


def _booking(random: Random, booking_id: str) -> list[Fact]:
    booked = FIRST + timedelta(hours=random.randrange(24 * 330))
    starts = booked + timedelta(hours=random.randrange(1, 24 * 30))
    costs = {"credit": random.randrange(1, 9)}
    line = a_line(starts=starts, costs=costs, price=random.choice((500, 1999)))
    facts: list[Fact] = [a_booking(booking_id, line, occurred=booked)]
    act = random.choice(("keep", "keep", "start", "cancel", "cancel late", "move"))
    if act == "start":
        facts.append(a_start(booking_id, occurred=starts - timedelta(minutes=5)))
    elif act.startswith("cancel"):
        occurred = starts + timedelta(hours=-1 if act == "cancel" else 1)
        facts.append(a_cancellation(booking_id, occurred=occurred))
    elif act == "move":
        later = replace(
            line, starts_at=starts + timedelta(days=3), ends_at=starts + timedelta(days=4)
        )
        occurred = starts - timedelta(minutes=30)
        facts.append(a_booking(booking_id, later, revision=2, occurred=occurred, booked=booked))
    return facts


def _lived(facts: Iterable[Fact]) -> AccountRecord:
    """Settle each fact as it occurs, and what is due as its instant comes, until the year's end."""
    record = AccountRecord(ACCOUNT, BOOK)
    due: set[datetime] = set()

    def settle_one(fact: Fact) -> None:
        outcome = settle(record, fact)
        due.update(due_instants(record, outcome))
        record.accept(outcome)

    def pass_time(until: datetime) -> None:
        while due and min(due) <= until:
            instant = min(due)
            due.remove(instant)
            if record.present is None or record.present < instant:
                settle_one(time_passed(instant))

    for fact in facts:
        pass_time(fact.occurred_at)
        settle_one(fact)
    pass_time(END)
    return record


def _state_of(record: AccountRecord) -> dict[str, list[tuple[object, ...]]]:
    obligations = (o for held in record.obligations.values() for o in held if o.is_open)
    return {
        "charges": [
            (
                key[0].removeprefix(LATE),
                key[1],
                "{}/{}".format(*charge.coverage.uncovered),
                charge.drawn,
            )
            for key, charge in sorted(record.charges.items())
        ],
        "grants": [
            (i, r.buckets.available, r.buckets.held, r.buckets.drawn, r.buckets.expired)
            for i, r in sorted(record.grants.items())
        ],
        "owed": sorted(
            (o.key.booking_id.removeprefix(LATE), o.key.period_start, o.key.channel, o.total_minor)
            for o in obligations
        ),
    }


async def _ledger(pool: Pool, account_id: str) -> dict[str, Any]:
    """Read an account's entries, events and state, without what names the account or the moment."""
    queries = {
        "entries": "select entry_no, fact_no, grant_id, source_bucket, target_bucket, quantity,"
        " replace(booking_id, $1, ''), effective_at from entries where account_id = $1"
        " order by entry_no",
        "events": "select type, replace((payload::jsonb - '{recorded_at,sequence,previous_sequence,"
        "cause,obligation_id}'::text[])::text, $1, '') from announcements where account_id = $1"
        " order by sequence",
        "obligations": "select replace(booking_id, $1, ''), period_start, channel, revision,"
        " total_minor from obligations where account_id = $1"
        " order by booking_id, period_start, revision",
        "charges": "select replace(booking_id, $1, ''), line_no, uncovered, drawn from charges"
        ' where account_id = $1 order by booking_id collate "C", line_no',
        "grants": "select grant_id, available, held, drawn, expired from grants"
        ' where account_id = $1 order by grant_id collate "C"',
        "owed": "select replace(booking_id, $1, ''), period_start, channel, total_minor"
        " from obligations where account_id = $1 and is_open"
        ' order by booking_id collate "C", period_start',
    }
    found: dict[str, Any] = {
        name: [tuple(row) for row in await pool.fetch(query, account_id)]
        for name, query in queries.items()
    }
    found["state"] = {name: found.pop(name) for name in ("charges", "grants", "owed")}
    return found


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


def _read(kind: str, occurred_at: datetime, payload: str) -> Fact:
    return read_fact(kind, occurred_at, payload, BOOK)
