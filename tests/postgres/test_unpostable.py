"""Unpostable: a fact that the service cannot deal with is set aside alone."""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.outcomes import Outcome
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.postgres.writer import LedgerWriter
from booking_credits.posting.batch import Arrival, Batch, Posted
from booking_credits.posting.post import Poster, Render, Rendered
from builders import a_book, a_booking, a_grant, a_line
from postgres.arrivals import arrival

UNHEARD_OF = a_booking("unheard-of", a_line(), occurred="2026-02-01 11:00")
FACTS: list[Fact] = [
    a_grant("gift", 100, granted="2026-02-01 09:00"),
    a_booking("before", a_line(), occurred="2026-02-01 10:00"),
    UNHEARD_OF,
    a_booking("after", a_line(), occurred="2026-02-01 12:00"),
]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """One connection to an empty database."""
    opened = await open_pool(database, application_name="tests", max_size=1)
    try:
        yield opened
    finally:
        await opened.close()


async def test_what_cannot_be_rendered_harms_no_neighbour(pool: Pool) -> None:
    """Also not one that was settled after it, and it may be told again once it can be."""
    posted = await post(pool, FACTS, render_or_fail)
    again = await post(pool, [UNHEARD_OF])

    assert [("unpostable", "KeyError")] == [(d.reason, d.detail) for d in posted.dead_letters]
    assert [] == again.dead_letters
    assert [*but_for_unheard_of(), UNHEARD_OF.subject] == await subjects_in(pool)


@pytest.mark.parametrize(("where", "name"), [(LedgerWriter, "note"), (AccountRecord, "accept")])
async def test_what_the_service_makes_a_mistake_over_harms_no_neighbour(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, where: type, name: str
) -> None:
    """Trying the batch again would bring the same, so its cause is looked for."""
    right = getattr(where, name)

    def mistake(*arguments: Any) -> None:
        if arguments[-1].fact == UNHEARD_OF:
            raise AttributeError(UNHEARD_OF.booking_id)
        right(*arguments)

    monkeypatch.setattr(where, name, mistake)
    posted = await post(pool, FACTS)

    assert [("unpostable", "AttributeError")] == [(d.reason, d.detail) for d in posted.dead_letters]
    assert but_for_unheard_of() == await subjects_in(pool)


async def post(pool: Pool, facts: Sequence[Fact], render: Render = render) -> Posted:
    """Post facts in one batch."""
    poster = Poster(pool, a_book(), read_fact=partial(read_fact, book=a_book()), render=render)
    return await poster.post(Batch(tuple(map(arrival, facts))))


async def subjects_in(pool: Pool) -> list[str]:
    """List the subjects of the facts on record, in their order."""
    rows = await pool.fetch("select subject from facts order by fact_no")
    return [row["subject"] for row in rows]


def but_for_unheard_of() -> list[str]:
    """List the subjects of all facts but the one."""
    return [fact.subject for fact in FACTS if fact is not UNHEARD_OF]


def render_or_fail(
    arrival: Arrival, outcome: Outcome, grants: Mapping[str, GrantRecord]
) -> Sequence[Rendered]:
    """Render as the service does, but for one booking."""
    if arrival.fact == UNHEARD_OF:
        raise KeyError(UNHEARD_OF.booking_id)
    return render(arrival, outcome, grants)
