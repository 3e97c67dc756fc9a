"""A worker to which something happens at a point of the test's choosing: python worker.py serve.

JOURNEY_FAULT says what: a point, at which of its times, and the signal that the worker then sends
itself: "written 3 SIGKILL". Stopped by SIGSTOP, it stands exactly there until it is continued.
"""

import functools
import itertools
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from booking_credits.cli import main
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


def arm(fault: str) -> None:
    """Let the fault happen when its time comes."""
    point, time, name = fault.split()
    owner, method, behind = POINTS[point]
    harmed = _harmed(getattr(owner, method), int(time), signal.Signals[name], behind=behind)
    setattr(owner, method, harmed)


def _harmed(method: Method, time: int, harm: signal.Signals, *, behind: bool) -> Method:
    times = itertools.count(1)

    @functools.wraps(method)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        strikes = next(times) == time
        if strikes and not behind:
            os.kill(os.getpid(), harm)
        result = await method(*arguments, **named)
        if strikes and behind:
            os.kill(os.getpid(), harm)
        return result

    return wrapped


if __name__ == "__main__":
    arm(os.environ["JOURNEY_FAULT"])
    main()
