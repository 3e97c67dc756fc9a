"""Mishaps: whatever goes wrong on the way, the rows of an account are those of the pure core."""

from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import NamedTuple, TypeAlias

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import PolicyBook
from booking_credits.outbox.rendering import render
from booking_credits.postgres.kept_records import VALUES_KEPT
from booking_credits.postgres.pool import open_pool
from booking_credits.posting.batch import Arrival, Batch, Posted
from booking_credits.posting.post import Poster, Rendered
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

EventKey: TypeAlias = tuple[str, str]

TRIES = 10


class Course(NamedTuple):
    """Histories of accounts that come mixed up, and what goes wrong.

    `order` says whose next fact comes, `poison` which of them cannot be rendered, `breaks` at the
    how manieth rendering a posting breaks off; `turns` say which of three workers posts a batch.
    """

    book: PolicyBook
    histories: list[list[Fact]]
    order: list[int]
    poison: list[int]
    breaks: list[int]
    sizes: list[int]
    turns: list[int]
    page_size: int
    values_kept: int
    appended_at_once: int


@st.composite
def courses(draw: st.DrawFn) -> Course:
    """Draw up to three histories, with up to three mishaps of each kind."""
    told = draw(st.lists(histories(), min_size=1, max_size=3))
    order = draw(st.permutations([n for n, facts in enumerate(told) for _ in facts]))
    return Course(
        draw(books),
        told,
        order,
        draw(st.lists(st.integers(0, len(order) - 1), max_size=3)),
        draw(st.lists(st.integers(1, 60), max_size=3)),
        draw(st.lists(st.integers(1, 15), min_size=1, max_size=20)),
        draw(st.lists(st.integers(0, 2), min_size=1, max_size=10)),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([30, VALUES_KEPT])),
        draw(st.sampled_from([1, 3, 200])),
    )


@pytest.mark.timeout(600)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(course=courses())
async def test_whatever_breaks_off_or_cannot_be_rendered_is_as_if_it_had_not_come(
    database: str, course: Course
) -> None:
    """Of several accounts in a batch, by workers that keep what they read and tell it early."""
    accounts = [f"mishap-{next(ACCOUNTS)}" for _ in course.histories]
    by_account = {
        account_id: [arrival(named_after(as_published(f), account_id), account_id) for f in facts]
        for account_id, facts in zip(accounts, course.histories, strict=True)
    }
    coming = [iter(arrivals) for arrivals in by_account.values()]
    arrivals = [next(coming[number]) for number in course.order]
    rendering = Rendering({_key(arrivals[place]) for place in course.poison}, course.breaks)

    pool = await open_pool(database, application_name="tests", max_size=2)
    try:
        with appending_after(course.appended_at_once), widening_after(3 - course.page_size):
            await _post(pool, course, arrivals, rendering)
        for account_id, told in by_account.items():
            good = [a for a in told if _key(a) not in rendering.poison]
            assert rows_of(*expected_of(account_id, course.book, good)) == await stored_of(
                pool, account_id
            )
    finally:
        await pool.close()


@dataclass
class Rendering:
    """Renders as the service does, but for what cannot be, and breaks off now and then."""

    poison: set[EventKey]
    breaks: list[int]
    count: int = field(default=0)

    def __call__(
        self, arrival: Arrival, outcome: Outcome, grants: Mapping[str, GrantRecord]
    ) -> Sequence[Rendered]:
        self.count += 1
        if self.count in self.breaks:
            raise CancelledError
        if _key(arrival) in self.poison:
            raise ValueError
        return render(arrival, outcome, grants)


async def _post(
    pool: "asyncpg.Pool[asyncpg.Record]",
    course: Course,
    arrivals: Sequence[Arrival],
    rendering: Rendering,
) -> None:
    limits = {"page_size": course.page_size, "values_kept": course.values_kept}
    read = partial(read_by, course.book)
    workers = [Poster(pool, course.book, read_fact=read, render=rendering, **limits) for _ in "123"]
    for part, turn in zip(cut_by(arrivals, course.sizes), cycle(course.turns), strict=False):
        posted = await _post_until_posted(workers[turn], Batch(tuple(part)))
        assert {letter.reason for letter in posted.dead_letters} <= {*CONFLICTS, "unpostable"}


async def _post_until_posted(worker: Poster, batch: Batch) -> Posted:
    for _ in range(TRIES):
        try:
            return await worker.post(batch)
        except CancelledError:
            continue
    raise AssertionError("a posting broke off more often than was drawn")


def _key(arrival: Arrival) -> EventKey:
    return arrival.source, arrival.event_id
