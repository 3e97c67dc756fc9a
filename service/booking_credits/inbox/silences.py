"""Silences: partitions of which Kafka says nothing, while it answers for others.

Of most errors of one partition (its leader cannot read the log, its disk is gone) Kafka's client
tells nobody: it asks again at once, and again (aiokafka 0.14). So a partition for which nothing was
answered for a while in which others were answered for is let go, and taken over again later. Where
nothing is answered at all, Kafka is away, which the monitor tells.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeAlias

import structlog
from aiokafka import TopicPartition

from booking_credits.inbox.polling import UNREADABLE_DELAY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiokafka import AIOKafkaConsumer

    from booking_credits.inbox.assignment import Assignment
    from booking_credits.postgres.positions import Partition

SILENCE_SECONDS: Final = 15.0
_EVERY_SECONDS: Final = 1.0
# Where looks lie further apart, nobody knows for how much of it others were answered for.
_LONGEST_SECONDS: Final = 5.0

# In which epoch a partition is read, and when Kafka last answered for it.
Mark: TypeAlias = tuple[int, int | None]

_log = structlog.get_logger("inbox")


class Silences:
    """Counts for how long nothing was said of partitions, and ends it."""

    def __init__(self, consumer: Callable[[], AIOKafkaConsumer], assignment: Assignment) -> None:
        """Look at a consumer's partitions."""
        self._consumer = consumer
        self._assignment = assignment
        self._marks: dict[Partition, Mark] = {}
        self._seconds: dict[Partition, float] = {}
        self._looked_at = time.monotonic()

    def end(self) -> None:
        """Let go of partitions that have been silent for too long; to be called with each poll."""
        passed = time.monotonic() - self._looked_at
        if passed < _EVERY_SECONDS:
            return
        self._looked_at += passed
        silent = self._listen(min(passed, _LONGEST_SECONDS))
        for partition in silent:
            topic, number = partition
            offset = self._assignment.readings[partition].next_offset
            _log.error("partition_silent", topic=topic, partition=number, offset=offset)
        self._assignment.let_go(silent, UNREADABLE_DELAY_SECONDS)

    def _listen(self, seconds: float) -> list[Partition]:
        """Add to the silence of those that were not answered for while others were."""
        before, self._marks = self._marks, self._read_marks()
        same = {p for p, mark in self._marks.items() if before.get(p) == mark}
        others_answered = any(p in before and p not in same for p in self._marks)
        # What was fetched and not handed over yet, nobody asks for.
        fetched = self._consumer()._fetcher._records  # noqa: SLF001 - it has no other way to tell
        known, more = self._seconds, seconds if others_answered else 0.0
        self._seconds = {p: known.get(p, 0.0) + more for p in same if p not in fetched}
        return [p for p, silence in self._seconds.items() if silence >= SILENCE_SECONDS]

    def _read_marks(self) -> dict[Partition, Mark]:
        consumer = self._consumer()
        assigned = consumer.assignment()
        return {
            partition: (reading.epoch, consumer.last_poll_timestamp(TopicPartition(*partition)))
            for partition, reading in self._assignment.readings.items()
            if partition in assigned
        }
