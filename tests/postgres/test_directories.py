"""Directories beside the ledger: whose a booking is, which events were posted, by which rules."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import islice

import pytest

from booking_credits.ledger.policies import Unit
from booking_credits.policy_record import PoliciesDiffer, keep_policies, rules_of
from booking_credits.postgres.audit import Violation
from booking_credits.postgres.pool import Pool, open_pool
from booking_credits.posting.batch import Batch, DeadLetter, Origin
from booking_credits.posting.post import Poster
from booking_credits.verify.verification import verify
from builders import COINS, PACKS, TENANT, a_book, a_booking, a_cancellation, a_line, at
from postgres.arrivals import RECORDED_AT, a_poster, arrival


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A pool of a worker's sessions."""
    opened = await open_pool(database, application_name="test", max_size=2)
    yield opened
    await opened.close()


@pytest.fixture
async def poster(database: str) -> AsyncIterator[Poster]:
    """Posts by the usual book."""
    async with a_poster(database) as opened:
        yield opened


async def test_a_booking_belongs_to_one_account_for_life(poster: Poster) -> None:
    """The same booking under a second account is set aside, in the same batch and later."""
    mine, theirs = arrival(a_booking()), arrival(a_booking(), "someone-else")
    later = arrival(a_cancellation(), "someone-else")

    first = await poster.post(Batch((mine, theirs)))
    second = await poster.post(Batch((later,)))

    assert ["other_account"] == [letter.reason for letter in first.dead_letters]
    assert ["other_account"] == [letter.reason for letter in second.dead_letters]
    assert 1 == first.outcomes["booking-created", "posted"]


async def test_the_same_id_with_other_content_is_set_aside(poster: Poster) -> None:
    """Nothing of the second event is posted; the first, sent again, is a duplicate."""
    first = arrival(a_booking(), event_id="e1")
    other = arrival(a_booking("retro"), event_id="e1")

    await poster.post(Batch((first,)))
    posted = await poster.post(Batch((other, first)))

    assert ["event_conflict"] == [letter.reason for letter in posted.dead_letters]
    assert 1 == posted.outcomes["booking-created", "duplicate"]
    assert 0 == posted.entries


async def test_a_revision_with_other_content_is_set_aside_and_its_id_is_free(
    poster: Poster,
) -> None:
    """What contradicts the record changes nothing and may be sent again under its id."""
    dearer = a_booking("standup", a_line(costs={"coin": 2000}))

    await poster.post(Batch((arrival(a_booking()),)))
    first = await poster.post(Batch((arrival(dearer, event_id="e2"),)))
    again = await poster.post(Batch((arrival(replace(dearer, revision=2), event_id="e2"),)))

    assert ["revision_conflict"] == [letter.reason for letter in first.dead_letters]
    assert 1 == again.outcomes["booking-updated", "posted"]


@pytest.mark.parametrize("sizes", [(4,), (1, 3), (2, 2), (3, 1)])
async def test_an_id_that_is_free_again_is_free_in_the_same_batch(
    poster: Poster, sizes: tuple[int, ...]
) -> None:
    """An event that comes twice is tried twice where the first was set aside, however it is cut."""
    dearer = a_booking("standup", a_line(costs={"coin": 2000}))
    again = replace(dearer, revision=2)
    known = [arrival(a_booking()), arrival(dearer, event_id="e2")]
    waiting = iter([*known, arrival(again, event_id="e2"), arrival(a_booking("retro"))])

    posted = [await poster.post(Batch(tuple(islice(waiting, size)))) for size in sizes]

    assert ["revision_conflict"] == [letter.reason for p in posted for letter in p.dead_letters]
    assert 3 == sum(n for p in posted for (_, what), n in p.outcomes.items() if what == "posted")


async def test_a_letter_keeps_whatever_headers_its_record_had(poster: Poster, pool: Pool) -> None:
    """Not even a NUL in a header's name keeps a record from being set aside."""
    headers = (("ce\x00\U0001f4a3", b"\x00"),)
    letter = DeadLetter("schema", "", Origin("facts", 0, 7, None, None, None, headers), RECORDED_AT)

    await poster.post(Batch((), (letter,)))

    async with pool.acquire() as connection:
        assert 1 == await connection.fetchval("select count(*) from dead_letters")


async def test_a_ledger_refuses_other_rules(pool: Pool) -> None:
    """A rule that reads otherwise, or is gone, stops the service; a new policy does not."""
    later = replace(COINS, name="later")
    async with pool.acquire() as connection:
        await keep_policies(connection, a_book())
        await keep_policies(connection, a_book())
        await keep_policies(connection, a_book(COINS, TENANT, PACKS, later))
        with pytest.raises(PoliciesDiffer, match="policy later: is on record and missing here"):
            await keep_policies(connection, a_book())
        changed = replace(COINS, from_at=at("2026-05-01 00:00"), draw_on="start")
        with pytest.raises(PoliciesDiffer, match="policy coins: differs"):
            await keep_policies(connection, a_book(COINS, changed, TENANT, PACKS, later))
        book = a_book(COINS, TENANT, PACKS, later, locations={"mill": "tenant"})
        with pytest.raises(PoliciesDiffer, match="location mill: is new"):
            await keep_policies(connection, book)


async def test_a_ledger_refuses_another_worth(pool: Pool) -> None:
    """A coin worth something else, or one more unit of money, would change what lines cost."""
    book = a_book()
    dearer = replace(book.units["coin"], worth=(("EUR", 250),))
    async with pool.acquire() as connection:
        await keep_policies(connection, book)
        with pytest.raises(PoliciesDiffer, match="unit coin: differs"):
            await keep_policies(connection, replace(book, units=book.units | {"coin": dearer}))
        token, seat = Unit("token", "money", 0), Unit("seat", "count", 0)
        with pytest.raises(PoliciesDiffer, match="unit token: is new"):
            await keep_policies(connection, replace(book, units=book.units | {"token": token}))
        await keep_policies(connection, replace(book, units=book.units | {"seat": seat}))


async def test_other_rules_are_a_violation(pool: Pool, database: str) -> None:
    """Whoever verifies by other policies than the ledger's is told so."""
    async with pool.acquire() as connection:
        await keep_policies(connection, a_book())

    found = await verify(database, a_book(COINS, TENANT), lambda *_: None)

    expected = Violation("policies", None, "policy packs: is on record and missing here")
    assert [expected] == found


def test_rules_say_everything_of_a_book() -> None:
    """Each unit, policy and location is a rule of its own, and so are the default terms."""
    expected = {"default", "unit coin", "unit minute", "unit credit"} | {
        f"policy {name}" for name in ("coins", "tenant", "packs")
    }
    assert expected == set(rules_of(a_book()))
