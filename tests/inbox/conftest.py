"""What tests of the inbox may ask for: topics with something to read them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from booking_credits.inbox import assignment
from booking_credits.postgres.pool import open_pool
from inbox.worlds import FENCED_DELAY_SECONDS, CreateTopic, World
from local.kafka import Kafka


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take over again soon what was another's."""
    monkeypatch.setattr(assignment, "FENCED_DELAY_SECONDS", FENCED_DELAY_SECONDS)


@pytest.fixture
async def world(database: str, kafka: Kafka, topics: CreateTopic) -> AsyncIterator[World]:
    """An empty topic of one partition."""
    async with _open_world(database, kafka, await topics("facts")) as made:
        yield made


@pytest.fixture
async def wide_world(database: str, kafka: Kafka, topics: CreateTopic) -> AsyncIterator[World]:
    """An empty topic of four partitions."""
    async with _open_world(database, kafka, await topics("facts", partitions=4)) as made:
        yield made


@asynccontextmanager
async def _open_world(database: str, kafka: Kafka, topic: str) -> AsyncIterator[World]:
    pool = await open_pool(database, application_name="test", max_size=4)
    try:
        yield World(kafka, pool, topic)
    finally:
        await pool.close()
