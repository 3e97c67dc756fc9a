"""Appending: the database is given what was settled while the next facts are.

Facts, entries and announcements are only ever appended to, so nothing waits for them. A connection
does one thing at a time: whoever else wants it waits for `finish` first.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from booking_credits.postgres.pool import Connection
    from booking_credits.postgres.writer import LedgerWriter

# Each time costs the round trips of four statements.
_FACTS_AT_ONCE: Final = 200
# After so long others than this may have their turn, too: a fact may take a tenth of a millisecond,
# or seconds.
_TURN_SECONDS: Final = 0.002


class Appending:
    """Appends what a writer has noted, behind who notes it; left, it does nothing any more."""

    def __init__(self, writer: LedgerWriter, connection: Connection) -> None:
        """Append over a connection, as part of the transaction that it is in."""
        self._writer = writer
        self._connection = connection
        self._turn_ends_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin with nothing under way."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Leave the connection to others, also where something went wrong."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def take_turns(self) -> None:
        """After a while of settling, let the database and others go on.

        Raises what appending raised.
        """
        if monotonic() < self._turn_ends_at:
            return
        if self._task is None and len(self._writer.facts) >= _FACTS_AT_ONCE:
            self._task = asyncio.create_task(self._writer.append(self._connection))
        await asyncio.sleep(0)
        if self._task is not None and self._task.done():
            await self.finish()
        self._turn_ends_at = monotonic() + _TURN_SECONDS

    async def finish(self) -> None:
        """Wait until the connection is free. Raises what appending raised."""
        task, self._task = self._task, None
        if task is not None:
            await task
