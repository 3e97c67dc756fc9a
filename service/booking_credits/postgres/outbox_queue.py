"""The outbox as a queue: each shard is read in order, by one session at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from booking_credits.postgres.pool import (
    BY_INDEX,
    PLANS_LAST_SECONDS,
    WORKER_ROLE,
    missed_after,
)
from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

PAGE_ROWS = 500
PAGE_BYTES = 512 * 1024

_SQL = load_queries("outbox.sql")
_COMMAND_TIMEOUT_SECONDS = 30
_CHANNEL = "booking_credits_outbox"


@dataclass(frozen=True, slots=True)
class Queued:
    """An announcement that waits to be published."""

    shard: int
    id: int
    account_id: str
    type: str
    event_id: UUID
    recorded_at: datetime
    payload: str
    traceparent: str | None


class OutboxQueue:
    """A session of its own, which leads shards for as long as it lasts."""

    def __init__(
        self,
        dsn: str,
        *,
        schema: str | None = None,
        role: str | None = WORKER_ROLE,
        idle_timeout_seconds: int | None = None,
    ) -> None:
        """Read the outbox of a database; as for `open_pool`, by schema and role.

        With an `idle_timeout_seconds` Postgres ends a session that says nothing for as long, so
        that another can lead what a frozen process led. Publishing a page must take less.
        """
        self._dsn = dsn
        # What is lost with an unwritten commit is only that something was published already.
        self._settings = {
            "application_name": "booking-credits outbox",
            "timezone": "UTC",
            "synchronous_commit": "off",
            **BY_INDEX,
        }
        self._settings |= {} if role is None else {"role": role}
        self._settings |= {} if schema is None else {"search_path": schema}
        if idle_timeout_seconds is not None:
            self._settings["idle_session_timeout"] = f"{idle_timeout_seconds}s"
            self._settings |= missed_after(idle_timeout_seconds)
        self._session: asyncpg.Connection[Any] | None = None

    async def open(self, wake: Callable[[], None]) -> None:
        """Begin a session, which leads nothing yet; a running one is ended.

        From then on `wake` is called whenever something begins to wait, whoever announced it.
        """
        await self.close()
        self._session = await asyncpg.connect(
            self._dsn,
            server_settings=self._settings,
            command_timeout=_COMMAND_TIMEOUT_SECONDS,
            max_cached_statement_lifetime=PLANS_LAST_SECONDS,
        )
        await self._session.add_listener(_CHANNEL, lambda *_: wake())

    async def close(self) -> None:
        """End the session, and with it whatever it leads."""
        session, self._session = self._session, None
        if session is not None:
            session.terminate()

    @property
    def is_open(self) -> bool:
        """Whether there is a session, as far as is known."""
        return self._session is not None and not self._session.is_closed()

    async def lead(self, shard: int) -> bool:
        """Try to become the one that publishes a shard."""
        return bool(await self._connection.fetchval(_SQL["lead_shard"], shard))

    async def find_waiting(self, shards: Iterable[int]) -> list[tuple[int, datetime]]:
        """List the shards with something to publish and since when, longest first."""
        rows = await self._connection.fetch(_SQL["find_waiting"], sorted(shards))
        return [(row["shard"], row["recorded_at"]) for row in rows]

    async def read_pages(self, shards: Iterable[int]) -> list[Queued]:
        """Read what shards have to publish first: up to `PAGE_ROWS` and `PAGE_BYTES` of each."""
        rows = await self._connection.fetch(
            _SQL["read_pages"], sorted(shards), PAGE_ROWS, PAGE_BYTES
        )
        return [Queued(*row) for row in rows]

    async def remove(self, published: Sequence[Queued]) -> bool:
        """Forget what was published; False where some of it is of a shard no longer led."""
        shards = [queued.shard for queued in published]
        ids = [queued.id for queued in published]
        removed = await self._connection.fetch(_SQL["remove_published"], shards, ids)
        return len(removed) == len(ids)

    @property
    def _connection(self) -> asyncpg.Connection[Any]:
        if self._session is None:
            raise ConnectionError("the outbox has no session")
        return self._session
