"""Faults of Postgres for which trying again cannot help."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CONTENT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.ProgramLimitExceededError,
)


# Whatever may come of asking a database.
DATABASE_FAULTS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class RowsRefused(Exception):
    """The database refuses rows for their content; trying again cannot help."""


@asynccontextmanager
async def rows_refused() -> AsyncIterator[None]:
    """Turn refusals for content into `RowsRefused`, which names the rule and no value."""
    try:
        yield
    except _CONTENT as error:
        rule = getattr(error, "constraint_name", None)
        raise RowsRefused(f"{type(error).__name__} {rule or ''}".strip()) from None
