"""The demo's clock, which stands still until it is moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic

from booking_credits.demo.day import OPENS_AT


class DemoClock:
    """Tells the time of the day that is played; it never goes back."""

    def __init__(self, starts_at: datetime = OPENS_AT) -> None:
        """Stand still at an instant, by default the one at which the day opens."""
        self._now = starts_at.astimezone(UTC)
        self._follows_since: float | None = None

    def now(self) -> datetime:
        """Return the time of the day that is played, in UTC."""
        if self._follows_since is None:
            return self._now
        return self._now + timedelta(seconds=monotonic() - self._follows_since)

    def advance_to(self, instant: datetime) -> None:
        """Move on to an instant; one that has passed changes nothing."""
        self._now = max(self._now, instant.astimezone(UTC))

    def follow_wall_clock(self) -> None:
        """From now on go at the pace of the wall clock.

        The hour stays the demo's own: under today's date the plans of the day would be over.
        """
        self._follows_since = monotonic()
