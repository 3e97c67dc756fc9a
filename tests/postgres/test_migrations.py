"""Migrations are applied once, by one at a time, and only from the text that is shipped."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from booking_credits.postgres import migrate as migrations
from booking_credits.postgres.migrate import (
    Migration,
    MigrationFault,
    migrate,
    pending_migrations,
    shipped_migrations,
)
from local.postgres import Postgres

NAMES = [migration.name for migration in shipped_migrations()]

_CLOSED = (
    """
insert into facts values ('a', 1, 'closing', 'period-closed', 'clock', 'e', now(), now(),
    '{"ends_at": "2026-03-01T00:00:00Z", "lines": [{"booking_id": "b", "line": 1}]}', '')
""",
    "insert into closed_lines values ('a', 'b', 1, '{}')",
)


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """The DSN of a database without any tables."""
    name = f"empty_{uuid.uuid4().hex}"
    owner = await asyncpg.connect(postgres.dsn)
    try:
        await owner.execute(f"create database {name}")
        yield postgres.dsn_for(name)
        await owner.execute(f"drop database {name} with (force)")
    finally:
        await owner.close()


async def test_migrating_twice_is_migrating_once(empty: str) -> None:
    """The second run finds nothing to do and leaves everything as it is."""
    assert NAMES == await migrate(empty)
    before = await _applied(empty)
    assert [] == await migrate(empty)
    assert before == await _applied(empty)


async def test_several_at_once_apply_each_migration_once(empty: str) -> None:
    """Workers that start together all succeed, and one of them has done it all."""
    done = await asyncio.gather(*(migrate(empty) for _ in range(5)))
    assert [NAMES] == [names for names in done if names]
    assert NAMES == [name for name, _ in await _applied(empty)]


async def test_new_migration_follows_those_applied(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade applies what is missing and only that."""
    await migrate(empty)
    shipped = [*shipped_migrations(), Migration("9999_next.sql", "create table next (id int)")]
    monkeypatch.setattr(migrations, "shipped_migrations", lambda: shipped)
    assert ["9999_next.sql"] == await _pending(empty)
    assert ["9999_next.sql"] == await migrate(empty)
    assert [] == await _pending(empty)


async def test_migration_that_fails_leaves_nothing_of_itself(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each migration is applied whole or not at all; those before it stay."""
    broken = Migration("9999_broken.sql", "create table half (id int); select 1 / 0")
    shipped = [*shipped_migrations(), broken]
    monkeypatch.setattr(migrations, "shipped_migrations", lambda: shipped)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty)
    assert [broken.name] == await _pending(empty)
    assert await _value(empty, "select to_regclass('half') is null")


async def test_edited_migration_is_refused(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed after it was applied is named, and nothing is applied any more."""
    await migrate(empty)
    first, *others = shipped_migrations()
    edited = [Migration(first.name, first.sql + "-- and more"), *others]
    monkeypatch.setattr(migrations, "shipped_migrations", lambda: edited)
    with pytest.raises(MigrationFault, match=first.name):
        await migrate(empty)
    with pytest.raises(MigrationFault, match=first.name):
        await _pending(empty)


async def test_database_of_a_newer_version_is_refused(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older program does not touch tables that it does not know."""
    await migrate(empty)
    older = shipped_migrations()[:-1]
    monkeypatch.setattr(migrations, "shipped_migrations", lambda: older)
    with pytest.raises(MigrationFault, match=NAMES[-1]):
        await migrate(empty)


async def test_lines_closed_before_know_their_closing(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found by what the closing said that listed them, and stay append-only."""
    shipped = shipped_migrations()
    earlier = shipped[: NAMES.index("0018_lines_closed_again.sql")]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "shipped_migrations", lambda: earlier)
        await migrate(empty)
    for listing in _CLOSED:
        await _value(empty, listing)
    await migrate(empty)
    assert "2026-03-01" == await _value(empty, "select until::date::text from closed_lines")
    with pytest.raises(asyncpg.PostgresError, match="append-only"):
        await _value(empty, "delete from closed_lines")


async def test_untouched_database_has_everything_pending(empty: str) -> None:
    """Whoever asks before the first migration learns what is to come, and changes nothing."""
    assert NAMES == await _pending(empty)
    assert await _value(empty, "select to_regclass('migrations') is null")


async def test_owner_who_may_not_make_roles_can_migrate_where_the_role_is(empty: str) -> None:
    """On a managed server an administrator makes the role and grants it to the owner."""
    await migrate(empty)
    owner = f"owner_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(empty)
    try:
        await admin.execute(
            f"create role {owner} in role booking_credits_worker;"
            f" create schema {owner} authorization {owner}"
        )
        as_owner = f"{empty}?options=-crole%3D{owner}"
        assert NAMES == await migrate(as_owner, schema=owner)
    finally:
        await admin.execute(f"drop owned by {owner} cascade; drop role {owner}")
        await admin.close()


async def _applied(dsn: str) -> list[tuple[str, bytes]]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select name, checksum from migrations order by name")
    finally:
        await connection.close()
    return [(row["name"], row["checksum"]) for row in rows]


async def _pending(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return await pending_migrations(connection)
    finally:
        await connection.close()


async def _value(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
