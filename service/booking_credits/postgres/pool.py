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
) -> Pool:
    """Open a pool whose sessions act as a role that may only append to what is append-only.

    Without a `role` the sessions act as their user.
    """
    settings = {"application_name": application_name, "timezone": "UTC"}
    if role is not None:
        settings["role"] = role
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        command_timeout=command_timeout_seconds,
        server_settings=settings,
    )
