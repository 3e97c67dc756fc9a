"""Bounds: what a posting reads grows with what changes, not with the lines that are open."""

import gc
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from re import findall

import pytest

from booking_credits.app import reader_by
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.facts import BookingRevised, Fact
from booking_credits.ledger.needs import Need
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pages import PAGE_SIZE
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.postgres.reader import LedgerReader
from booking_credits.postgres.sql import load_queries
from booking_credits.posting.batch import Batch
from booking_credits.posting.post import Poster
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_closing,
    a_grant,
    a_line,
    a_renewal,
    an_account,
    an_allotment,
    at,
    time_passed,
)
from postgres.arrivals import a_poster, arrival

LINES_IN_BOOKING = 10
BOOKINGS_IN_BATCH = 250
COST = 100

MANY_FACTS = """
    insert into facts
    select account_id, n, 'booking/' || n, type, source, event_id || n, occurred_at, recorded_at,
        payload, payload_hash, answer
    from facts cross join generate_series(2, 20001) as n where account_id = 'company-0'
"""

ACTS: dict[str, Fact] = {
    "a booking that finds nothing left": a_booking(
        "new", a_line(starts="2026-03-20 10:00"), occurred="2026-03-02 10:00"
    ),
    "a cancellation that frees an exhausted grant": a_cancellation(
        "b7", revision=2, occurred="2026-03-01 09:00"
    ),
    "a late renewal that reaches the first short lines": a_renewal(
        an_allotment(250, plan_line="late"), period="2026-03-01", occurred="2026-03-02 10:00"
    ),
    "a larger booking that takes from the youngest": a_booking(
        "b8",
        *(a_line(n, starts="2026-03-10 10:00", costs={"coin": COST + 1}) for n in range(1, 11)),
        revision=2,
        occurred="2026-02-20 10:00",
        booked=at("2026-02-02 08:00") + timedelta(seconds=8),
    ),
}


AFTER_CLOSING: dict[str, Fact] = {
    "a booking of the open period": a_booking(
        "new", a_line(starts="2026-04-20 10:00"), occurred="2026-04-02 10:00"
    ),
    "a line learned late": a_booking(
        "late", a_line(starts="2026-03-01 10:00"), occurred="2026-02-01 10:00"
    ),
    "a closed line that was cancelled in time": a_cancellation(
        "b3", revision=2, occurred="2026-03-01 09:00"
    ),
    "credits given late": a_grant("gift", 250, granted="2026-03-01 00:00"),
    "the next close": a_closing("2026-05-01 00:00"),
}


@pytest.mark.timeout(600)
async def test_rows_read_do_not_grow_with_open_lines(database: str) -> None:
    """At 100,000 open lines a posting reads what it reads at 1,000."""
    async with a_poster(database, values_kept=0) as poster:
        few = await _rows_read(poster, "few", open_lines=1_000)
        many = await _rows_read(poster, "many", open_lines=100_000)

    assert few.keys() == many.keys()
    assert [] == [act for act, rows in many.items() if rows > few[act] * 1.1 or rows > 1_000]


@pytest.mark.timeout(600)
async def test_rows_read_do_not_grow_with_closed_lines(database: str) -> None:
    """What was closed is read again only where it is changed itself."""
    async with a_poster(database, values_kept=0) as poster:
        few = await _rows_read_after_closing(poster, "few", closed_lines=100)
        many = await _rows_read_after_closing(poster, "many", closed_lines=3_000)

    assert few.keys() == many.keys()
    assert [] == [act for act, rows in many.items() if rows > few[act] * 1.1 or rows > 200]


async def test_a_fact_that_reaches_many_lines_is_settled_again_for_few_pages(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight times as many short lines, or lines that give way, are three larger pages."""
    answers = counted_answers(monkeypatch)
    async with a_poster(database, values_kept=0) as poster:
        few = await _answers_to_a_renewal(poster, "few", 150, answers)
        many = await _answers_to_a_renewal(poster, "many", 1_200, answers)

    assert [pages + 3 for pages in few] == many


async def test_a_batch_reads_as_little_whatever_its_order(database: str) -> None:
    """Who asks from an earlier place than the fact before reads a first page, whatever was read."""
    async with a_poster(database, values_kept=0) as poster:
        forward = await _rows_read_cancelling(poster, "forward", range(8))
        backward = await _rows_read_cancelling(poster, "backward", reversed(range(8)))

    assert backward <= forward + 8 * PAGE_SIZE


async def test_a_cascade_is_settled_again_for_few_answers(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many grants it goes through, each of which gives to the one before."""
    answers = counted_answers(monkeypatch)
    async with a_poster(database, values_kept=0) as poster:
        few = await _answers_to_a_cascade(poster, "few", 50, answers)
        many = await _answers_to_a_cascade(poster, "many", 200, answers)

    assert few == many
    assert few < 50


async def test_facts_are_found_by_their_subject(database: str) -> None:
    """Each by itself, also by who last counted a single fact of each account."""
    async with open_by_index(database) as pool:
        poster = Poster(pool, a_book(), read_fact=reader_by(a_book()), render=render)
        accounts = [f"company-{number}" for number in range(1_000)]
        await poster.post(Batch(tuple(arrival(an_account(), account) for account in accounts)))
        await pool.execute("vacuum analyze facts")
        await pool.execute(MANY_FACTS)
        subjects = ["account"] * len(accounts)
        conditions = await conditions_of(
            pool, "ledger.sql", "facts_of_subjects", accounts, subjects
        )

    assert ["((account_id = w.account_id) AND (subject = w.subject))"] == conditions


async def test_what_was_published_is_found_by_its_key(database: str) -> None:
    """In an outbox that was last looked at when it was empty, as it mostly is."""
    async with open_by_index(database) as pool:
        await pool.execute("vacuum analyze outbox")
        conditions = await conditions_of(pool, "outbox.sql", "remove_published", [1], [1])

    assert "((shard = w.shard) AND (id = w.id))" in conditions


async def test_who_is_short_in_a_window_is_found_by_when_it_starts(database: str) -> None:
    """However long the account's past is, in which others were short."""
    asked = (["company"], ["gift"], [at("2026-03-01 00:00")], [None], [""], ["gift"], [True], [100])
    async with open_by_index(database) as pool:
        conditions = await conditions_of(pool, "ledger.sql", "wanting_above", *asked)

    by_account = "(account_id = w.account_id) AND"
    window = "(starts_at >= w.from_at) AND (starts_at < COALESCE(w.to_at, 'infinity'::timestamp"
    assert 1 == len([c for c in conditions if c.startswith(f"({by_account} {window}")])
    assert f"({by_account} (rank > w.above))" in conditions


def counted_answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note for each answer that is read how many questions it was to."""
    answers: list[int] = []
    answer = LedgerReader.answer

    async def count(reader: LedgerReader, needs: Sequence[tuple[AccountRecord, Need]]) -> None:
        answers.append(len(needs))
        await answer(reader, needs)

    monkeypatch.setattr(LedgerReader, "answer", count)
    return answers


async def _answers_to_a_renewal(
    poster: Poster, account_id: str, lines: int, answers: list[int]
) -> list[int]:
    """Renew late for lines that are short, and correct it to little; returns the answers to each.

    The corrected one displaces nearly all of them.
    """
    come = partial(arrival, account_id=account_id)
    bookings = [_full_booking(account_id, number) for number in range(lines // LINES_IN_BOOKING)]
    await poster.post(Batch(tuple(map(come, bookings))))
    counts = []
    for version, quantity in ((1, lines * COST), (2, COST)):
        answers.clear()
        allotment = an_allotment(quantity)
        renewal = a_renewal(allotment, period="2026-03-01", version=version)
        posted = await poster.post(Batch((come(renewal),)))
        assert posted.entries >= lines - 1
        counts.append(len(answers))
    return counts


async def _rows_read_cancelling(poster: Poster, account_id: str, cancelled: Iterable[int]) -> int:
    """Cancel bookings in one batch, each leaving what a line costs to thousands that are short."""
    come = partial(arrival, account_id=account_id)
    covered = [
        a_booking(
            f"{account_id}-b{number}",
            a_line(starts="2026-03-05 10:00", costs={"coin": COST}),
            occurred=at("2026-02-01 08:00") + timedelta(seconds=number),
        )
        for number in range(8)
    ]
    short = [_full_booking(f"{account_id}-short", number) for number in range(400)]
    gift = a_grant("gift", len(covered) * COST, granted="2026-01-01 08:00")
    await poster.post(Batch(tuple(map(come, [gift, *covered, *short]))))
    cancellations = [
        a_cancellation(f"{account_id}-b{number}", occurred="2026-02-20 09:00")
        for number in cancelled
    ]
    posted = await poster.post(Batch(tuple(map(come, cancellations))))
    assert posted.entries == 2 * len(cancellations)
    return posted.rows_read


async def _answers_to_a_cascade(
    poster: Poster, account_id: str, grants: int, answers: list[int]
) -> int:
    """Cancel the first of as many bookings as there are grants, each of which pays one."""
    come = partial(arrival, account_id=account_id)
    since = at("2026-02-01 08:00")
    gifts = [
        a_grant(
            f"gift-{number}", LINES_IN_BOOKING * COST, granted=since + timedelta(seconds=number)
        )
        for number in range(grants)
    ]
    bookings = [_full_booking(account_id, number) for number in range(grants)]
    await poster.post(Batch(tuple(map(come, [*gifts, *bookings]))))
    answers.clear()
    cancelled = a_cancellation(f"{account_id}-b0", revision=2, occurred="2026-02-20 09:00")
    posted = await poster.post(Batch((come(cancelled),)))
    assert posted.entries >= grants
    return len(answers)


@asynccontextmanager
async def open_by_index(dsn: str) -> AsyncIterator[Pool]:
    """Open a pool of one session that plans as a worker's do."""
    pool = await open_pool(dsn, application_name="test", max_size=1, role=None, by_index=True)
    try:
        yield pool
    finally:
        await pool.close()


async def conditions_of(pool: Pool, file: str, query: str, *arguments: object) -> list[str]:
    """Return by what the plan looks rows up that a query comes to be run by, whatever is asked."""
    await pool.execute("set plan_cache_mode to force_generic_plan")
    plan = await pool.fetch(f"explain {load_queries(file)[query]}", *arguments)
    return findall(r"Cond: (.*)", "\n".join(row[0] for row in plan))


async def test_a_posting_leaves_nothing_to_the_collector(database: str) -> None:
    """What was read and is not kept is let go of, also where the ledger asked for more."""
    pool = await open_pool(database, application_name="test", max_size=2)
    gc.disable()
    try:
        read = reader_by(a_book())
        poster = Poster(pool, a_book(), read_fact=read, render=render, values_kept=0)
        await _rows_read(poster, "tidy", open_lines=100)
        records = [thing for thing in gc.get_objects() if isinstance(thing, AccountRecord)]
    finally:
        gc.enable()
        await pool.close()

    assert [] == [record for record in records if record.account_id == "tidy"]


async def _rows_read(poster: Poster, account_id: str, *, open_lines: int) -> dict[str, int]:
    """Fill an account whose grant is exhausted by all but its last bookings, and post each act."""
    bookings = open_lines // LINES_IN_BOOKING
    covered = (bookings - 5) * LINES_IN_BOOKING * COST
    come = partial(arrival, account_id=account_id)
    granted = a_renewal(an_allotment(covered), period="2026-03-01", occurred="2026-02-01 10:00")
    await poster.post(Batch((come(granted),)))
    for first in range(0, bookings, BOOKINGS_IN_BATCH):
        numbers = range(first, min(first + BOOKINGS_IN_BATCH, bookings))
        await poster.post(Batch(tuple(come(_full_booking(account_id, n)) for n in numbers)))
    rows: dict[str, int] = {}
    for act, fact in ACTS.items():
        posted = await poster.post(Batch((come(_named_for(fact, account_id)),)))
        assert [1] == list(posted.outcomes.values())
        assert posted.announcements > 0
        rows[act] = posted.rows_read
    return rows


async def _rows_read_after_closing(
    poster: Poster, account_id: str, *, closed_lines: int
) -> dict[str, int]:
    """Fill a month, close it, and post what concerns it late, and what does not."""
    bookings = closed_lines // LINES_IN_BOOKING
    come = partial(arrival, account_id=account_id)
    granted = a_renewal(an_allotment((closed_lines - 5) * COST), occurred="2026-02-01 10:00")
    facts = [granted, *(_full_booking(account_id, number) for number in range(bookings))]
    await poster.post(Batch(tuple(map(come, facts))))
    await poster.post(Batch((come(time_passed("2026-04-01 00:00")),)))
    await poster.post(Batch((come(a_closing("2026-04-01 00:00")),)))
    rows: dict[str, int] = {}
    for act, fact in AFTER_CLOSING.items():
        posted = await poster.post(Batch((come(_named_for(fact, account_id)),)))
        assert [1] == list(posted.outcomes.values()), act
        rows[act] = posted.rows_read
    return rows


def _full_booking(account_id: str, number: int) -> Fact:
    """Make the account's booking of a number, each booked a second after the one before."""
    day = 2 + number % 28
    lines = (
        a_line(n, starts=f"2026-03-{day:02d} 10:00", costs={"coin": COST})
        for n in range(1, LINES_IN_BOOKING + 1)
    )
    booked = at("2026-02-02 08:00") + timedelta(seconds=number)
    return a_booking(f"{account_id}-b{number}", *lines, occurred=booked)


def _named_for(fact: Fact, account_id: str) -> Fact:
    """Name a booking after the account: a booking belongs to one for life."""
    if isinstance(fact, BookingRevised):
        return replace(fact, booking_id=f"{account_id}-{fact.booking_id}")
    return fact
