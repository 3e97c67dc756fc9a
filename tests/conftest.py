"""What every test may ask for: a real Kafka and Postgres, a database and topics of its own."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import NoReturn

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from hypothesis import settings

from booking_credits.postgres.migrate import migrate
from local.kafka import Kafka
from local.postgres import Postgres
from local.servers import find_kafka, find_postgres
from local.supervision import UnavailableError

CreateTopic = Callable[..., Awaitable[str]]

# However old what a test writes says that it is, Kafka keeps it.
_KEEPING = {"retention.ms": "-1"}
_MISSING = pytest.StashKey[list[str]]()

# A deadline for one example would fail on a busy machine; pytest's timeout ends what hangs.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_MISSING] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow whatever needs a server, so that make test-fast starts none."""
    for item in items:
        if {"kafka", "postgres"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for reason in config.stash[_MISSING]:
        terminalreporter.write_line(f"NOT TESTED on a real server: {reason}", red=True, bold=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a CI run that had no real server: what it skipped is what it is for."""
    if session.config.stash[_MISSING] and os.environ.get("CI"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _keep_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands that run inside the tests leave the tests' own logs alone.

    They would log to a stream that is closed behind them, on which whatever logs later fails.
    """
    for module in ("cli", "dead_letters.commands", "enquiries.commands"):
        monkeypatch.setattr(f"booking_credits.{module}.configure_logs", lambda *_: None)


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """The real Kafka of this run."""
    try:
        found = find_kafka()
    except UnavailableError as reason:
        _skip(request, reason)
    with found:
        yield found


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """The real Postgres of this run."""
    try:
        found = find_postgres(durable=False)
    except UnavailableError as reason:
        _skip(request, reason)
    with found:
        yield found


@pytest.fixture(scope="session")
async def migrated_template(postgres: Postgres) -> AsyncIterator[str]:
    """The name of a database with the whole schema and no rows, to copy."""
    name = f"template_{uuid.uuid4().hex}"
    await _execute(postgres, f"CREATE DATABASE {name}")
    await migrate(postgres.dsn_for(name))
    yield name
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(postgres: Postgres, migrated_template: str) -> AsyncIterator[str]:
    """The DSN of a migrated, empty database of this test's own."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield postgres.dsn_for(name)
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def topics(kafka: Kafka) -> AsyncIterator[CreateTopic]:
    """Await it with a name, and partitions, to create a topic; it returns this test's own name."""
    created: list[str] = []

    async def create(name: str, *, partitions: int = 1) -> str:
        topic = f"{name}-{uuid.uuid4().hex}"
        async with _admin(kafka) as admin:
            made = NewTopic(topic, partitions, 1, topic_configs=_KEEPING)
            response = await admin.create_topics([made])
        assert [0] == [error[1] for error in response.topic_errors]
        created.append(topic)
        return topic

    yield create
    # A Kafka that was started for this run takes its topics with it.
    if created and not kafka.controllable:
        async with _admin(kafka) as admin:
            await admin.delete_topics(created)


def _skip(request: pytest.FixtureRequest, reason: UnavailableError) -> NoReturn:
    request.config.stash[_MISSING].append(str(reason))
    pytest.skip(str(reason))


async def _execute(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def _admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
