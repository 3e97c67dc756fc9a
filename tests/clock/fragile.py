"""Fragile: sessions that break at one step of what is done with them, whichever it is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from booking_credits.postgres.pool import Pool

When: TypeAlias = Literal["before", "after"]


@dataclass
class Fragile:
    """A pool whose session is gone before or after its n-th step; counting begins at 1.

    A step is whatever is asked of Postgres: a query, a COPY, the begin or the end of a transaction
    or a savepoint. After one, Postgres has done it and nobody learned of it.
    """

    pool: Pool
    breaks_at: int
    when: When
    steps: int = 0

    @property
    def broke(self) -> bool:
        return self.steps >= self.breaks_at

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["_Session"]:
        async with self.pool.acquire() as connection:
            yield _Session(connection, self)

    def as_pool(self) -> Pool:
        return cast("Pool", self)


class _Session:
    def __init__(self, connection: Any, fragile: Fragile) -> None:
        self._connection = connection
        self._fragile = fragile

    async def fetch(self, *arguments: Any) -> Any:
        return await self.step(self._connection.fetch(*arguments))

    async def fetchrow(self, *arguments: Any) -> Any:
        return await self.step(self._connection.fetchrow(*arguments))

    async def fetchval(self, *arguments: Any) -> Any:
        return await self.step(self._connection.fetchval(*arguments))

    async def execute(self, *arguments: Any) -> Any:
        return await self.step(self._connection.execute(*arguments))

    async def copy_records_to_table(self, *arguments: Any, **named: Any) -> Any:
        return await self.step(self._connection.copy_records_to_table(*arguments, **named))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        transaction = self._connection.transaction()
        await self.step(transaction.start())
        try:
            yield
        except BaseException:
            await transaction.rollback()
            raise
        await self.step(transaction.commit())

    async def step(self, asked: Any) -> Any:
        """Ask Postgres, in a session that may be gone; what was asked then fails by itself."""
        self._fragile.steps += 1
        is_last = self._fragile.steps == self._fragile.breaks_at
        if is_last and self._fragile.when == "before":
            self._connection.terminate()
        answer = await asked
        if is_last:
            self._connection.terminate()
            raise ConnectionResetError("the answer is lost")
        return answer
