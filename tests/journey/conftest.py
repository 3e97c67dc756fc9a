"""What every journey may ask for: a stage of its own on the servers of the run."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from journey.load import TOPICS
from journey.stage import OUTPUTS, Stage
from local.kafka import Kafka

CreateTopic = Callable[..., Awaitable[str]]


@pytest.fixture
async def stage(kafka: Kafka, database: str, topics: CreateTopic) -> AsyncIterator[Stage]:
    """Topics, the busiest with more partitions than the others, and an empty database."""
    inputs = {name: await topics(name, partitions=3) for name in TOPICS}
    outputs = {name: await topics(name, partitions=2) for name in OUTPUTS}
    async with Stage(kafka.bootstrap_servers, database, inputs, outputs) as made:
        yield made
