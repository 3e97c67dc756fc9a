"""The composition root: every part of a worker, put together from settings.

The command line and the tests build a worker by the same function.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream.kafka import KafkaBroker

from booking_credits.clock.clock import Clock
from booking_credits.inbox.reading import read_fact
from booking_credits.inbox.subscriber import Inbox
from booking_credits.outbox.relay import Relay
from booking_credits.outbox.rendering import render
from booking_credits.policy_record import keep_policies
from booking_credits.posting.post import Poster
from booking_credits.postgres.migrate import pending_migrations
from booking_credits.postgres.outbox_queue import OutboxQueue
from booking_credits.postgres.pool import open_pool
from booking_credits.postgres.positions import Positions

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from booking_credits.ledger.facts import Fact
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.posting.batch import Batch, Posted
    from booking_credits.postgres.pool import Pool
    from booking_credits.postgres.reader import ReadFact
    from booking_credits.settings import Settings

_log = structlog.get_logger("app")

_REQUEST_TIMEOUT_MS = 15_000
_BATCH_BYTES = 512 * 1024


class NotMigrated(Exception):
    """The database lacks migrations of this version."""


class Service:
    """A worker: it reads, posts, publishes and keeps the clock until it is stopped."""

    def __init__(
        self, settings: Settings, book: PolicyBook, *, now: Callable[[], datetime]
    ) -> None:
        """Work by settings and policies; `now` tells the time to the clock and to what arrives."""
        self.settings = settings
        self._book = book
        self._now = now
        self._stopped = asyncio.Event()
        self._parts: AsyncExitStack | None = None
        self.relay: Relay | None = None
        self.inbox: Inbox | None = None

    async def start(self) -> None:
        """Start every part, the reading one last; what was started is stopped if one fails.

        Raises:
            NotMigrated: `booking-credits migrate` has to run first.
            PoliciesDiffer: the ledger was computed by other policies.
        """
        async with AsyncExitStack() as parts:
            pool = await self._open_pool(parts)
            poster = Poster(pool, self._book, read_fact=reader_by(self._book), render=render)
            relay = self.relay = Relay(self._queue(), self._producer, self.settings.output_topics)
            relay.start()
            parts.push_async_callback(relay.stop)
            clock = Clock(
                pool,
                poster,
                now=self._now,
                posted=self._note,
                poll_seconds=self.settings.clock_poll_seconds,
            )
            clock.start()
            parts.push_async_callback(clock.stop)
            inbox = self.inbox = self._build_inbox(pool, poster)
            parts.push_async_callback(inbox.stop)
            await inbox.start()
            self._parts = parts.pop_all()
        _log.info("service_started", group=self.settings.group_id)

    async def stop(self) -> None:
        """Stop reading, let what is in hand be posted, stop the rest; stopping twice is one."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        try:
            async with asyncio.timeout(self.settings.shutdown_seconds):
                await parts.aclose()
        except TimeoutError:
            _log.warning("service_stopped_late", seconds=self.settings.shutdown_seconds)
        self._stopped.set()
        _log.info("service_stopped")

    async def run(self) -> int:
        """Serve until SIGTERM or Ctrl-C; returns the exit status."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        await self.start()
        await asked.wait()
        await self.stop()
        return 0

    async def run_until_stopped(self) -> None:
        """Return when someone has stopped the service."""
        await self._stopped.wait()

    async def _open_pool(self, parts: AsyncExitStack) -> Pool:
        """Open the pool for a database that fits this version and these policies."""
        dsn = self.settings.postgres_dsn.get_secret_value()
        pool = await open_pool(dsn, application_name="booking-credits")
        parts.push_async_callback(_close, pool)
        async with pool.acquire() as connection, connection.transaction():
            pending = await pending_migrations(connection)
            if pending:
                raise NotMigrated(f"run booking-credits migrate first: {', '.join(pending)}")
            await keep_policies(connection, self._book)
        return pool

    def _build_inbox(self, pool: Pool, poster: Poster) -> Inbox:
        async def post(batch: Batch) -> Posted:
            posted = await poster.post(batch)
            self._note(posted)
            return posted

        return Inbox(
            KafkaBroker(self.settings.kafka_bootstrap, logger=None, allow_auto_create_topics=False),
            self._look,
            self.settings.input_topic_names,
            self.settings.group_id,
            post=post,
            positions=Positions(pool),
            book=self._book,
            now=self._now,
            batch_records=self.settings.batch_records,
            session_timeout_seconds=self.settings.session_timeout_seconds,
        )

    def _note(self, posted: Posted) -> None:
        if posted.announcements and self.relay is not None:
            self.relay.wake()
        for letter in posted.dead_letters:
            _log.warning(
                "dead_letter",
                reason=letter.reason,
                topic=letter.origin.topic,
                partition=letter.origin.partition,
                offset=letter.origin.offset,
            )

    def _queue(self) -> OutboxQueue:
        return OutboxQueue(self.settings.postgres_dsn.get_secret_value())

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self.settings.kafka_bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )

    def _look(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )


def build(settings: Settings, book: PolicyBook, *, now: Callable[[], datetime]) -> Service:
    """Build a worker that is not started."""
    return Service(settings, book, now=now)


def reader_by(book: PolicyBook) -> ReadFact:
    """Return how stored facts are read again, by the units of a book."""
    return partial(_read_by, book)


def _read_by(book: PolicyBook, event_type: str, occurred_at: datetime, payload: str) -> Fact:
    return read_fact(event_type, occurred_at, payload, book)


async def _close(pool: Pool) -> None:
    """Close a pool even where a connection hangs."""
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            await pool.close()
    pool.terminate()
