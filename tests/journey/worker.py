"""A worker to which something happens, or whose time a test tells: python worker.py serve.

JOURNEY_FAULT says what happens: a point, at which of its times, and the signal that the worker
then sends itself: "written 3 SIGKILL". Stopped by SIGSTOP, it stands exactly there until it is
continued. JOURNEY_CLOCK names the file of a standing clock.
"""

import functools
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from asyncpg import Connection

from booking_credits import cli
from booking_credits.outbox.publisher import Publisher
from booking_credits.postgres.outbox_queue import OutboxQueue
from booking_credits.postgres.writer import LedgerWriter
from booking_credits.posting.post import Poster

Method = Callable[..., Awaitable[Any]]

# Where each point lies: the method, and whether it is before it or behind it.
POINTS: dict[str, tuple[type, str, bool]] = {
    "read": (Poster, "post", False),
    "written": (LedgerWriter, "write", True),
    "publishing": (Publisher, "publish", False),
    "published": (OutboxQueue, "remove", False),
}

# In mid COPY, and between preparing a statement and running it, Postgres waits for a worker without
# counting its session as idle. One that froze just there would keep its locks while it is frozen.
UNSAFE = ("_copy_in", "_get_statement")


class Fault:
    """Strikes once: at the first time at or after its own at which it may."""

    def __init__(self, point: str, time: str, harm: str) -> None:
        self._left = int(time)
        self._harm: signal.Signals | None = signal.Signals[harm]
        self._busy = 0
        owner, method, behind = POINTS[point]
        setattr(owner, method, self._harmed(getattr(owner, method), behind=behind))
        for method in UNSAFE:
            setattr(Connection, method, self._noted(getattr(Connection, method)))

    def _harmed(self, method: Method, *, behind: bool) -> Method:
        @functools.wraps(method)
        async def harmed(*arguments: Any, **named: Any) -> Any:
            if not behind:
                self._strike()
            result = await method(*arguments, **named)
            if behind:
                self._strike()
            return result

        return harmed

    def _noted(self, method: Method) -> Method:
        @functools.wraps(method)
        async def noted(*arguments: Any, **named: Any) -> Any:
            self._busy += 1
            try:
                return await method(*arguments, **named)
            finally:
                self._busy -= 1

        return noted

    def _strike(self) -> None:
        self._left -= 1
        if self._left <= 0 and not self._busy and self._harm is not None:
            harm, self._harm = self._harm, None
            os.kill(os.getpid(), harm)


class StandingClock:
    """One time for all workers of a journey; it stands still until a test moves it on."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def now(self) -> datetime:
        return datetime.fromisoformat(self.file.read_text())

    def move_to(self, instant: datetime) -> None:
        new = self.file.with_suffix(".new")
        new.write_text(instant.isoformat())
        new.replace(self.file)


if __name__ == "__main__":
    if "JOURNEY_FAULT" in os.environ:
        Fault(*os.environ["JOURNEY_FAULT"].split())
    if "JOURNEY_CLOCK" in os.environ:
        cli._now = StandingClock(Path(os.environ["JOURNEY_CLOCK"])).now
    cli.main()
