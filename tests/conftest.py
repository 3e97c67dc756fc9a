"""What every test may ask for: a real Kafka and Postgres, a database and topics of its own."""

import os
import signal
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

# A deadline for one example would fail on a busy machine; pytest's timeout ends what hangs.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Let what tests start be interrupted: xdist's processes ignore it, and whom they start too."""
    if hasattr(config, "workerinput"):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow whatever needs a server, so that make test-fast starts none."""
    for item in items:
        if {"kafka", "postgres"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name at the end what could not be tested, each reason once."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = {report.longrepr[2].removeprefix("Skipped: ") for report in skipped}
    for reason in sorted(reason for reason in reasons if reason.startswith("NOT ")):
        terminalreporter.write_line(reason, red=True, bold=True)


@pytest.fixture(autouse=True)
def _keep_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands that run inside the tests leave the tests' own logs alone.

    They would log to a stream that is closed behind them, on which whatever logs later fails.
    """
    for module in ("cli", "dead_letters.commands", "enquiries.commands"):
        monkeypatch.setattr(f"booking_credits.{module}.configure_logs", lambda *_: None)


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """The real Kafka of this run."""
    try:
        found = find_kafka()
    except UnavailableError as reason:
        _do_without(reason)
    with found:
        yield found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The real Postgres of this run."""
    try:
        found = find_postgres(durable=False)
    except UnavailableError as reason:
        _do_without(reason)
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


def _do_without(reason: UnavailableError) -> NoReturn:
    """Skip a test that has no real server, but in CI: what it would skip is what it is for."""
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(f"NOT TESTED on a real server: {reason}")


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
