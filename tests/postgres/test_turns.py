"""Turns: a batch that takes long leaves the event loop to others now and then."""

import asyncio
from itertools import count
from typing import cast

import pytest

from booking_credits.postgres.pool import Connection
from booking_credits.postgres.writer import LedgerWriter
from booking_credits.posting import appending
from booking_credits.posting.appending import Appending

FACTS = 5


@pytest.mark.parametrize(
    ("seconds_a_fact", "turns"), [(1.0, FACTS), (0.0, 1)], ids=["slow facts", "quick facts"]
)
async def test_others_have_a_turn_after_each_fact_that_takes_long(
    monkeypatch: pytest.MonkeyPatch, seconds_a_fact: float, turns: int
) -> None:
    """So that ten such facts do not look like an event loop that is blocked."""
    clock = count(start=10.0, step=seconds_a_fact)
    monkeypatch.setattr(appending, "monotonic", lambda: next(clock))
    had = 0

    async def other() -> None:
        nonlocal had
        while True:
            had += 1
            await asyncio.sleep(0)

    unused = cast("Connection", None)  # Nothing is written.
    async with Appending(LedgerWriter(), unused) as appended:
        task = asyncio.create_task(other())
        for _ in range(FACTS):
            await appended.take_turns()
        task.cancel()

    assert turns == had
