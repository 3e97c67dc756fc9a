"""Kafka ends: whatever becomes of a client, whoever gives it up goes on."""

import asyncio
import time

import pytest

from booking_credits.kafka_ends import end_client


async def _as_cancelled() -> None:
    raise asyncio.CancelledError


async def _never() -> None:
    await asyncio.Event().wait()


async def _deaf() -> None:
    with pytest.raises(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.sleep(2)


async def _failing() -> None:
    raise ConnectionError


@pytest.mark.parametrize("stopping", [_as_cancelled, _never, _deaf, _failing])
async def test_however_a_client_ends_its_owner_goes_on(stopping: object) -> None:
    """Neither cancelled nor held up for longer than was said, and a little for the cancelling."""
    assert callable(stopping)
    began_at = time.monotonic()
    task = asyncio.create_task(end_client(stopping(), 0.1))
    await asyncio.wait([task], timeout=5)
    assert (True, False, None) == (task.done(), task.cancelled(), task.exception())
    assert time.monotonic() - began_at < 2
