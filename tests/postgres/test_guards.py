"""Postgres itself refuses whatever would break the ledger, whoever asks."""

import uuid
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from booking_credits.postgres.pool import WORKER_ROLE
from builders import ACCOUNT, a_booking, a_line, a_renewal, at, time_passed
from local.postgres import Postgres
from postgres.arrivals import post

# Each with a column of it.
APPEND_ONLY = {
    "announcements": "account_id",
    "closed_lines": "account_id",
    "dead_letter_actions": "action_no",
    "entries": "account_id",
    "facts": "account_id",
    "policy_rules": "name",
}
# The column that is numbered, and values for those behind it.
ROWS = {
    "announcements": ("sequence", "1", "'t'", "gen_random_uuid()", "1", "now()", "'{}'"),
    "entries": ("entry_no", "1", "'g'", "'granted'", "'available'", "1", "null", "null", "now()"),
    "facts": ("fact_no", "'s'", "'t'", "'s'", "'e'", "now()", "now()", "'{}'", "'x'"),
}
NOW = at("2026-03-11 00:00")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture(scope="module")
async def ledger(postgres: Postgres, migrated_template: str) -> AsyncIterator[str]:
    """The DSN of a ledger in which someone owes something; no test changes it for the next."""
    name = f"guarded_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(postgres.dsn)
    try:
        await admin.execute(f"create database {name} template {migrated_template}")
        dsn, dear = postgres.dsn_for(name), a_line(costs={"coin": 6000})
        await post(dsn, [a_renewal(), a_booking("rave", dear), time_passed(NOW)])
        yield dsn
        await admin.execute(f"drop database {name} with (force)")
    finally:
        await admin.close()


@pytest.fixture
async def owner(ledger: str) -> AsyncIterator[Connection]:
    """A session of the ledger's owner, in a transaction that is rolled back."""
    connection = await asyncpg.connect(ledger)
    try:
        await connection.execute("begin")
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def worker(owner: Connection) -> Connection:
    """A session as a worker has it, likewise."""
    await owner.execute(f"set role {WORKER_ROLE}")
    return owner


@pytest.mark.parametrize(("table", "column"), APPEND_ONLY.items(), ids=APPEND_ONLY)
@pytest.mark.parametrize(
    "change",
    ["update {} set {} = {}", "delete from {}", "truncate {}", "delete from {} where false"],
)
async def test_owner_cannot_change_what_is_written_once(
    owner: Connection, table: str, column: str, change: str
) -> None:
    """A person with every right, in a hurry, is stopped before a row is gone."""
    with pytest.raises(asyncpg.RestrictViolationError, match=f"{table} is append-only"):
        await owner.execute(change.format(table, column, column))


async def test_insert_that_would_update_is_refused(
    owner: Connection,
) -> None:
    """Nobody overwrites an entry by inserting it again."""
    with pytest.raises(asyncpg.RestrictViolationError):
        await owner.execute(
            "insert into entries select * from entries on conflict (account_id, entry_no)"
            " do update set quantity = 1"
        )


@pytest.mark.parametrize(("table", "column"), APPEND_ONLY.items(), ids=APPEND_ONLY)
@pytest.mark.parametrize("change", ["update {} set {} = {}", "delete from {}", "truncate {}"])
async def test_worker_has_no_right_to_change_what_is_written_once(
    worker: Connection, table: str, column: str, change: str
) -> None:
    """A worker gone wrong is stopped by its rights alone, even without the triggers."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute(change.format(table, column, column))


@pytest.mark.parametrize(
    "way_around",
    [
        "alter table entries disable trigger all",
        "drop trigger entries_are_append_only on entries",
        "set session_replication_role = replica",
        "drop table entries",
        "drop function refuse_change cascade",
        "update pg_trigger set tgenabled = 'D'",
        "alter role booking_credits_worker superuser",
        "insert into migrations (name, checksum) values ('mine', 'x')",
    ],
)
async def test_worker_cannot_remove_the_guards(worker: Connection, way_around: str) -> None:
    """Whoever holds a worker's session cannot open the ledger for changes."""
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await worker.execute(way_around)


async def test_exactly_these_tables_are_append_only(
    owner: Connection,
) -> None:
    """What has a trigger against changes is what workers have no right to change, and no more."""
    guarded = await owner.fetch(
        "select tgrelid::regclass::text from pg_trigger where tgfoid = 'refuse_change'::regproc"
        " and tgenabled = 'O' order by 1"
    )
    unchangeable = await owner.fetch(
        "select c.oid::regclass::text from pg_class as c where relkind = 'r'"
        " and relnamespace = 'public'::regnamespace and has_table_privilege($1, c.oid, 'insert')"
        " and not has_table_privilege($1, c.oid, 'update, delete, truncate') order by 1",
        WORKER_ROLE,
    )
    assert list(APPEND_ONLY) == [table for (table,) in guarded]
    assert list(APPEND_ONLY) == [table for (table,) in unchangeable]


ENTRY = (
    "insert into entries (account_id, entry_no, fact_no, grant_id, source_bucket, target_bucket,"
    " quantity, booking_id, line_no, effective_at) values"
)
GRANT = (
    "insert into grants (account_id, grant_id, unit, quantity, from_at, scope, priority, paid,"
    " source, granted, available, held, drawn, expired, removed) values"
)
ACTION = "insert into dead_letter_actions (dead_letter_id, action_no, action, actor, reason) values"
# Each breaks the rule that it is listed under and no other.
BREACHES = {
    "numbers_are_not_negative": "update accounts set entry_no = -1",
    "facts_are_numbered_from_one": "insert into facts values"
    " ('new', 0, 's', 't', 's', 'e', now(), now(), '{}', 'x')",
    "answers_are_known": "insert into facts values"
    " ('new', 1, 's', 't', 's', 'e', now(), now(), '{}', 'x', 'perhaps')",
    "buckets_sum_to_granted": "update grants set available = available + 1",
    "no_bucket_is_negative": "update grants set available = available - 1, expired = expired + 1",
    "finite_grants_are_granted_whole": "update grants set granted = granted - 1, drawn = drawn - 1",
    "gone_grants_are_pending": "update grants set gone = true",
    "pending_grants_are_not_issued": "update grants set pending = true",
    "only_caps_are_rolled": "update grants set rolled = 1",
    "only_what_was_removed_is": "update grants set drawn = drawn - 1, removed = 1",
    "periods_close_after_their_end": "insert into closings values"
    " ('new', now(), '2026-03-01', now(), now())",
    "unlimited_grants_have_no_rest": f"{GRANT}"
    " ('new', 'g', 'coin', null, now(), '{}', 1, false, 'plan', 5, 5, 0, 0, 0, 0)",
    "prices_have_a_currency": "update charges set currency = null",
    "totals_are_not_negative": "update obligations set total_minor = -1",
    "closed_obligations_owe_nothing": "update obligations set is_open = false",
    "balance_sums_to_granted": "update balances set held = held + 1",
    "no_balance_is_negative": "update balances set available = available - 1, held = held - 1,"
    " drawn = drawn + 2",
    "entries_are_numbered_from_one": f"{ENTRY}"
    " ('new', 0, 1, 'g', 'granted', 'available', 1, null, null, now())",
    "quantities_are_positive": f"{ENTRY}"
    " ('new', 1, 1, 'g', 'granted', 'available', 0, null, null, now())",
    "entries_name_two_buckets": f"{ENTRY} ('new', 1, 1, 'g', 'held', 'held', 1, null, null, now())",
    "lines_are_named_whole": f"{ENTRY}"
    " ('new', 1, 1, 'g', 'granted', 'available', 1, 'b', null, now())",
    "actions_are_known": f"{ACTION} (gen_random_uuid(), 1, 'forgotten', 'petra', 'why not')",
    "actions_are_signed": f"{ACTION} (gen_random_uuid(), 1, 'discarded', '', 'why not')",
}


@pytest.mark.parametrize(("rule", "breach"), BREACHES.items(), ids=BREACHES)
async def test_rows_that_break_a_rule_are_refused(
    worker: Connection, rule: str, breach: str
) -> None:
    """Each rule stands in the database, whatever the program that writes to it believes."""
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await worker.execute(breach)
    assert rule == refused.value.constraint_name


async def test_every_rule_is_tried(owner: Connection) -> None:
    """No rule of the tables goes without an attempt to break it."""
    rules = await owner.fetch(
        "select conname from pg_constraint where contype = 'c'"
        " and connamespace = 'public'::regnamespace"
    )
    assert set(BREACHES) == {rule for (rule,) in rules}


@pytest.mark.parametrize("bucket", ["pocket", "", "Held"])
async def test_entry_into_no_bucket_is_refused(worker: Connection, bucket: str) -> None:
    """Quantities move between the six buckets and nowhere else."""
    with pytest.raises(asyncpg.CheckViolationError):
        await worker.execute(
            f"{ENTRY} ('new', 1, 1, 'g', 'granted', $1, 1, null, null, now())", bucket
        )


@pytest.mark.parametrize("table", ROWS)
@pytest.mark.parametrize("steps", [(2,), (1, 3), (1, 2, 4), (3, 1)])
async def test_gap_is_refused(owner: Connection, table: str, steps: tuple[int, ...]) -> None:
    """No number may be missing, neither before what is added nor within."""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="leave a gap"):
        await _append(owner, table, [(ACCOUNT, step) for step in steps])


@pytest.mark.parametrize("table", ROWS)
async def test_gap_in_one_account_is_refused_among_others(worker: Connection, table: str) -> None:
    """Accounts are numbered apart from one another, also within one statement."""
    await _append(worker, table, [(ACCOUNT, 1), ("another", 1), ("another", 2)])
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="in account another"):
        await _append(worker, table, [(ACCOUNT, 1), ("another", 2)])


@pytest.mark.parametrize("table", ROWS)
async def test_what_follows_without_a_gap_is_taken(worker: Connection, table: str) -> None:
    """Numbers go on from the last, one or many at a time, in any order within a statement."""
    before = await _count(worker, table)
    await _append(worker, table, [(ACCOUNT, 2), (ACCOUNT, 1), (ACCOUNT, 3)])
    await _append(worker, table, [(ACCOUNT, 1)])
    assert before + 4 == await _count(worker, table)


async def test_copied_rows_are_held_to_the_numbers(worker: Connection) -> None:
    """The way in which posting writes is guarded like any other."""
    rows = [("new", number, 1, "g", "granted", "available", 1, NOW) for number in (1, 3)]
    columns = ("account_id", "entry_no", "fact_no", "grant_id", "source_bucket", "target_bucket")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="leave a gap"):
        await worker.copy_records_to_table(
            "entries", records=rows, columns=(*columns, "quantity", "effective_at")
        )


async def _count(connection: Connection, table: str) -> int:
    return int(await connection.fetchval(f"select count(*) from {table}"))  # noqa: S608


async def _append(connection: Connection, table: str, added: list[tuple[str, int]]) -> None:
    """Add rows to accounts, each a number of steps behind the account's last."""
    number, *values = ROWS[table]
    last = f"select max(t.{number}) from {table} as t where t.account_id = added.account_id"  # noqa: S608
    await connection.execute(
        f"insert into {table} select account_id, step + coalesce(({last}), 0), {', '.join(values)}"  # noqa: S608
        " from unnest($1::text[], $2::int[]) as added (account_id, step)",
        [account_id for account_id, _ in added],
        [step for _, step in added],
    )
