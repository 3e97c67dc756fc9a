"""The clock posts every instant at which time changes something, in order, exactly once.

What is due stands in a directory that posting fills. A due instant is posted as a fact whose id
is made of the account and the instant, so any number of clocks may run and be interrupted. Its
rows are deleted under the account's lock, which is the lock they were written under.
"""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import structlog

from booking_credits.ledger.closing import payload_of
from booking_credits.ledger.facts import PeriodClosed, TimePassed
from booking_credits.postgres import due
from booking_credits.postgres.closings import closings_due_by
from booking_credits.postgres.positions import complete_through
from booking_credits.posting.batch import CLOCK_SOURCE, Arrival, Batch
from booking_credits.retries import retry_delay_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from booking_credits.ledger.closing import Closing
    from booking_credits.postgres.pool import Pool
    from booking_credits.posting.batch import Posted
    from booking_credits.posting.post import Poster

TYPE = "time-passed"
CLOSED = "period-closed"
# How long the clock rests, by how long it took to post a page, while batches arrive.
_REST: Final = 3
_log = structlog.get_logger("clock")


class Clock:
    """Posts what is due, again and again until it is stopped.

    `now` is asked for the time; what it says is never stored, only compared with what is due.
    """

    def __init__(  # noqa: PLR0913 - the usual values are its documentation
        self,
        pool: Pool,
        poster: Poster,
        *,
        now: Callable[[], datetime],
        posted: Callable[[Posted], None],
        topics: Sequence[str] = (),
        poll_seconds: float = 0.2,
        page_size: int = 50,
        closing_page_size: int = 10,
    ) -> None:
        """Look every `poll_seconds`, and post at most `page_size` instants a transaction.

        Where batches arrived meanwhile, it then rests for some time, so that they need not wait.

        No period is closed before all of `topics` have been read past the instant for it.
        """
        self._pool = pool
        self._poster = poster
        self._now = now
        self._posted = posted
        self._topics = topics
        self._poll_seconds = poll_seconds
        self._page_size = page_size
        self._closing_page_size = closing_page_size
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to post; starting twice is starting once."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="clock")

    async def stop(self) -> None:
        """Stop; what was being posted is due again. Stopping twice is stopping once."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def post_due(self) -> int:
        """Post a page of what is due by now, and return how many instants that were."""
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await due.due_by(connection, self._now(), self._page_size)
            if not rows:
                return 0
            recorded_at = self._now()
            arrivals = tuple(tick(account, at, recorded_at) for at, account in rows)
            posted = await self._poster.post_within(connection, Batch(arrivals))
            await due.forget_due(connection, rows)
        self._posted(posted)
        return len(rows)

    async def close_periods(self) -> int:
        """Close a page of the periods that may be closed by now, and return how many.

        What was told about them may still wait to be read: until it is, they stay open.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            read_through = await complete_through(connection, self._topics)
            if read_through is None:
                return 0
            until = min(read_through, self._now())
            rows = await closings_due_by(connection, until, self._closing_page_size)
            if not rows:
                return 0
            recorded_at = self._now()
            arrivals = tuple(close(account, at, recorded_at) for account, at in rows)
            posted = await self._poster.post_within(connection, Batch(arrivals))
        self._posted(posted)
        return posted.outcomes[CLOSED, "posted"]

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._post_all()
            except Exception as error:  # noqa: BLE001 - whatever it is, what is due must be posted
                delay = retry_delay_seconds(failures)
                failures += 1
                _log.warning(
                    "clock_failed", error=type(error).__name__, again_in_seconds=round(delay, 1)
                )
                await asyncio.sleep(delay)
            else:
                failures = 0
                await asyncio.sleep(self._poll_seconds)

    async def _post_all(self) -> None:
        """Post and close until nothing is left, and leave most of the time to what arrives."""
        while True:
            began_at, batches = time.monotonic(), self._poster.batches
            if not (await self.post_due() or await self.close_periods()):
                return
            if self._poster.batches > batches:
                await asyncio.sleep(_REST * (time.monotonic() - began_at))


def tick(account_id: str, due_at: datetime, recorded_at: datetime) -> Arrival:
    """Make the arrival of an instant that has passed for an account."""
    event_id = f"{account_id}/{due_at.isoformat()}"
    digest = sha256(event_id.encode()).digest()
    payload = f'{{"noticed_at":"{recorded_at.isoformat()}"}}'
    fact = TimePassed(due_at, recorded_at)
    return Arrival(account_id, fact, TYPE, CLOCK_SOURCE, event_id, payload, digest, recorded_at)


def close(account_id: str, closing: Closing, recorded_at: datetime) -> Arrival:
    """Make the arrival of the closing of an account's period."""
    fact = PeriodClosed(closing.period_start, closing.ends_at, closing.closes_at)
    event_id = f"{account_id}/period/{closing.period_start}/{closing.ends_at.isoformat()}"
    digest = sha256(event_id.encode()).digest()
    payload = payload_of(fact)
    return Arrival(account_id, fact, CLOSED, CLOCK_SOURCE, event_id, payload, digest, recorded_at)
