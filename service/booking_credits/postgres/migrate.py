"""Migrations: numbered SQL files, applied once, in order, each in a transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg

from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from booking_credits.postgres.pool import Connection

_SQL = load_queries("migrations.sql")


class MigrationFault(Exception):
    """What a database has applied is not what this version ships."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, which sorts into the order of application, and its SQL."""

    name: str
    sql: str

    @property
    def checksum(self) -> bytes:
        """Digest of the SQL, by which an edited file is found out."""
        return sha256(self.sql.encode()).digest()


def shipped_migrations() -> list[Migration]:
    """Read the migrations of this version in their order."""
    folder = resources.files(__package__).joinpath("migrations")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(f.name, f.read_text(encoding="utf-8")) for f in files]


async def migrate(dsn: str, schema: str | None = None) -> list[str]:
    """Apply what is missing and return its names; several callers at once apply it once.

    Raises:
        MigrationFault: an applied migration was edited or is not shipped.
    """
    settings = {} if schema is None else {"search_path": schema}
    connection = await asyncpg.connect(dsn, server_settings=settings)
    try:
        await connection.execute(_SQL["lock_migrations"])
        await connection.execute(_SQL["create_migrations"])
        applied = await _check(connection)
        missing = [m for m in shipped_migrations() if m.name not in applied]
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    _SQL["record_migration"], migration.name, migration.checksum
                )
        return [migration.name for migration in missing]
    finally:
        await connection.close()


async def create_tables(connection: Connection) -> None:
    """Make everything anew in the first schema of the search path, in the caller's transaction."""
    await connection.execute(_SQL["create_migrations"])
    for migration in shipped_migrations():
        await connection.execute(migration.sql)


async def pending_migrations(connection: Connection) -> list[str]:
    """List what this version ships and the database has not applied."""
    if await connection.fetchval(_SQL["find_migrations_table"]) is None:
        return [migration.name for migration in shipped_migrations()]
    applied = await _check(connection)
    return [m.name for m in shipped_migrations() if m.name not in applied]


async def _check(connection: Connection) -> set[str]:
    shipped = {migration.name: migration.checksum for migration in shipped_migrations()}
    applied = {row["name"]: row["checksum"] for row in await connection.fetch(_SQL["applied"])}
    for name, checksum in applied.items():
        if shipped.get(name) != checksum:
            raise MigrationFault(f"{name} was applied from another text than this version ships")
    return set(applied)
