"""Unpostable: a fact that the service cannot deal with is set aside alone."""

from collections.abc import Mapping, Sequence
from functools import partial

from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.outcomes import Outcome
from booking_credits.outbox.rendering import render
from booking_credits.postgres.pool import open_pool
from booking_credits.posting.batch import Arrival, Batch
from booking_credits.posting.post import Poster, Rendered
from builders import a_book, a_booking, a_grant, a_line
from postgres.arrivals import arrival

UNHEARD_OF = a_booking("unheard-of", a_line(), occurred="2026-02-01 11:00")
FACTS: list[Fact] = [
    a_grant("gift", 100, granted="2026-02-01 09:00"),
    a_booking("before", a_line(), occurred="2026-02-01 10:00"),
    UNHEARD_OF,
    a_booking("after", a_line(), occurred="2026-02-01 12:00"),
]


async def test_what_cannot_be_rendered_harms_no_neighbour(database: str) -> None:
    """Also not one that was settled after it, and it may be told again once it can be."""
    pool = await open_pool(database, application_name="tests", max_size=1)
    read = partial(read_fact, book=a_book())
    try:
        poster = Poster(pool, a_book(), read_fact=read, render=render_or_fail)
        posted = await poster.post(Batch(tuple(map(arrival, FACTS))))
        mended = Poster(pool, a_book(), read_fact=read, render=render)
        again = await mended.post(Batch((arrival(UNHEARD_OF),)))
        subjects = await pool.fetch("select subject from facts order by fact_no")
    finally:
        await pool.close()

    assert [("unpostable", "KeyError")] == [(d.reason, d.detail) for d in posted.dead_letters]
    assert [] == again.dead_letters
    told = [*(fact for fact in FACTS if fact is not UNHEARD_OF), UNHEARD_OF]
    assert [fact.subject for fact in told] == [row["subject"] for row in subjects]


def render_or_fail(
    arrival: Arrival, outcome: Outcome, grants: Mapping[str, GrantRecord]
) -> Sequence[Rendered]:
    """Render as the service does, but for one booking."""
    if arrival.fact == UNHEARD_OF:
        raise KeyError(UNHEARD_OF.booking_id)
    return render(arrival, outcome, grants)
