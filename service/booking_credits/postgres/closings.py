"""The directory of closings: the period of each account that is closed next, and when."""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING

from booking_credits.ledger.closing import Closing, closing_of
from booking_credits.ledger.facts import AccountDescribed, PeriodClosed
from booking_credits.postgres.sql import load_queries

if TYPE_CHECKING:
    from datetime import datetime

    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.outcomes import Outcome
    from booking_credits.postgres.pool import Connection

_SQL = load_queries("due.sql")
_MOVES_CLOSINGS = (PeriodClosed, AccountDescribed)


async def closings_due_by(
    connection: Connection, instant: datetime, limit: int
) -> list[tuple[str, Closing]]:
    """Return the first closings whose time has come, with their accounts, in order.

    One clock at a time gets an answer; the others are told that none is due.
    """
    rows = await connection.fetch(_SQL["closings_due_by"], instant, limit)
    return [
        (
            row["account_id"],
            Closing(row["open_from"], row["period_start"], row["ends_at"], row["closes_at"]),
        )
        for row in rows
    ]


class ClosingsToCome:
    """Collects from a batch which accounts close another period next than before, or their first.

    An account's first period is the one in which the service first hears of it.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._noted: dict[str, tuple[Timeline, datetime | None, datetime]] = {}

    def note(self, account_id: str, outcome: Outcome, recorded_at: datetime) -> None:
        """Note what the closing of a period, another calendar or a first fact makes of it."""
        fact = outcome.fact
        if outcome.numbers.fact > 1 and not isinstance(fact, _MOVES_CLOSINGS):
            return
        open_from = self._noted[account_id][1] if account_id in self._noted else None
        if isinstance(fact, PeriodClosed):
            open_from = fact.ends_at
        self._noted[account_id] = outcome.timeline, open_from, recorded_at

    async def write(self, connection: Connection) -> None:
        """Write what was noted; the caller holds the accounts' locks."""
        if not self._noted:
            return
        asked = [account_id for account_id, noted in self._noted.items() if noted[1] is None]
        rows = await connection.fetch(_SQL["closings_open_from"], asked)
        known = {row["account_id"]: row for row in rows}
        closings = []
        for account_id, (timeline, open_from, recorded_at) in sorted(self._noted.items()):
            row = known.get(account_id)
            heard_at = timeline.period_at(recorded_at).start if row is None else row["open_from"]
            is_first = open_from is None and (row is None or row["is_first"])
            closing = closing_of(timeline, open_from or heard_at, is_first=is_first)
            closings.append((account_id, *astuple(closing)))
        columns = [list(column) for column in zip(*closings, strict=True)]
        await connection.execute(_SQL["put_closings"], *columns)
