"""Watchdog: ends a worker that no longer moves, so that whoever started it starts it anew.

Kafka's client can fail for good without saying so, and an event loop that is blocked cannot even
notice. So a thread looks at marks of progress: where one is due and stays the same for longer
than its budget, the process ends with a code of its own. A server that is away makes no mark
due: waiting for it is progress, however long it takes.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from booking_credits.exit_codes import ExitCode
from booking_credits.health.report import report_end

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from booking_credits.health.vitals import Vitals

_TICK_SECONDS: Final = 0.5
# A process that was stopped and goes on gets the chance to catch up.
_LONGEST_TICK_SECONDS: Final = 1.0
_REPORT_TIMEOUT_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Symptom:
    """A mark of progress that has to change within a time; None while no progress is due."""

    name: str
    exit_code: ExitCode
    budget_seconds: float
    mark: Callable[[Vitals], Hashable | None]


@dataclass(slots=True)
class _Held:
    """A mark, and for how long it has not changed while the process ran."""

    mark: Hashable | None = None
    seconds: float = 0.0


class Watch:
    """Remembers marks from one look to the next."""

    def __init__(self, symptoms: tuple[Symptom, ...]) -> None:
        """Look for symptoms."""
        self._held = {symptom: _Held() for symptom in symptoms}

    def look(self, vitals: Vitals, seconds: float) -> Symptom | None:
        """Return what has shown too long; `seconds` have passed since the last look."""
        for symptom, held in self._held.items():
            mark = symptom.mark(vitals)
            if mark is None or mark != held.mark:
                held.mark, held.seconds = mark, 0.0
                continue
            held.seconds += seconds
            if held.seconds >= symptom.budget_seconds:
                return symptom
        return None


class Watchdog:
    """Looks at a worker's vitals from a thread of its own, and ends the process if it must."""

    def __init__(
        self,
        vitals: Callable[[], Vitals],
        symptoms: tuple[Symptom, ...],
        *,
        end: Callable[[int], None] = os._exit,
    ) -> None:
        """Watch for symptoms; `end` ends the process and does not return."""
        self._vitals = vitals
        self._watch = Watch(symptoms)
        self._end = end
        self._ends_by: float | None = None
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to watch, from the event loop that is watched."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def expect_end(self, within_seconds: float) -> None:
        """End the process if it has not ended within a time; the first who says so decides."""
        if self._ends_by is None:
            self._ends_by = time.monotonic() + within_seconds

    def _run(self) -> None:
        looked_at = time.monotonic()
        while not self._stopped.wait(_TICK_SECONDS):
            now = time.monotonic()
            seconds, looked_at = min(now - looked_at, _LONGEST_TICK_SECONDS), now
            if self._ends_by is not None:
                if now >= self._ends_by:
                    return self._bite("shutdown", ExitCode.SHUTDOWN_OVERRAN)
            elif (symptom := self._watch.look(self._vitals(), seconds)) is not None:
                return self._bite(symptom.name, symptom.exit_code)
        return None

    def _bite(self, symptom: str, exit_code: ExitCode) -> None:
        """Say what stands still and where, if that can be said, and end the process."""
        # Whoever blocks the event loop may hold standard error, too.
        said = (self._loop, symptom, int(exit_code))
        report = threading.Thread(target=report_end, args=said, daemon=True)
        report.start()
        report.join(_REPORT_TIMEOUT_SECONDS)
        self._end(exit_code)


def symptoms(
    *,
    consumer_stuck_seconds: float,
    batch_stuck_seconds: float,
    relay_stuck_seconds: float,
    loop_blocked_seconds: float,
) -> tuple[Symptom, ...]:
    """Name everything that ends a worker, each with its budget."""
    consumer, relay = ExitCode.CONSUMER_STUCK, ExitCode.RELAY_STUCK
    return (
        Symptom("event loop blocked", ExitCode.LOOP_BLOCKED, loop_blocked_seconds, _beat),
        Symptom("consumer does not poll", consumer, consumer_stuck_seconds, _polls),
        Symptom("consumer does not fetch", consumer, consumer_stuck_seconds, _fetched),
        Symptom("batch is not posted", consumer, batch_stuck_seconds, _batch),
        Symptom("relay does not look", relay, relay_stuck_seconds, _looked),
        Symptom("relay does not publish", relay, relay_stuck_seconds, _published),
    )


def _beat(vitals: Vitals) -> Hashable | None:
    return vitals.beat


def _polls(vitals: Vitals) -> Hashable | None:
    return vitals.reading.polls if _may_poll(vitals) else None


def _fetched(vitals: Vitals) -> Hashable | None:
    return vitals.reading.fetched_at_ms if _may_poll(vitals) else None


def _may_poll(vitals: Vitals) -> bool:
    is_idle = vitals.reading.runs and vitals.reading.batch_began_at is None
    return vitals.phase == "serving" and bool(vitals.kafka_answers) and is_idle


def _batch(vitals: Vitals) -> Hashable | None:
    # Of a batch that is posted in parts, each has its time.
    return vitals.reading.posting_began_at if vitals.database_answers else None


def _looked(vitals: Vitals) -> Hashable | None:
    publishing = vitals.publishing
    is_due = publishing.runs and vitals.database_answers
    if vitals.phase != "serving" or not is_due:
        return None
    return publishing.last_looked_at, publishing.failures, _sum_published(vitals)


def _published(vitals: Vitals) -> Hashable | None:
    is_due = vitals.database_answers and vitals.kafka_answers
    if vitals.phase != "serving" or not is_due or not vitals.publishing.something_waits:
        return None
    return _sum_published(vitals)


def _sum_published(vitals: Vitals) -> int:
    return sum(vitals.publishing.published.values())
