"""Connections to Postgres."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Final, TypeAlias

import asyncpg
from asyncpg.connect_utils import _parse_connect_dsn_and_args  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from asyncpg import Record

Pool: TypeAlias = "asyncpg.Pool[Record]"
Connection: TypeAlias = "asyncpg.Connection[Record] | asyncpg.pool.PoolConnectionProxy[Record]"

WORKER_ROLE = "booking_credits_worker"
# Every statement of a worker looks rows up by their key, however few there are when its plan is
# made: the plan must stay a good one as the tables fill. Plans that have no other way are fit to be
# run, not to be compiled, whatever they are said to cost.
BY_INDEX: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
# After which a statement is planned anew, by how large the tables are by then.
PLANS_LAST_SECONDS: Final = 10
_FORM = "postgresql://user:password@host:port/database?sslmode=mode"


class DsnFault(ValueError):
    """An address that cannot be used; it is not repeated, as a password may stand anywhere."""


def check_dsn(dsn: str) -> None:
    """Return where an address can be connected to, if someone answers there.

    Raises:
        DsnFault: it cannot be read, or names files that cannot be.
    """
    names = signature(_parse_connect_dsn_and_args).parameters
    try:
        _parse_connect_dsn_and_args(**dict.fromkeys(names) | {"dsn": dsn})
    except ValueError:
        raise DsnFault(f"not of the form {_FORM}, / # @ in a password as %2F %23 %40") from None
    except OSError as error:
        raise DsnFault(f"its TLS files cannot be used: {error.strerror or error}") from None


async def open_pool(  # noqa: PLR0913 - each named at the call
    dsn: str,
    *,
    application_name: str,
    max_size: int = 8,
    role: str | None = WORKER_ROLE,
    command_timeout_seconds: float | None = 60,
    idle_timeout_seconds: int | None = None,
    by_index: bool = False,
) -> Pool:
    """Open a pool whose sessions act as a role that may only append to what is append-only.

    Without a `role` the sessions act as their user. With an `idle_timeout_seconds` Postgres ends
    a session that says nothing for as long in a transaction, or whose machine is gone: what it had
    locked is free then, and what it had written is undone. With `by_index` statements look every
    row up, as `BY_INDEX` says.
    """
    settings = {"application_name": application_name, "timezone": "UTC"}
    if role is not None:
        settings["role"] = role
    if by_index:
        settings |= BY_INDEX
    if idle_timeout_seconds is not None:
        settings["idle_in_transaction_session_timeout"] = f"{idle_timeout_seconds}s"
        settings |= missed_after(idle_timeout_seconds)
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=max_size,
        command_timeout=command_timeout_seconds,
        server_settings=settings,
        max_cached_statement_lifetime=PLANS_LAST_SECONDS,
        reset=_leave_as_it_is,
    )


async def _leave_as_it_is(_connection: Connection) -> None:
    """Spare a session that goes back its reset: what is set in one ends with a transaction."""


def missed_after(seconds: int) -> dict[str, str]:
    """Return the settings by which Postgres misses the machine at the other end after a time."""
    return {
        "tcp_keepalives_idle": f"{seconds // 2}s",
        "tcp_keepalives_interval": f"{max(1, seconds // 6)}s",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": f"{seconds}s",
    }
