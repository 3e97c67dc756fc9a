"""Ends: partitions without news are read through the instant at which their end was seen."""

from __future__ import annotations

import time
from asyncio import timeout
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from datetime import datetime
    from uuid import UUID

    from aiokafka import AIOKafkaConsumer

    from booking_credits.inbox.assignment import Assignment, TakesPositions
    from booking_credits.postgres.positions import Partition

# So that noting them costs next to nothing.
_EVERY_SECONDS: Final = 2.0
_TIMEOUT_SECONDS: Final = 5.0

_log = structlog.get_logger("inbox")


class Ends:
    """Notes the ends that were seen, at most so often."""

    def __init__(
        self,
        consumer: Callable[[], AIOKafkaConsumer],
        assignment: Assignment,
        positions: TakesPositions,
        owner: UUID,
        now: Callable[[], datetime],
    ) -> None:
        """Look at a consumer's partitions; `now` tells the time, as what arrives has it."""
        self._consumer = consumer
        self._assignment = assignment
        self._positions = positions
        self._owner = owner
        self._now = now
        self._noted_at = 0.0

    async def note(self, in_hand: Container[Partition]) -> None:
        """Note the ends of partitions of which nothing is in hand or waits to be posted.

        Called between a poll and the handling of what it brought. A failure is only logged: the
        same end is seen again.
        """
        if time.monotonic() - self._noted_at < _EVERY_SECONDS:
            return
        self._noted_at = time.monotonic()
        try:
            async with timeout(_TIMEOUT_SECONDS):
                ends = await self._seen(in_hand)
                if ends:
                    await self._positions.note_ends(ends, self._owner)
        except Exception as error:  # noqa: BLE001 - nothing hangs on it, and reading must go on
            _log.warning("ends_not_noted", error=type(error).__name__)

    async def _seen(self, in_hand: Container[Partition]) -> list[tuple[str, int, int, datetime]]:
        consumer, ends = self._consumer(), []
        for partition, reading in list(self._assignment.readings.items()):
            there = TopicPartition(*partition)
            if partition in in_hand or there not in consumer.assignment():
                continue
            end, asked_at_ms = consumer.highwater(there), consumer.last_poll_timestamp(there)
            if end is None or not asked_at_ms or await consumer.position(there) < end:
                continue
            # What stands behind the last record, as the end of a transaction does, is none.
            reading.next_offset = max(reading.next_offset, end)
            age = timedelta(seconds=max(0.0, time.time() - asked_at_ms / 1000))
            ends.append((*partition, reading.epoch, self._now() - age))
        return ends
