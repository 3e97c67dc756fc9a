"""Monitor: takes a worker's vitals every second, and asks its servers whether they answer.

It has connections of its own, so that what holds up the worker does not hold up the answer.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import timeout
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from booking_credits.health.vitals import Reading, Vitals, publishing_of, reading_of
from booking_credits.kafka_ends import end_client
from booking_credits.postgres.probe import Outlook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiokafka import AIOKafkaConsumer

    from booking_credits.health.vitals import Phase
    from booking_credits.inbox.subscriber import Inbox
    from booking_credits.outbox.relay import Relay
    from booking_credits.postgres.probe import DatabaseProbe

    class Watched(Protocol):
        """A worker; its parts come and go."""

        phase: Phase
        inbox: Inbox | None
        relay: Relay | None


_BEAT_SECONDS: Final = 1.0
_PROBE_SECONDS: Final = 5.0
_ANSWER_TIMEOUT_SECONDS: Final = 5.0
_STOP_TIMEOUT_SECONDS: Final = 1.0
# Two answers may be missed before a server counts as away.
_ANSWERED_SECONDS: Final = 2 * (_PROBE_SECONDS + _ANSWER_TIMEOUT_SECONDS)

_log = structlog.get_logger("health")


class KafkaProbe:
    """Asks Kafka by a client of its own, which is replaced when it fails."""

    def __init__(self, consumer_factory: Callable[[], AIOKafkaConsumer]) -> None:
        """Ask by consumers without a group; the factory makes those that are not started."""
        self._consumer_factory = consumer_factory
        self._consumer: AIOKafkaConsumer | None = None

    async def ask(self) -> None:
        """Return when Kafka has answered; raises where it does not within seconds."""
        try:
            async with timeout(_ANSWER_TIMEOUT_SECONDS):
                if self._consumer is None:
                    self._consumer = self._consumer_factory()
                    await self._consumer.start()
                await self._consumer.topics()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give the client up."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await end_client(consumer.stop(), _STOP_TIMEOUT_SECONDS)


class Monitor:
    """Keeps `vitals`, which any thread may read."""

    def __init__(
        self,
        worker: Watched,
        database: DatabaseProbe,
        kafka: KafkaProbe | None,
        audit_seconds: float,
    ) -> None:
        """Watch a worker by probes, without Kafka where there is none.

        The ledger is audited every so many seconds, 0 for never.
        """
        self.vitals = Vitals(time.monotonic())
        self._worker = worker
        self._database = database
        self._kafka = kafka
        self._audit_seconds = audit_seconds
        self._outlook = Outlook()
        self._violations: int | None = None
        self._database_answered_at = self._kafka_answered_at = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to take vitals."""
        works = [(self._ask_database, _PROBE_SECONDS), (self._ask_kafka, _PROBE_SECONDS)]
        if self._audit_seconds:
            works.append((self._audit, self._audit_seconds))
        self._tasks = [asyncio.create_task(_repeat(work, seconds)) for work, seconds in works]
        self._tasks.append(asyncio.create_task(self._beat_on()))

    async def stop(self) -> None:
        """Take no more, and close what probes hold."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._database.close()
        if self._kafka is not None:
            await self._kafka.close()

    def beat(self, loop_delay_seconds: float) -> None:
        """Take the vitals."""
        now = time.monotonic()
        self.vitals = replace(
            self.vitals,
            taken_at=now,
            beat=self.vitals.beat + 1,
            phase=self._worker.phase,
            loop_delay_seconds=loop_delay_seconds,
            database_answers=now - self._database_answered_at < _ANSWERED_SECONDS,
            kafka_answers=self._kafka_answers(now),
            reading=self._reading(),
            publishing=publishing_of(self._worker.relay),
            outlook=self._outlook,
            violations=self._violations,
        )

    def _kafka_answers(self, now: float) -> bool | None:
        if self._kafka is None:
            return None
        return now - self._kafka_answered_at < _ANSWERED_SECONDS

    def _reading(self) -> Reading:
        try:
            return reading_of(self._worker.inbox)
        except Exception as error:  # noqa: BLE001 - in a rebalance Kafka's client contradicts itself
            _log.info("reading_unknown", error=type(error).__name__)
            return self.vitals.reading

    async def _beat_on(self) -> None:
        delay_seconds = 0.0
        while True:
            self.beat(delay_seconds)
            began_at = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)
            delay_seconds = max(0.0, time.monotonic() - began_at - _BEAT_SECONDS)

    async def _ask_database(self) -> None:
        async with timeout(_ANSWER_TIMEOUT_SECONDS):
            self._outlook = await self._database.look()
        self._database_answered_at = time.monotonic()

    async def _ask_kafka(self) -> None:
        if self._kafka is not None:
            await self._kafka.ask()
            self._kafka_answered_at = time.monotonic()

    async def _audit(self) -> None:
        violations = await self._database.audit()
        self._violations = len(violations)
        for violation in violations:
            _log.error(
                "violation",
                check=violation.check,
                account=violation.account_id,
                detail=violation.detail,
            )


async def _repeat(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - that a server is away is what is asked for
            _log.warning("no_answer", asked=work.__name__.strip("_"), error=type(error).__name__)
        await asyncio.sleep(seconds)
