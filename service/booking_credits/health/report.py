"""Report: what stands still, and where every thread and every task of the event loop is."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = structlog.get_logger("watchdog")


def report_end(loop: asyncio.AbstractEventLoop | None, symptom: str, exit_code: int) -> None:
    """Log that the process ends, and where it stood; names of code only, never a value."""
    _log.critical("worker_ended", symptom=symptom, exit_code=exit_code)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    for task in asyncio.all_tasks(loop) if loop is not None else ():
        _log.critical("task", name=task.get_name(), waits_in=list(_places(task.get_coro())))


def _places(awaited: Any) -> Iterator[str]:
    """Follow what is awaited from a task to where it waits."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield f"{frame.f_code.co_qualname}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
