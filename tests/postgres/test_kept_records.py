"""Kept records: what a worker need not read again, and when it must."""

from asyncio import CancelledError
from collections.abc import Mapping, Sequence
from functools import partial

import pytest

from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.outcomes import Numbers, Outcome
from booking_credits.outbox.rendering import render
from booking_credits.postgres.kept_records import KeptRecords
from booking_credits.postgres.pool import open_pool
from booking_credits.posting.batch import Arrival, Batch
from booking_credits.posting.post import Poster, Rendered
from builders import a_book, a_booking, a_grant, a_line
from postgres.arrivals import a_poster, arrival

FIRST = a_booking("first", a_line(), occurred="2026-02-01 10:00")
LONGER = a_booking("first", a_line(minutes=180), revision=2, occurred="2026-02-01 11:00")
AGAIN = a_booking("first", a_line(minutes=120), revision=3, occurred="2026-02-01 12:00")
BROKEN_OFF = a_booking("second", a_line(), occurred="2026-02-01 11:30")


def test_a_record_is_handed_out_once() -> None:
    """Two postings at a time cannot both go on from it."""
    kept, record = KeptRecords(100), a_record("acme")
    kept.keep([record])

    assert record is kept.take("acme", record.numbers)
    assert None is kept.take("acme", record.numbers)


def test_a_record_of_other_numbers_is_not_handed_out() -> None:
    """Someone else has posted to the account meanwhile."""
    kept, record = KeptRecords(100), a_record("acme")
    kept.keep([record])

    assert None is kept.take("acme", Numbers(fact=2))
    assert None is kept.take("acme", record.numbers)


def test_the_records_used_last_are_kept() -> None:
    """As many values as there is room for; an account of very many is not kept at all."""
    kept = KeptRecords(1_500)
    records = [a_record(name, values=700) for name in ("acme", "bolt", "crow")]
    kept.keep([*records, a_record("huge", values=10_001)])
    found = [kept.take(name, Numbers()) for name in ("acme", "bolt", "crow", "huge")]

    assert [None, *records[1:], None] == found


async def test_what_is_kept_is_not_read_again(database: str) -> None:
    """A second posting to an account reads its row alone, which says that nothing has changed."""
    async with a_poster(database) as poster, a_poster(database, values_kept=0) as forgetful:
        await poster.post(Batch((arrival(FIRST),)))
        kept = await poster.post(Batch((arrival(LONGER),)))
        read = await forgetful.post(Batch((arrival(AGAIN),)))

    # Events claimed and bookings owned are not the ledger's.
    assert 1 == kept.rows_read
    assert read.rows_read > 1


async def test_what_a_failed_posting_used_is_read_again(database: str) -> None:
    """What it had settled is not on record, though another fact may have its number by then."""
    gift = a_grant("gift", 100, granted="2026-02-01 10:30")
    pool = await open_pool(database, application_name="tests", max_size=1)
    try:
        read = partial(read_fact, book=a_book())
        poster = Poster(pool, a_book(), read_fact=read, render=render_or_break_off)
        await poster.post(Batch((arrival(FIRST),)))
        with pytest.raises(CancelledError):
            await poster.post(Batch((arrival(LONGER), arrival(BROKEN_OFF))))
        async with a_poster(database) as other:
            await other.post(Batch((arrival(gift),)))
        posted = await poster.post(Batch((arrival(AGAIN),)))
    finally:
        await pool.close()

    assert posted.rows_read > 1


def render_or_break_off(
    arrival: Arrival, outcome: Outcome, grants: Mapping[str, GrantRecord]
) -> Sequence[Rendered]:
    """Render as the service does, but break off where told so."""
    if arrival.fact == BROKEN_OFF:
        raise CancelledError
    return render(arrival, outcome, grants)


def a_record(account_id: str, *, values: int = 1) -> AccountRecord:
    """Make a record that holds so many values."""
    record = AccountRecord(account_id, a_book())
    record.facts.update((f"subject-{number}", ()) for number in range(values))
    return record
