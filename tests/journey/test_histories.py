"""Histories: the service publishes what simulating a file of events says, event for event."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from booking_credits.app import build
from booking_credits.demo.clock import DemoClock
from booking_credits.inbox import ends
from booking_credits.policy_file import load_policies
from booking_credits.settings import Settings
from booking_credits.verify.verification import verify
from journey.stage import connected, read_all, wait_until

pytestmark = pytest.mark.slow

Json: TypeAlias = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "histories"
NAMES = sorted(f.name.partition(".")[0] for f in FOLDER.glob("*.published.jsonl"))
HEADERS = [("content-type", b"application/cloudevents+json")]
# That nothing of the file is on its way any more: read, due, or to be published.
QUIET = """
select (select coalesce(sum(next_offset), 0) from positions) = $1
    and not exists (select from due where due_at <= $2)
    and not exists (select from closings where closes_at <= $2)
    and not exists (select from outbox)
"""
# A period is closed once the ends of all partitions were seen after the instant for it.
NEXT = """
select min(at) from (
    select due_at from due
    union all select closes_at + interval '5 seconds' from closings
) as next (at)
"""


@pytest.mark.parametrize("name", NAMES)
async def test_the_service_publishes_what_simulating_says(
    settings: Settings, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history is played through Kafka and Postgres, by a clock that stops wherever it must."""
    # Ends are seldom looked at, for that costs; here nobody wants to wait.
    monkeypatch.setattr(ends, "_EVERY_SECONDS", 0.0)
    events = _lines(FOLDER / f"{name}.jsonl")
    clock = DemoClock(_arrival(events[0]))
    async with _playing(settings, clock) as playing:
        for event in events:
            await playing.until(_arrival(event))
            await playing.send(event)
    published = await read_all(settings.kafka_bootstrap, settings.output_topics.values())
    assert _in_order(_lines(FOLDER / f"{name}.published.jsonl")) == _in_order(
        [_event(record) for record in published]
    )
    assert [] == await verify(
        settings.postgres_dsn.get_secret_value(), load_policies(), lambda *_: None
    )


class _Playing:
    """A service that works by a clock which stands still."""

    def __init__(
        self,
        settings: Settings,
        clock: DemoClock,
        producer: AIOKafkaProducer,
        connection: "asyncpg.Connection[asyncpg.Record]",
    ) -> None:
        self._topic = settings.input_topics
        self._clock = clock
        self._producer = producer
        self._connection = connection
        self._sent = 0

    async def until(self, instant: datetime) -> None:
        """Let time pass, and stop at each instant at which something is due."""
        while True:
            next_at = await self._connection.fetchval(NEXT)
            if next_at is None or next_at > instant:
                break
            self._clock.advance_to(next_at)
            await self._quiet()
        self._clock.advance_to(instant)

    async def send(self, event: Json) -> None:
        """Send an event, and wait until all that comes of it is published."""
        key, value = event["data"]["account_id"].encode(), json.dumps(event).encode()
        await self._producer.send_and_wait(self._topic, value, key=key, headers=HEADERS)
        self._sent += 1
        await self._quiet()

    async def _quiet(self) -> None:
        async def is_quiet() -> bool:
            return bool(await self._connection.fetchval(QUIET, self._sent, self._clock.now()))

        await wait_until(is_quiet, 30)


@asynccontextmanager
async def _playing(settings: Settings, clock: DemoClock) -> AsyncIterator[_Playing]:
    service = build(settings, load_policies(), now=clock.now)
    await service.start()
    try:
        async with (
            AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer,
            connected(settings.postgres_dsn.get_secret_value()) as connection,
        ):
            yield _Playing(settings, clock, producer, connection)
    finally:
        await service.stop()


def _lines(file: Path) -> list[Json]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _arrival(event: Json) -> datetime:
    return datetime.fromisoformat(str(event.get("recordedtime", event["time"])))


def _event(record: ConsumerRecord) -> Json:
    """Write a record as the structured event that it is."""
    attributes = {
        name.removeprefix("ce_"): text.decode()
        for name, text in record.headers
        if name.startswith("ce_")
    }
    content_type = dict(record.headers)["content-type"].decode()
    return attributes | {
        "datacontenttype": content_type,
        "data": json.loads(record.value),
    }


def _in_order(events: list[Json]) -> list[Json]:
    """Sort events, and forget how late a period was closed."""
    for event in events:
        if event["data"]["cause"]["type"] == "period-closed":
            event["time"] = event["data"]["recorded_at"] = "later"
    return sorted(events, key=lambda e: (e["subject"], e["data"]["sequence"], e["data"]["part"]))
