"""What every journey may ask for: a stage of its own, and servers that may be broken."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from booking_credits.ledger.announcements import KINDS
from booking_credits.settings import Settings
from journey.load import TOPICS
from journey.stage import Stage
from local.kafka import Kafka
from local.postgres import Postgres

CreateTopic = Callable[..., Awaitable[str]]


@pytest.fixture
async def stage(kafka: Kafka, database: str, topics: CreateTopic) -> AsyncIterator[Stage]:
    """Topics, the busiest with more partitions than the others, and an empty database."""
    inputs = {name: await topics(name, partitions=3) for name in TOPICS[1:]}
    inputs["bookings"] = await topics("bookings", partitions=6)
    async with await _stage(kafka, database, topics, inputs) as made:
        yield made


@pytest.fixture
async def narrow_stage(kafka: Kafka, database: str, topics: CreateTopic) -> AsyncIterator[Stage]:
    """A stage on which everything comes by one partition."""
    events = await topics("events")
    async with await _stage(kafka, database, topics, dict.fromkeys(TOPICS, events)) as made:
        yield made


@pytest.fixture
async def settings(kafka: Kafka, database: str, topics: CreateTopic) -> Settings:
    """Settings for a worker with a database and topics of this test's own."""
    outputs: dict[str, Any] = {
        f"topic_{kind.replace('-', '_')}": await topics(kind) for kind in KINDS
    }
    return Settings(
        kafka_bootstrap=kafka.bootstrap_servers,
        postgres_dsn=SecretStr(database),
        group_id=Path(database).name,
        input_topics=await topics("everything", partitions=4),
        **outputs,
    )


@pytest.fixture
async def broken_kafka(kafka: Kafka) -> AsyncIterator[Kafka]:
    """A Kafka to break; whatever became of it, it serves again afterwards."""
    if not kafka.controllable:
        pytest.skip("the Kafka of this run is not ours to break")
    yield kafka
    kafka.resume()
    if not kafka.running:
        await asyncio.to_thread(kafka.start)


@pytest.fixture
def broken_postgres(postgres: Postgres) -> Postgres:
    """A Postgres to break; the test starts it again."""
    if not postgres.controllable:
        pytest.skip("the Postgres of this run is not ours to break")
    return postgres


async def _stage(kafka: Kafka, database: str, topics: CreateTopic, inputs: dict[str, str]) -> Stage:
    outputs: dict[str, str] = {name: await topics(name, partitions=2) for name in KINDS}
    return Stage(kafka.bootstrap_servers, database, inputs, outputs)
