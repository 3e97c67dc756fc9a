"""Connections to Postgres."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg import Record

Pool: TypeAlias = "asyncpg.Pool[Record]"
Connection: TypeAlias = "asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]"

WORKER_ROLE = "booking_credits_worker"


async def open_pool(
    dsn: str,
    *,
    application_name: str,
    max_size: int = 8,
    role: str | None = WORKER_ROLE,
    command_timeout_seconds: float | None = 60,
    idle_timeout_seconds: int | None = None,
) -> Pool:
    """Open a pool whose sessions act as a role that may only append to what is append-only.

    Without a `role` the sessions act as their user. With an `idle_timeout_seconds` Postgres ends
    a session that says nothing for as long in a transaction: what a frozen process had locked is
    free then, and what it had written is undone.
    """
    settings = {"application_name": application_name, "timezone": "UTC"}
    if role is not None:
        settings["role"] = role
    if idle_timeout_seconds is not None:
        settings["idle_in_transaction_session_timeout"] = f"{idle_timeout_seconds}s"
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        command_timeout=command_timeout_seconds,
        server_settings=settings,
    )
