"""Health: the monitor, the server and the watchdog of one worker, together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from booking_credits.health.monitor import KafkaProbe, Monitor
from booking_credits.health.server import HealthServer
from booking_credits.health.watchdog import Watchdog, symptoms
from booking_credits.postgres.probe import DatabaseProbe
from booking_credits.posting.shards import SHARDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aiokafka import AIOKafkaConsumer

    from booking_credits.health.metrics import Metrics
    from booking_credits.health.monitor import Watched
    from booking_credits.health.vitals import Vitals
    from booking_credits.settings import Settings

# What remains to be done after the parts have stopped.
_END_SECONDS: Final = 0.8


class Health:
    """Watches a worker that has a process of its own, from before its start until its end."""

    def __init__(
        self,
        worker: Watched,
        settings: Settings,
        metrics: Metrics,
        consumer_factory: Callable[[], AIOKafkaConsumer] | None,
        now: Callable[[], datetime],
    ) -> None:
        """Watch a worker, which has one health in its life. Raises OSError for a port.

        The factory makes consumers without a group; None for a worker that does without Kafka.
        `now` tells the time by which the worker goes, and so how late it is.
        """
        self._shutdown_seconds = settings.shutdown_seconds
        self._monitor = Monitor(
            worker,
            DatabaseProbe(settings.postgres_dsn.get_secret_value(), shards=SHARDS, now=now),
            None if consumer_factory is None else KafkaProbe(consumer_factory),
            settings.audit_seconds,
        )
        self._watchdog = Watchdog(
            self._vitals,
            symptoms(
                consumer_stuck_seconds=settings.consumer_stuck_seconds,
                batch_stuck_seconds=settings.batch_stuck_seconds,
                relay_stuck_seconds=settings.relay_stuck_seconds,
                loop_blocked_seconds=settings.loop_blocked_seconds,
            ),
        )
        self._server = None
        if settings.health_port:
            self._server = HealthServer(
                settings.health_host,
                settings.health_port,
                vitals=self._vitals,
                metrics=metrics,
                loop_blocked_seconds=settings.loop_blocked_seconds,
            )
        metrics.ask(self._vitals, now)

    def start(self) -> None:
        """Begin to watch and to answer."""
        self._monitor.start()
        self._watchdog.start()
        if self._server is not None:
            self._server.start()

    def expect_end(self) -> None:
        """End the process if it has not ended by itself when its shutdown should be over."""
        self._watchdog.expect_end(self._shutdown_seconds + _END_SECONDS)

    async def stop(self) -> None:
        """Answer no more; the end of the process is still expected."""
        if self._server is not None:
            self._server.stop()
        await self._monitor.stop()

    def _vitals(self) -> Vitals:
        return self._monitor.vitals
