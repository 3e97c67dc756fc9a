"""The rules by which a ledger is computed, kept beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from booking_credits.postgres.pool import Connection

_SQL = load_queries("policy_rules.sql")


async def recorded_rules(connection: Connection) -> dict[str, str]:
    """Return the rules on record, as JSON by name."""
    rows = await connection.fetch(_SQL["recorded_rules"])
    return {row["name"]: row["content"] for row in rows}


async def record_rules(connection: Connection, rules: Mapping[str, str]) -> None:
    """Put rules on record; one that is there already stays as it is."""
    if rules:
        await connection.execute(_SQL["record_rules"], list(rules), list(rules.values()))
