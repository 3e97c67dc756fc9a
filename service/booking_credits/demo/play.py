"""Play: sends the day's events through Kafka and shows what comes back from it."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from aiokafka import AIOKafkaProducer

from booking_credits.demo.clock import DemoClock
from booking_credits.demo.day import DAY, Effects
from booking_credits.demo.screen import Screen
from booking_credits.demo.subscriber import Subscriber
from booking_credits.demo.tally import Tally
from booking_credits.kafka_access import client_options
from booking_credits.policy_file import load_policies
from booking_credits.postgres.counts import count_ledger, dead_letters_of, is_quiet
from booking_credits.postgres.pool import open_pool
from booking_credits.topics import create_topics
from booking_credits.verify.verification import verify
from booking_credits_contracts import BalanceChanged, CoverageDecided, OverageDetected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from rich.console import Console

    from booking_credits.demo.day import Step
    from booking_credits.demo.events import Event
    from booking_credits.postgres.counts import RecordPlace
    from booking_credits.postgres.pool import Connection
    from booking_credits.settings import Settings
    from booking_credits_contracts import PublishedData

__all__ = ["DemoClock", "play"]

_PARTITIONS: Final = 4
_STEP_TIMEOUT_SECONDS: Final = 30
_POLL_SECONDS: Final = 0.02
_PAUSE_SECONDS: Final = 1.5
_ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_INTERRUPTED: Final = 128 + signal.SIGINT


class Service(Protocol):
    """The service, as far as the demo handles it."""

    async def start(self) -> None:
        """Begin to read, post and publish."""

    async def stop(self) -> None:
        """End in good order."""


async def play(
    service: Service,
    settings: Settings,
    demo_clock: DemoClock,
    *,
    once: bool,
    console: Console,
) -> int:
    """Play the day on an empty ledger; return 0 if all came as expected and verify agrees.

    Unless it is to be played once, the service then goes on until SIGTERM or Ctrl-C, which also
    end the day early; then 130 is returned.
    """
    # On a Kafka that has just begun its client reports errors, tries again and then succeeds.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    loop = asyncio.get_running_loop()
    screen = Screen(console)
    async with _stage(settings, demo_clock, screen) as stage:
        playing = asyncio.create_task(_play(service, settings, stage, once=once))
        for number in _ENDING_SIGNALS:
            loop.add_signal_handler(number, playing.cancel)
        try:
            return await playing
        except asyncio.CancelledError:
            return _INTERRUPTED
        finally:
            for number in _ENDING_SIGNALS:
                loop.remove_signal_handler(number)


async def _play(service: Service, settings: Settings, stage: _Stage, *, once: bool) -> int:
    if (await count_ledger(stage.connection)).events:
        stage.screen.say("The ledger is not empty; the demo needs one of its own.", "red")
        return 1
    await service.start()
    try:
        is_as_told = await stage.play_day(0 if once else _PAUSE_SECONDS)
        violations = await _verify(settings, stage.screen)
        stage.screen.show_result(await count_ledger(stage.connection), violations)
        if not once:
            stage.clock.follow_wall_clock()
            stage.screen.show_invitation(DAY[-1].at)
            await _until_cancelled()
    finally:
        await service.stop()
    return 0 if is_as_told and not violations else 1


@asynccontextmanager
async def _stage(settings: Settings, clock: DemoClock, screen: Screen) -> AsyncIterator[_Stage]:
    kafka = client_options(settings)
    inputs, outputs = settings.input_topic_names, settings.output_topics.values()
    await create_topics(kafka, [*inputs, *outputs], _PARTITIONS)
    async with AsyncExitStack() as parts:
        dsn = settings.postgres_dsn.get_secret_value()
        pool = await open_pool(dsn, application_name="booking-credits demo", max_size=1)
        parts.push_async_callback(pool.close)
        connection = await parts.enter_async_context(pool.acquire())
        producer = AIOKafkaProducer(**kafka)
        await producer.start()
        parts.push_async_callback(producer.stop)
        subscriber = await parts.enter_async_context(Subscriber(kafka, outputs))
        yield _Stage(connection, producer, subscriber, clock, screen, inputs)


@dataclass(frozen=True, slots=True)
class _Stage:
    """What the day is played on."""

    connection: Connection
    producer: AIOKafkaProducer
    subscriber: Subscriber
    clock: DemoClock
    screen: Screen
    topics: Sequence[str]

    async def play_day(self, pause_seconds: float) -> bool:
        """Play every step and sum up; returns whether each did what it should."""
        tally = Tally()
        is_as_told = True
        for step in DAY:
            self.screen.show_step(step)
            try:
                async with asyncio.timeout(_STEP_TIMEOUT_SECONDS):
                    published, refused = await self._play_step(step)
            except TimeoutError:
                self.screen.say(f"  late      not done in {_STEP_TIMEOUT_SECONDS} s", "bold red")
                return False
            self.screen.show_effects(published, refused)
            tally.add(published)
            effects = _effects_of(published, refused)
            if effects != step.expects:
                self.screen.say(f"  expected  {step.expects}, not {effects}", "bold red")
                is_as_told = False
            await asyncio.sleep(pause_seconds)
        self.screen.show_summary(tally)
        return is_as_told

    async def _play_step(self, step: Step) -> tuple[list[PublishedData], list[tuple[str, str]]]:
        """Let time pass, then send; returns what was published and which records were refused."""
        self.clock.advance_to(step.at)
        await self._until_quiet(())
        places = [await self._send(event) for event in step.events]
        await self._until_quiet(places)
        published = await self.subscriber.read_rest()
        return published, await dead_letters_of(self.connection, places)

    async def _send(self, event: Event) -> RecordPlace:
        """Send to the usual topic, or to the only one where a deployment names others."""
        topic = event.topic if event.topic in self.topics else self.topics[0]
        sent = await self.producer.send_and_wait(
            topic, event.value, key=event.key, headers=event.headers
        )
        return sent.topic, sent.partition, sent.offset

    async def _until_quiet(self, places: Sequence[RecordPlace]) -> None:
        # What is waited for happens in the database, which no event of this loop tells of.
        while not await is_quiet(self.connection, self.clock.now(), places):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)


def _effects_of(published: Iterable[PublishedData], refused: Iterable[tuple[str, str]]) -> Effects:
    entries = owed_minor = 0
    decided = []
    for event in published:
        if isinstance(event, BalanceChanged):
            entries += len(event.entries)
        elif isinstance(event, OverageDetected):
            owed_minor += event.change_minor or 0
        elif isinstance(event, CoverageDecided):
            decided.append(event.status)
    return Effects(entries, owed_minor, tuple(decided), tuple(reason for reason, _ in refused))


async def _verify(settings: Settings, screen: Screen) -> int:
    """Hold the ledger against its rules; returns how many violations there are."""
    dsn = settings.postgres_dsn.get_secret_value()
    violations = await verify(dsn, load_policies(settings.policies), screen.show_progress)
    for violation in violations:
        screen.say(f"{violation.check}: {violation.account_id or '-'}: {violation.detail}", "red")
    return len(violations)


async def _until_cancelled() -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
