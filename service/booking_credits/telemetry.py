"""Telemetry: structured logs, JSON where a machine reads them and coloured where a person does.

A log names events, accounts and positions; what a payload holds is never logged.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from typing import Final, Literal, TypeAlias

import structlog

# How often a library may say the same thing; Kafka's says it a hundred times a second.
_SELDOM_SECONDS: Final = 10.0
_REMEMBERED: Final = 1000

_Saying: TypeAlias = tuple[str, str]


class Seldom(logging.Filter):
    """Lets the same message of a library through once in a while, with how many were held back."""

    def __init__(self, seconds: float = _SELDOM_SECONDS) -> None:
        """Let one through every so many seconds."""
        super().__init__()
        self._seconds = seconds
        self._said_at: dict[_Saying, float] = {}
        self._held_back: Counter[_Saying] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is let through."""
        saying, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said_at.get(saying, float("-inf")) < self._seconds:
            self._held_back[saying] += 1
            return False
        if len(self._said_at) >= _REMEMBERED:
            self._said_at.clear()
            self._held_back.clear()
        self._said_at[saying] = now
        if held_back := self._held_back.pop(saying, 0):
            record.msg, record.args = f"{record.getMessage()} (and {held_back} like it)", ()
        return True


def configure_logs(log_format: Literal["auto", "json", "console"], level: int) -> None:
    """Write logs to standard error; libraries' own from warnings upwards."""
    in_terminal = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if in_terminal else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    )
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
