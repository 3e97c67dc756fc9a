"""Batches: what Postgres holds of a history, however it was cut, is what the pure core says."""

from dataclasses import replace
from functools import partial
from itertools import cycle, zip_longest
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from booking_credits.ledger.facts import Fact
from booking_credits.ledger.policies import PolicyBook
from booking_credits.outbox.rendering import render
from booking_credits.postgres.kept_records import VALUES_KEPT
from booking_credits.postgres.pool import open_pool
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
    a_standing_allotment,
    an_account,
    an_allotment,
    at,
    time_passed,
)
from ledger.histories import books, histories
from ledger.loading import widening_after
from postgres.arrivals import appending_after, arrival, as_published
from postgres.rows import (
    ACCOUNTS,
    CONFLICTS,
    cut_by,
    expected_of,
    named_after,
    read_by,
    rows_of,
    stored_of,
)


class Cut(NamedTuple):
    """A history, which of its facts come again, and how it is posted.

    `turns` say which of three workers posts each batch; each keeps so many values, and gives the
    database what it has settled after so many facts.
    """

    book: PolicyBook
    facts: list[Fact]
    again: list[int]
    sizes: list[int]
    page_size: int
    turns: list[int] = [0]  # noqa: RUF012 - never changed
    values_kept: int = 0
    appended_at_once: int = 200


@st.composite
def cuts(draw: st.DrawFn) -> Cut:
    """Draw a history with some facts coming twice, and the sizes of its batches and pages."""
    book, facts = draw(books), draw(histories())
    again = draw(st.lists(st.integers(0, len(facts) - 1), max_size=3))
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=40))
    turns = draw(st.lists(st.integers(0, 2), min_size=1, max_size=10))
    kept = draw(st.sampled_from([0, 25, VALUES_KEPT]))
    at_once = draw(st.sampled_from([1, 3, 200]))
    return Cut(book, facts, again, sizes, draw(st.integers(1, 3)), turns, kept, at_once)


@pytest.mark.timeout(600)
@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(cut=cuts())
async def test_however_a_history_is_cut_the_rows_are_those_of_the_pure_core(
    database: str, cut: Cut
) -> None:
    """Entries, announcements, charges, grants and obligations equal the core's, byte for byte."""
    await _check(database, cut)


async def test_what_a_closed_line_keeps_is_known_when_it_needs_it_again(database: str) -> None:
    """Corrected away and back, it finds its grant, which has come to end earlier meanwhile."""
    there = a_line(starts="2026-03-10 10:00", costs={"coin": 6})
    gone = a_line(starts="2026-06-10 10:00", costs={"coin": 6})
    facts: list[Fact] = [
        a_renewal(an_allotment(10), ends="2026-05-01"),
        a_booking("first", there, occurred="2026-02-01 00:00"),
        a_closing("2026-04-01 00:00"),
        a_renewal(an_allotment(10), ends="2026-03-05", version=2),
        # Of the grants that have ended before the line, the last is known for its reasons.
        a_grant("ended-later", 10, valid_to="2026-03-09 00:00"),
        a_booking("first", gone, revision=2, corrected_by="petra", occurred="2026-04-10 09:00"),
        a_booking("first", there, revision=3, corrected_by="petra", occurred="2026-04-11 09:00"),
    ]
    await _check(database, Cut(a_book(policy="packs"), facts, [], [1], 3))


async def test_what_closed_lines_took_stays_on_record_whatever_becomes_of_its_grant(
    database: str,
) -> None:
    """From an allotment, from the renewal in its place and, when no rule is left, of a remnant."""
    paid = a_line(starts="2026-03-10 10:00", costs={"coin": 6})
    of_plan, of_none = (
        an_account(
            since=since,
            policy="packs",
            allotments=[a_standing_allotment(10, unit="coin", plan_line=plan_line)],
        )
        for since, plan_line in (("2026-01-01", ("hot-desk", "base")), ("2026-01-02", None))
    )
    moved = an_account(since="2026-01-03", anchor="2026-01-15", policy="packs")
    facts: list[Fact] = [
        of_plan,
        a_booking("first", paid, occurred="2026-02-01 00:00"),
        time_passed("2026-04-01 00:00"),
        a_closing("2026-04-01 00:00"),
        a_renewal(an_allotment(3)),
        a_booking("late", replace(paid, line_no=2), occurred="2026-01-31 00:00"),
        of_none,
        moved,
        a_cancellation("first", occurred="2026-03-09 09:00"),
    ]
    await _check(database, Cut(a_book(policy="packs"), facts, [], [1] * 9, 3))


async def test_what_closed_lines_gave_back_stays_given_back(database: str) -> None:
    """In part, whole and in another period; facts in between are read where they are asked for."""
    paid = a_line(starts="2026-03-10 10:00", costs={"coin": 6})
    cheap = replace(paid, costs=(("coin", 2),))
    moved = replace(paid, starts_at=at("2026-04-12 10:00"), ends_at=at("2026-04-12 11:00"))
    facts: list[Fact] = [
        a_grant("pack", 10, granted="2026-01-01 00:00"),
        a_booking("first", paid, occurred="2026-02-01 00:00"),
        a_booking("second", paid, occurred="2026-02-01 00:00"),
        a_closing("2026-04-01 00:00"),
        a_booking("first", cheap, revision=2, corrected_by="petra", occurred="2026-04-02 00:00"),
        a_booking("second", moved, revision=2, corrected_by="petra", occurred="2026-04-02 00:00"),
        a_booking("first", paid, revision=3, corrected_by="petra", occurred="2026-04-03 00:00"),
        a_booking(
            "early", replace(paid, starts_at=at("2026-03-05 10:00")), occurred="2026-02-01 00:00"
        ),
        a_closing("2026-05-01 00:00"),
        a_cancellation("second", occurred="2026-04-01 00:00", revision=3),
        a_booking("second", moved, revision=4, corrected_by="petra", occurred="2026-05-02 00:00"),
        a_closing("2026-06-01 00:00"),
    ]
    await _check(database, Cut(a_book(policy="packs"), facts, [], [1, 2], 3))


async def test_a_statement_counts_once_what_was_appended_before_it(database: str) -> None:
    """In the same batch, when the database has the entries already and the account not yet."""
    facts: list[Fact] = [
        a_grant("pack", 20, granted="2026-01-01 00:00"),
        a_booking("first", a_line(starts="2026-03-10 10:00", costs={"coin": 6})),
        time_passed("2026-03-10 11:00"),
        a_closing("2026-04-01 00:00"),
    ]
    await _check(database, Cut(a_book(policy="packs"), facts, [], [1, 3], 3, appended_at_once=1))


async def _check(database: str, cut: Cut) -> None:
    with appending_after(cut.appended_at_once), widening_after(3 - cut.page_size):
        await _check_rows(database, cut)


async def _check_rows(database: str, cut: Cut) -> None:
    book, facts, again, sizes, page_size, turns, values_kept, _ = cut
    account_id = f"account-{next(ACCOUNTS)}"
    arrivals = [arrival(named_after(as_published(fact), account_id), account_id) for fact in facts]
    arrivals += [arrivals[index] for index in again]
    record, expected = expected_of(account_id, book, arrivals)

    pool = await open_pool(database, application_name="test", max_size=2)
    try:
        read = partial(read_by, book)
        limits = {"page_size": page_size, "values_kept": values_kept}
        workers = [Poster(pool, book, read_fact=read, render=render, **limits) for _ in "123"]
        for batch, turn in zip(cut_by(arrivals, sizes), cycle(turns), strict=False):
            posted = await workers[turn].post(Batch(tuple(batch)))
            assert [] == [
                letter for letter in posted.dead_letters if letter.reason not in CONFLICTS
            ]
        stored = await stored_of(pool, account_id)
    finally:
        await pool.close()

    rows = rows_of(record, expected)
    assert [] == [pair for table in rows for pair in _unlike(rows[table], stored[table])][:3]
    assert rows == stored


def _unlike(
    expected: list[tuple[object, ...]], actual: list[tuple[object, ...]]
) -> list[tuple[object, ...]]:
    """Pair the rows that are not what they should be, to be read when there are any."""
    return [pair for pair in zip_longest(expected, actual) if pair[0] != pair[1]]
