"""Exit codes of the command `booking-credits`, by which a person on call knows why it ended."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What each means, and what to do about it, stands in deploy/README.md."""

    FINISHED = 0
    VIOLATIONS = 1
    USAGE = 2
    DATA_REFUSED = 65
    UNAVAILABLE = 69
    CONSUMER_STUCK = 70
    RELAY_STUCK = 71
    LOOP_BLOCKED = 72
    SHUTDOWN_OVERRAN = 73
