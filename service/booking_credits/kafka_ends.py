"""Kafka ends: how a client of Kafka is given up without taking along whoever gives it up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Coroutine

_CANCEL_TIMEOUT_SECONDS: Final = 1.0

_log = structlog.get_logger("kafka")


async def end_client(stopping: Coroutine[Any, Any, None], timeout_seconds: float) -> None:
    """Run a client's own end, at most for a time; a failure is only logged.

    That end may come as a cancellation that nobody asked for, or never (aiokafka 0.14). So it runs
    in a task of its own.
    """
    task = asyncio.create_task(stopping)
    done, _ = await asyncio.wait([task], timeout=timeout_seconds)
    if not done:
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_TIMEOUT_SECONDS)
    if not task.done():
        _log.warning("client_not_stopped", error="timeout")
    elif not task.cancelled() and (error := task.exception()) is not None:
        _log.warning("client_not_stopped", error=type(error).__name__)
