"""Directories beside the ledger: events received, bookings' accounts, positions, dead letters."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, TypeAlias

from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from booking_credits.postgres.pool import Connection

EventKey: TypeAlias = tuple[str, str]
Headers: TypeAlias = "tuple[tuple[str, bytes | None], ...]"

_SQL = load_queries("ledger.sql")


async def register_events(
    connection: Connection, events: Sequence[tuple[str, str, str, bytes]]
) -> tuple[set[EventKey], dict[EventKey, bytes]]:
    """Claim events, given as source, id, account and hash.

    Returns the keys that are new, and the hashes under which the others were registered.
    """
    rows = sorted(events)
    found = await connection.fetch(_SQL["register_events"], *_columns(rows))
    new = {(row["source"], row["event_id"]) for row in found}
    old = [(row[0], row[1]) for row in rows if (row[0], row[1]) not in new]
    if not old:
        return new, {}
    hashes = await connection.fetch(_SQL["registered_hashes"], *_columns(old))
    return new, {(row["source"], row["event_id"]): row["payload_hash"] for row in hashes}


async def forget_events(connection: Connection, keys: Iterable[EventKey]) -> None:
    """Give back the ids of events that were not posted."""
    ordered = sorted(keys)
    if ordered:
        await connection.execute(_SQL["forget_events"], *_columns(ordered))


async def claim_bookings(
    connection: Connection, bookings: Sequence[tuple[str, str]]
) -> tuple[dict[str, str], set[str]]:
    """Give bookings to accounts, first come first served.

    Returns whose each one is, and which were nobody's before: of these nothing is on record.
    """
    if not bookings:
        return {}, set()
    rows = sorted(bookings)
    found = await connection.fetch(_SQL["claim_bookings"], *_columns(rows))
    owners = {row["booking_id"]: row["account_id"] for row in found}
    new = {row["booking_id"] for row in found if row["is_new"]}
    missing = [booking_id for booking_id, _ in rows if booking_id not in owners]
    if missing:
        found = await connection.fetch(_SQL["booking_owners"], missing)
        owners.update((row["booking_id"], row["account_id"]) for row in found)
    return owners, new


async def advance_positions(connection: Connection, advances: Sequence[tuple[object, ...]]) -> bool:
    """Move positions on, given as the columns of the query.

    Returns False where another owner has taken one of them.
    """
    if not advances:
        return True
    moved = await connection.fetch(_SQL["advance_positions"], *_columns(sorted(advances)))
    return len(moved) == len(advances)


async def put_dead_letters(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Keep dead letters, given as the query's columns and the letter each was replayed from."""
    if rows:
        await connection.execute(_SQL["put_dead_letters"], *_columns(rows))


def headers_json(headers: Headers) -> str:
    """Write headers as pairs of name and base64 value; a null value stays null."""
    return json.dumps(
        [(name, None if value is None else b64encode(value).decode()) for name, value in headers]
    )


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
