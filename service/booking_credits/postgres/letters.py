"""Letters: the dead letters on record, and what people did about them."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from booking_credits.postgres.pool import Connection

Action: TypeAlias = Literal["replayed", "discarded"]
State: TypeAlias = Literal["open", "replayed", "discarded"]

_SQL = load_queries("dead_letters.sql")


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without what it holds; `first_letter_id` is of the one it was replayed from."""

    dead_letter_id: UUID
    state: State
    reason: str
    detail: str
    topic: str
    partition: int
    record_offset: int
    record_timestamp: datetime | None
    source: str | None
    event_id: str | None
    type: str | None
    account_id: str | None
    attempts: int
    first_letter_id: UUID | None
    received_at: datetime
    value_bytes: int | None


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """What a letter holds, exactly as it came."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What someone did about a letter."""

    action: Action
    actor: str
    reason: str
    acted_at: datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """Which letters are asked for; None is any."""

    state: State | None = "open"
    reason: str | None = None
    account_id: str | None = None
    topic: str | None = None


async def find_letters(connection: Connection, filters: Filters, limit: int) -> list[Letter]:
    """List letters in the order in which they came."""
    rows = await connection.fetch(
        _SQL["find_letters"],
        filters.state,
        filters.reason,
        filters.account_id,
        filters.topic,
        limit,
    )
    return [Letter(**row) for row in rows]


async def letters_by_id(connection: Connection, ids: Iterable[UUID]) -> list[Letter]:
    """List letters in the order in which they came; an unknown id has none."""
    return [Letter(**row) for row in await connection.fetch(_SQL["letters_by_id"], list(ids))]


async def record_of_letter(connection: Connection, letter_id: UUID) -> HeldRecord:
    """Read what a letter on record holds."""
    row = await connection.fetchrow(_SQL["record_of_letter"], letter_id)
    if row is None:
        raise LookupError(letter_id)
    headers = tuple(
        (name, None if value is None else b64decode(value))
        for name, value in json.loads(row["headers"])
    )
    return HeldRecord(row["key"], row["value"], headers)


async def actions_of_letter(connection: Connection, letter_id: UUID) -> list[Done]:
    """List what was done about a letter, in order."""
    return [Done(**row) for row in await connection.fetch(_SQL["actions_of_letter"], letter_id)]


async def lock_letter(connection: Connection, letter_id: UUID) -> None:
    """Let nobody else act on a letter until the transaction ends."""
    await connection.execute(_SQL["lock_letter"], letter_id)


async def put_action(
    connection: Connection, letter_id: UUID, action: Action, actor: str, reason: str
) -> None:
    """Keep what is done about a letter, whose lock the caller holds."""
    await connection.execute(_SQL["put_action"], letter_id, action, actor, reason)
