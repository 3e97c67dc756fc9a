"""Probe: whether the database answers, what waits in it, and whether its ledger contradicts itself.

Each question is asked on a session of its own, so that a hung one never delays the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from booking_credits.postgres.audit import find_violations
from booking_credits.postgres.pool import WORKER_ROLE
from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from booking_credits.postgres.audit import Violation

_SQL = load_queries("probe.sql")
_TIMEOUT_SECONDS: Final = 5
_AUDIT_TIMEOUT_SECONDS: Final = 300
_VIOLATIONS_LIMIT: Final = 100
# Those that read no history: each row of grants and balances once.
_RULES: Final = ("buckets_sum_to_granted", "grants_sum_to_balances")


@dataclass(frozen=True, slots=True)
class Outlook:
    """What waits: announcements, due instants, periods whose time to close has come, letters."""

    oldest_unpublished: datetime | None = None
    oldest_due: datetime | None = None
    periods_waiting_to_close: int = 0
    oldest_waiting_to_close: datetime | None = None
    dead_letters_open: int = 0


class DatabaseProbe:
    """Asks a database how it is."""

    def __init__(self, dsn: str, *, shards: int, now: Callable[[], datetime]) -> None:
        """Ask a database with so many shards; nothing is connected before the first question.

        `now` tells the time by which the worker's clock goes.
        """
        self._dsn = dsn
        self._shards = shards
        self._now = now
        self._session: asyncpg.Connection[Any] | None = None

    async def look(self) -> Outlook:
        """Say what waits; whatever goes wrong comes through, and the next look connects anew."""
        try:
            if self._session is None:
                self._session = await self._connect(_TIMEOUT_SECONDS)
            row = await self._session.fetchrow(_SQL["look"], self._shards, self._now())
        except BaseException:
            self.close()
            raise
        return Outlook(**dict(row or {}))

    async def audit(self) -> list[Violation]:
        """Find grants and balances that contradict each other, the first of each kind."""
        session = await self._connect(_AUDIT_TIMEOUT_SECONDS)
        try:
            found = [await find_violations(session, rule, _VIOLATIONS_LIMIT) for rule in _RULES]
        finally:
            session.terminate()
        return [violation for violations in found for violation in violations]

    def close(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            session.terminate()

    async def _connect(self, timeout_seconds: float) -> asyncpg.Connection[Any]:
        settings = {
            "application_name": "booking-credits health",
            "timezone": "UTC",
            "role": WORKER_ROLE,
        }
        return await asyncpg.connect(
            self._dsn,
            timeout=_TIMEOUT_SECONDS,
            command_timeout=timeout_seconds,
            server_settings=settings,
        )
