"""Retries: how long to wait before trying again."""

from __future__ import annotations

from random import uniform
from typing import Final

_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 10.0


def retry_delay_seconds(failures: int) -> float:
    """Return a wait that doubles with each failure in a row, spread so that few coincide."""
    longest = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(failures, 16))
    return uniform(longest / 2, longest)  # noqa: S311 - nothing secret hangs on it
