"""The composition root: every part of a worker, put together from settings.

The command line and the tests build a worker by the same function.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from contextlib import AsyncExitStack, nullcontext, suppress
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream.kafka import KafkaBroker

from booking_credits.clock.clock import Clock
from booking_credits.exit_codes import ExitCode
from booking_credits.health.health import Health
from booking_credits.health.metrics import Metrics
from booking_credits.inbox.reading import read_fact
from booking_credits.inbox.subscriber import Inbox
from booking_credits.kafka_access import broker_security, client_options
from booking_credits.outbox.relay import Relay
from booking_credits.outbox.rendering import render
from booking_credits.policy_record import PoliciesDiffer, keep_policies
from booking_credits.postgres.migrate import pending_migrations
from booking_credits.postgres.outbox_queue import OutboxQueue
from booking_credits.postgres.pool import open_pool
from booking_credits.postgres.positions import Positions
from booking_credits.posting.post import Poster

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from booking_credits.health.vitals import Phase
    from booking_credits.ledger.facts import Fact
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.postgres.pool import Pool
    from booking_credits.postgres.reader import ReadFact
    from booking_credits.posting.batch import Batch, Posted
    from booking_credits.settings import Settings
    from booking_credits.tracing import Tracing

_log = structlog.get_logger("app")

_REQUEST_TIMEOUT_MS = 15_000
_BATCH_BYTES = 512 * 1024
# An announcement with one item larger than a part's limit is still published whole.
_EVENT_BYTES = 4 * 1024 * 1024
# A topic that is deleted and made again is noticed within this time.
_METADATA_AGE_MS = 30_000
# Facts on record that are read again and again, such as what is said of accounts.
_FACTS_KEPT = 4096
# How long a shutdown waits for the batch in hand.
_BATCH_SECONDS = 6.0
# Of what the watchdog grants a batch: by then it is posted in halves, each with a time of its own.
_BATCH_TIMEOUT_SHARE = 0.2


Role: TypeAlias = Literal["inbox", "relay", "clock"]
ROLES: Final[frozenset[Role]] = frozenset({"inbox", "relay", "clock"})


class NotMigrated(Exception):
    """The database lacks migrations of this version."""


class Service:
    """A worker: it reads, posts, publishes and keeps the clock until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        book: PolicyBook,
        *,
        now: Callable[[], datetime],
        roles: frozenset[Role] = ROLES,
    ) -> None:
        """Work by settings and policies; `now` tells the time to the clock and to what arrives.

        A worker without some of the roles leaves them to others.
        """
        self.settings = settings
        self._roles = roles
        self._book = book
        self._now = now
        self._stopped = asyncio.Event()
        self._parts: AsyncExitStack | None = None
        self._stopped_late = False
        self.phase: Phase = "starting"
        self.metrics = Metrics()
        self._tracing = _tracing(settings)
        self.relay: Relay | None = None
        self.inbox: Inbox | None = None

    async def start(self) -> None:
        """Start every part, the reading one last; what was started is stopped if one fails.

        Raises:
            NotMigrated: `booking-credits migrate` has to run first.
            PoliciesDiffer: the ledger was computed by other policies.
        """
        async with AsyncExitStack() as parts:
            if self._tracing is not None:
                parts.push_async_callback(self._tracing.stop)
            pool = await self._open_pool(parts)
            poster = Poster(pool, self._book, read_fact=reader_by(self._book), render=render)
            if "relay" in self._roles:
                self.relay = self._build_relay()
                self.relay.start()
                parts.push_async_callback(self.relay.stop)
            if "clock" in self._roles:
                clock = self._build_clock(pool, poster)
                clock.start()
                parts.push_async_callback(clock.stop)
            if "inbox" in self._roles:
                self.inbox = self._build_inbox(pool, poster)
                parts.push_async_callback(self.inbox.stop)
                await self.inbox.start()
            self._parts = parts.pop_all()
        self.phase = "serving"
        _log.info("service_started", group=self.settings.group_id, roles=sorted(self._roles))

    async def stop(self) -> None:
        """Stop reading, let what is in hand be posted, stop the rest; stopping twice is one."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        self.phase = "stopping"
        try:
            async with asyncio.timeout(self.settings.shutdown_seconds):
                await parts.aclose()
        except TimeoutError:
            self._stopped_late = True
            _log.warning("service_stopped_late", seconds=self.settings.shutdown_seconds)
        self._stopped.set()
        _log.info("service_stopped")

    async def run(self) -> ExitCode:
        """Serve until SIGTERM or Ctrl-C, in a process that is ended if it does not end."""
        spare_the_collector()
        try:
            # The clock alone does without Kafka.
            look = self._look if self._roles & {"inbox", "relay"} else None
            health = Health(self, self.settings, self.metrics, look, self._now)
        except OSError as error:
            _log.error("not_started", reason=f"health port: {error}")
            return ExitCode.USAGE
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
        health.start()
        try:
            return await self._serve_until(asked, health)
        finally:
            health.expect_end()
            await health.stop()

    async def _serve_until(self, asked: asyncio.Event, health: Health) -> ExitCode:
        starting = asyncio.create_task(self.start())
        asking = asyncio.create_task(asked.wait())
        await asyncio.wait([starting, asking], return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and (refused := _refusal(starting.exception())) is not None:
            asking.cancel()
            return refused
        await asking
        health.expect_end()
        starting.cancel()
        await asyncio.wait([starting])
        await self.stop()
        return ExitCode.SHUTDOWN_OVERRAN if self._stopped_late else ExitCode.FINISHED

    async def run_until_stopped(self) -> None:
        """Return when someone has stopped the service."""
        await self._stopped.wait()

    async def _open_pool(self, parts: AsyncExitStack) -> Pool:
        """Open the pool for a database that fits this version and these policies."""
        dsn = self.settings.postgres_dsn.get_secret_value()
        pool = await open_pool(
            dsn,
            application_name="booking-credits",
            by_index=True,
            idle_timeout_seconds=self.settings.session_timeout_seconds,
        )
        parts.push_async_callback(_close, pool)
        async with pool.acquire() as connection, connection.transaction():
            pending = await pending_migrations(connection)
            if pending:
                raise NotMigrated(f"run booking-credits migrate first: {', '.join(pending)}")
            await keep_policies(connection, self._book)
        return pool

    def _build_inbox(self, pool: Pool, poster: Poster) -> Inbox:
        trace = nullcontext if self._tracing is None else self._tracing.posting

        async def post(batch: Batch) -> Posted:
            began_at = time.monotonic()
            with trace(batch) as traced:
                posted = await poster.post(traced)
            self.metrics.note_batch(batch, time.monotonic() - began_at)
            self._note(posted)
            return posted

        return Inbox(
            KafkaBroker(
                self.settings.kafka_bootstrap,
                security=broker_security(self.settings),
                logger=None,
                allow_auto_create_topics=False,
                metadata_max_age_ms=_METADATA_AGE_MS,
                graceful_timeout=_BATCH_SECONDS,
            ),
            self._look,
            self.settings.input_topic_names,
            self.settings.group_id,
            post=post,
            positions=Positions(pool),
            book=self._book,
            now=self._now,
            batch_records=self.settings.batch_records,
            batch_timeout_seconds=self.settings.batch_stuck_seconds * _BATCH_TIMEOUT_SHARE,
            session_timeout_seconds=self.settings.session_timeout_seconds,
        )

    def _note(self, posted: Posted) -> None:
        self.metrics.note_posted(posted)
        for letter in posted.dead_letters:
            _log.warning(
                "dead_letter",
                reason=letter.reason,
                topic=letter.origin.topic,
                partition=letter.origin.partition,
                offset=letter.origin.offset,
            )

    def _build_relay(self) -> Relay:
        queue = OutboxQueue(
            self.settings.postgres_dsn.get_secret_value(),
            # Between two of its statements the relay starts a producer and publishes a page.
            idle_timeout_seconds=2 * self.settings.session_timeout_seconds,
        )
        trace = nullcontext if self._tracing is None else self._tracing.publishing
        return Relay(queue, self._producer, self.settings.output_topics, trace=trace)

    def _build_clock(self, pool: Pool, poster: Poster) -> Clock:
        return Clock(
            pool,
            poster,
            now=self._now,
            posted=self._note,
            topics=self.settings.input_topic_names,
            poll_seconds=self.settings.clock_poll_seconds,
        )

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self.settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_EVENT_BYTES,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )

    def _look(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **client_options(self.settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )


def build(
    settings: Settings,
    book: PolicyBook,
    *,
    now: Callable[[], datetime],
    roles: frozenset[Role] = ROLES,
) -> Service:
    """Build a worker that is not started."""
    return Service(settings, book, now=now, roles=roles)


def reader_by(book: PolicyBook) -> ReadFact:
    """Return how stored facts are read again, by the units of a book; those of late only once."""
    return lru_cache(maxsize=_FACTS_KEPT)(partial(_read_by, book))


def _read_by(book: PolicyBook, event_type: str, occurred_at: datetime, payload: str) -> Fact:
    return read_fact(event_type, occurred_at, payload, book)


def _refusal(error: BaseException | None) -> ExitCode | None:
    """Say why a worker did not start, for a person to read, and the code that it ends with."""
    if error is None:
        return None
    if isinstance(error, NotMigrated | PoliciesDiffer):
        _log.error("not_started", reason=str(error))
        return ExitCode.USAGE
    _log.error("not_started", reason=type(error).__name__, exc_info=error)
    return ExitCode.UNAVAILABLE


def _tracing(settings: Settings) -> Tracing | None:
    """Build what tells traces, where someone is to be told."""
    if settings.traces_endpoint is None:
        return None
    # An extra, and slow to load: only who traces needs it.
    tracing = import_module("booking_credits.tracing")
    made: Tracing = tracing.Tracing(str(settings.traces_endpoint))
    return made


async def _close(pool: Pool) -> None:
    """Close a pool even where a connection hangs."""
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            await pool.close()
    pool.terminate()


def spare_the_collector() -> None:
    """Collect cycles rarely: a batch makes many objects and no cycles, and lets go of them all."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
