"""Verify finds nothing wrong with what was posted, and whatever was done to it afterwards."""

import asyncio
from dataclasses import replace
from itertools import count

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings

from booking_credits.inbox.reading import hash_of
from booking_credits.ledger.facts import BookingRevised, BookingStarted, Fact, Scope
from booking_credits.postgres.audit import Violation
from booking_credits.posting.batch import Batch
from booking_credits.verify import rebuild
from booking_credits.verify.verification import verify
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_closing,
    a_grant,
    a_line,
    a_renewal,
    a_start,
    an_account,
    an_allotment,
    time_passed,
)
from ledger.histories import histories
from postgres.arrivals import a_poster, arrivals, as_published, post

BOOK = a_book()
BASE = "plan/hot-desk/base/2026-03-01"
LONG = {"coin": 5500, "minute": 60}
ATTIC = Scope(resources=("attic",))
# Credits run out, lines displace one another, and some are held, drawn, expired, freed or owed.
MONTH: tuple[Fact, ...] = (
    an_account(policy="packs"),
    a_renewal(an_allotment(), an_allotment(None, plan_line="desk", unit="minute")),
    a_booking(),
    a_booking("workshop", a_line(1, costs=LONG), a_line(2, starts="2026-03-20 10:00")),
    a_start("workshop", line_no=1),
    a_booking("offsite", a_line(starts="2026-03-15 09:00", costs={"credit": 3}, price=999)),
    time_passed("2026-03-16 00:00"),
    a_grant("gift", 2, unit="credit", valid_to="2026-03-31 00:00"),
    a_booking("walk-in", a_line(starts="2026-03-30 09:00", costs={"coin": 6000}, price=None)),
    a_cancellation(),
    a_grant("rest", 700, valid_to="2026-04-01 00:00", scope=ATTIC),
    a_grant("summer", 700, scope=ATTIC),
    a_booking("rave", a_line(starts="2026-06-01 20:00", resource="attic", costs={"coin": 500})),
    time_passed("2026-04-02 00:00"),
)
ELSEWHERE: tuple[Fact, ...] = (a_renewal(), a_booking("retreat"), a_grant("gift", None))


async def test_nothing_is_wrong_with_what_was_posted(database: str) -> None:
    """A ledger with everything in it keeps every rule and follows from its facts."""
    await post(database, MONTH)
    await post(database, ELSEWHERE, "another")
    assert [] == await _verify(database)


async def test_a_sample_is_rebuilt_alone(database: str) -> None:
    """With a sample of one, what only a rebuild can find is found in one account."""
    await post(database, MONTH)
    await post(database, ELSEWHERE, "another")
    assert [] == await _verify(database, sample=1)

    await _execute(database, "update charges set resource = 'cellar'")
    everywhere = {violation.account_id for violation in await _verify(database)}
    sampled = {violation.account_id for violation in await _verify(database, sample=1)}
    assert {ACCOUNT, "another"} == everywhere
    assert 1 == len(sampled)
    assert sampled < everywhere


@pytest.mark.timeout(600)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories())
async def test_every_history_can_be_rebuilt(database: str, history: list[Fact]) -> None:
    """From its facts in their recorded order an account comes to the same rows, byte for byte."""
    account_id = f"account-{next(ACCOUNTS)}"
    facts = [_own(as_published(fact), account_id) for fact in history]
    async with a_poster(database) as poster:
        for first in range(0, len(facts), 7):
            await poster.post(Batch(tuple(arrivals(facts[first : first + 7], account_id))))
    found = await _verify(database)
    assert [] == [violation for violation in found if violation.account_id == account_id]


async def test_pages_of_a_rebuild_cannot_be_seen(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fact by itself finds what it needs: a closing the lines that it lists."""
    monkeypatch.setattr(rebuild, "_PAGE_SIZE", 1)
    await post(database, [*MONTH, a_closing("2026-04-01 00:00"), a_cancellation("walk-in")])
    assert [] == await _verify(database)


TAMPERINGS = {
    "an entry's quantity": (
        "update entries set quantity = 999 where entry_no = 2",
        "entries_fold_to_buckets",
        f"grant {BASE}",
    ),
    "an entry's quantity, as published": (
        "update entries set quantity = 999 where entry_no = 2",
        "entries_are_announced",
        "entry 2",
    ),
    "an entry's quantity, as rebuilt": (
        "update entries set quantity = 999 where entry_no = 2",
        "rebuild",
        f"entries {ACCOUNT} 2: quantity",
    ),
    "an entry that is gone": (
        "delete from entries where entry_no = 5",
        "numbers_leave_no_gap",
        "entries: 16 with the numbers 1 to 17",
    ),
    "an entry that was added": (
        (
            "insert into entries select account_id, 18, fact_no, grant_id, source_bucket,"
            " target_bucket, quantity, booking_id, line_no, effective_at from entries"
            " where entry_no = 2"
        ),
        "rebuild",
        f"entries {ACCOUNT} 18: does not follow",
    ),
    "an entry's fact and grant": (
        "update entries set fact_no = 99, grant_id = 'nobody''s' where entry_no = 2",
        "entries_name_their_fact_and_grant",
        "entry 2: fact 99 is missing, grant nobody's is missing",
    ),
    "a fact's payload": (
        (
            "update facts set payload = replace(payload::text, '10.00', '11.00')::json"
            " where fact_no = 3"
        ),
        "facts_keep_their_hash",
        "fact 3",
    ),
    "a fact's payload and what follows": (
        (
            "update facts set payload = replace(payload::text, '10.00', '11.00')::json"
            " where fact_no = 3"
        ),
        "rebuild",
        f"entries {ACCOUNT} 2: quantity",
    ),
    "a fact that nobody can read": (
        "update facts set payload = '{}' where fact_no = 3",
        "facts_can_be_read",
        "fact 3: KeyError",
    ),
    "a fact that contradicts another": (
        (
            "update facts set payload = replace(told.payload::text, '10.00', '11.00')::json"
            " from facts as told where told.fact_no = 3 and facts.fact_no = 4"
        ),
        "facts_can_be_posted",
        "of /tests: revision_conflict",
    ),
    "a fact's hash": (
        "update facts set payload_hash = 'x' where fact_no = 3",
        "facts_agree_with_events_received",
        "fact 3: its event was received with another hash",
    ),
    "a fact that is gone": (
        "delete from facts where fact_no = 6",
        "numbers_leave_no_gap",
        "facts: 13 with the numbers 1 to 14",
    ),
    "a grant's buckets": (
        "update grants set available = available + 5, held = held - 5 where grant_id = 'summer'",
        "entries_fold_to_buckets",
        "grant summer",
    ),
    "a grant's buckets, as taken": (
        "update grants set available = available + 5, held = held - 5 where grant_id = 'summer'",
        "charges_sum_to_grants",
        "grant summer: held 495, drawn 0, its charges hold 500 and draw 0",
    ),
    "a grant's buckets beyond the rules": (
        (
            "alter table grants drop constraint buckets_sum_to_granted;"
            "update grants set available = available + 5 where grant_id = 'summer'"
        ),
        "buckets_sum_to_granted",
        "grant summer",
    ),
    "a balance": (
        "update balances set available = available + 5, held = held - 5 where unit = 'coin'",
        "grants_sum_to_balances",
        "balance coin",
    ),
    "a balance, as published": (
        "update balances set available = available + 5, held = held - 5 where unit = 'coin'",
        "announced_balances_hold",
        "balance coin",
    ),
    "a charge's takes": (
        """update charges set takes = '[["gift", 1]]' where booking_id = 'offsite'""",
        "charges_sum_to_grants",
        "grant gift: held 0, drawn 2, its charges hold 0 and draw 1",
    ),
    "a charge's takes, by grant": (
        """update charges set takes = '[["rest", 2]]' where booking_id = 'offsite'""",
        "takes_agree_with_charges",
        "booking offsite, grant rest",
    ),
    "a charge's takes that are none": (
        "update charges set takes = '{}' where booking_id = 'offsite'",
        "takes_agree_with_charges",
        "cannot be checked",
    ),
    "a grant that gave more than it says": (
        "update grants set quantity = 1 where grant_id = 'gift'",
        "grants_give_what_they_say",
        "grant gift: granted 2 of 1, closed lines keep 0",
    ),
    "a charge's uncovered part": (
        "update charges set uncovered = '1/2' where booking_id = 'offsite'",
        "rebuild",
        f"charges {ACCOUNT} offsite 1: uncovered",
    ),
    "a take that is gone": (
        "delete from takes where booking_id = 'offsite'",
        "takes_agree_with_charges",
        "booking offsite, grant gift: a take of a charge that is not among the takes",
    ),
    "an obligation's total": (
        "update obligations set total_minor = 1 where booking_id = 'offsite'",
        "announced_overages_hold",
        "obligation of booking offsite, line 1",
    ),
    "an announced balance": (
        (
            "update announcements set payload ="
            """ replace(payload::text, '"50.00"', '"60.00"')::json where sequence = 4"""
        ),
        "balances_chain",
        "announcement 4",
    ),
    "an announced overage": (
        (
            "update announcements set payload = replace(payload::text, '999', '998')::json"
            " where sequence = 10"
        ),
        "overages_chain",
        "announcement 12",
    ),
    "an announcement's white space": (
        "update announcements set payload = (payload::text || ' ')::json where sequence = 10",
        "rebuild",
        f"announcements {ACCOUNT} 10 1: payload",
    ),
    "an announcement's predecessor": (
        (
            "update announcements set payload ="
            """ replace(payload::text, '"previous_sequence":10', '"previous_sequence":9')::json"""
            " where sequence = 12"
        ),
        "announcements_chain",
        "announcement 12 (overage-detected): names 9 before it, which is 10",
    ),
    "an announcement's parts": (
        (
            "update announcements set payload ="
            """ replace(payload::text, '"parts":1', '"parts":2')::json where sequence = 10"""
        ),
        "announcements_are_whole",
        "announcement 10, part 1 of 1 (overage-detected): says part 1 of 2 of 10",
    ),
    "an announcement's fact": (
        "update announcements set fact_no = 99 where sequence = 10",
        "announcements_name_their_fact",
        "announcement 10: fact 99 is missing",
    ),
    "an account's counter": (
        "update accounts set entry_no = 99",
        "numbers_leave_no_gap",
        "entries: 17 with the numbers 1 to 17, the account counts 99",
    ),
    "an account's last announcement": (
        "update accounts set last_overage_detected = 1",
        "accounts_know_their_last_announcements",
        "last overage-detected: counted 1, announced ",
    ),
    "an account's present": (
        "update accounts set present = present - interval '1 second'",
        "rebuild",
        f"accounts {ACCOUNT}: present",
    ),
}


@pytest.mark.parametrize(
    ("tampering", "check", "detail"), TAMPERINGS.values(), ids=TAMPERINGS.keys()
)
async def test_what_was_tampered_with_is_named(
    database: str, tampering: str, check: str, detail: str
) -> None:
    """Whoever gets around the triggers is found out, with the account and what is wrong in it."""
    await post(database, MONTH)
    await _execute(database, f"set session_replication_role = replica; {tampering}")
    found = await _verify(database)
    of_kind = [violation for violation in found if violation.check == check]
    assert {ACCOUNT, None} >= {violation.account_id for violation in of_kind}
    assert any(detail in violation.detail for violation in of_kind), found


async def test_forgery_that_keeps_every_rule_is_found_by_the_rebuild(database: str) -> None:
    """A fact changed together with its hash, everywhere, no longer leads to the entries."""
    await post(database, MONTH)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("set session_replication_role = replica")
        row = await connection.fetchrow("select * from facts where fact_no = 3")
        assert row is not None
        payload = row["payload"].replace("10.00", "11.00")
        digest = hash_of(row["type"], row["occurred_at"], payload)
        told = (digest, row["event_id"])
        await connection.execute("update facts set payload_hash = $1 where event_id = $2", *told)
        await connection.execute(
            "update events_received set payload_hash = $1 where event_id = $2", *told
        )
        await connection.execute("update facts set payload = $1 where fact_no = 3", payload)
    finally:
        await connection.close()
    assert {"rebuild"} == {violation.check for violation in await _verify(database)}


async def test_other_rules_lead_to_another_ledger(database: str) -> None:
    """The rebuild computes anew: by other policies the same facts come to something else."""
    await post(database, ELSEWHERE)
    other = a_book(policy="packs")
    found = await verify(database, other, lambda _stage, _done, _total: None)
    assert {"rebuild"} == {violation.check for violation in found}


async def test_verifying_leaves_nothing_behind(database: str) -> None:
    """The database has the same schemas and rows afterwards, also where something is wrong."""
    await post(database, MONTH)
    await _execute(
        database, "set session_replication_role = replica; delete from facts where fact_no = 6"
    )
    before = await _contents(database)
    assert [] != await _verify(database)
    assert before == await _contents(database)


async def test_ledger_may_be_posted_to_meanwhile(database: str) -> None:
    """What is posted while verify runs neither waits for it nor disturbs it."""
    await post(database, MONTH)
    bookings = (a_booking(f"late-{number}") for number in range(1000))
    async with a_poster(database) as poster:
        verifying = asyncio.create_task(_verify(database))
        posted = 0
        while not verifying.done():
            await poster.post(Batch(tuple(arrivals([next(bookings)]))))
            posted += 1
        assert [] == await verifying
    assert 0 < posted
    assert [] == await _verify(database)


async def test_progress_reaches_the_end_of_every_stage(database: str) -> None:
    """Whoever watches sees rules, facts and tables go by, each to the last."""
    await post(database, MONTH)
    seen: dict[str, tuple[int, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        seen[stage] = (done, total)

    await verify(database, BOOK, progress)
    assert ["rules", "facts", "tables"] == list(seen)
    assert len(MONTH) == seen["facts"][1]
    assert all(done == total for done, total in seen.values())


ACCOUNTS = count(1)


def _own(fact: Fact, account_id: str) -> Fact:
    """Name bookings after their account, for each belongs to one alone."""
    if isinstance(fact, BookingRevised | BookingStarted):
        return replace(fact, booking_id=f"{account_id}-{fact.booking_id}")
    return fact


async def _verify(dsn: str, sample: int | None = None) -> list[Violation]:
    return await verify(dsn, BOOK, lambda _stage, _done, _total: None, sample=sample)


async def _execute(dsn: str, statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def _contents(dsn: str) -> dict[str, list[asyncpg.Record]]:
    """Read every row of every table outside the system's own schemas."""
    connection = await asyncpg.connect(dsn)
    try:
        tables = await connection.fetch(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema not in ('pg_catalog', 'information_schema') order by 1"
        )
        schemas = await connection.fetch("select nspname from pg_namespace order by 1")
        rows = {
            # The names come from the catalogue.
            table: await connection.fetch(f"select t::text from {table} as t order by 1")  # noqa: S608
            for (table,) in tables
        }
    finally:
        await connection.close()
    return {"schemas": schemas, **rows}
