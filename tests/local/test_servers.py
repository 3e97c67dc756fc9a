import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from local.containers import ContainerKafka
from local.kafka import ApacheKafka, InMemoryKafka, Kafka
from local.postgres import LocalPostgres, Postgres, StopMode
from local.servers import find_kafka, find_postgres
from local.supervision import UnavailableError

CreateTopic = Callable[..., Awaitable[str]]


@pytest.fixture
def no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("BOOKING_CREDITS_TEST_KAFKA", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/engine")


def test_addresses_in_the_environment_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has servers already names them and nothing is started."""
    monkeypatch.setenv("BOOKING_CREDITS_TEST_KAFKA", "127.0.0.1:9092")
    monkeypatch.setenv("BOOKING_CREDITS_TEST_POSTGRES", "postgresql://me@127.0.0.1/postgres")
    kafka, postgres = find_kafka(), find_postgres(durable=True)
    assert ("127.0.0.1:9092", False) == (kafka.bootstrap_servers, kafka.controllable)
    assert ("postgresql://me@127.0.0.1/postgres", False) == (postgres.dsn, postgres.controllable)


def test_dsn_for_names_another_database() -> None:
    """Only the database changes; the user, the server and the parameters stay."""
    postgres = Postgres("postgresql://me:pw@127.0.0.1:5432/postgres?application_name=a", "given")
    assert "postgresql://me:pw@127.0.0.1:5432/mine?application_name=a" == postgres.dsn_for("mine")


@pytest.mark.usefixtures("no_programs")
def test_without_java_the_reason_is_said() -> None:
    """Someone without Java learns what is missing, and tests get no stand-in."""
    with pytest.raises(UnavailableError, match="needs Java 17"):
        find_kafka()


@pytest.mark.usefixtures("no_programs")
def test_stand_in_is_taken_only_where_allowed_and_says_what_it_is() -> None:
    """Without Java one can still look around, but nobody takes what it shows for a real Kafka."""
    with find_kafka(allow_in_memory=True) as kafka:
        assert isinstance(kafka, InMemoryKafka)
        assert "in-memory stand-in" in kafka.description


@pytest.mark.slow
def test_containers_are_servers_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an engine has the images, both may be containers, to be broken and started again."""
    monkeypatch.setenv("BOOKING_CREDITS_TEST_KAFKA", "container")
    monkeypatch.setenv("BOOKING_CREDITS_TEST_POSTGRES", "container")
    try:
        with find_postgres(durable=False) as postgres, find_kafka() as kafka:
            assert (True, True) == (postgres.controllable, kafka.controllable)
            asyncio.run(_value(postgres.dsn, "CREATE TABLE kept AS SELECT 1 AS one"))
            for mode in ("smart", "fast", "immediate"):
                postgres.stop(mode)
                postgres.start()
            assert 1 == asyncio.run(_value(postgres.dsn, "SELECT one FROM kept"))
            kafka.kill()
            assert not kafka.running
            kafka.start()
            kafka.pause()
            kafka.resume()
            kafka.stop()
            assert not kafka.running
    except UnavailableError as reason:
        pytest.skip(f"NOT RUN in containers: {reason}")


@pytest.mark.slow
def test_kafka_as_a_process_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a process gets one, engine or not, to be broken and started again."""
    monkeypatch.setenv("BOOKING_CREDITS_TEST_KAFKA", "process")
    with find_kafka() as kafka:
        assert isinstance(kafka, ApacheKafka)
        kafka.kill()
        assert not kafka.running
        kafka.start()
        kafka.pause()
        kafka.resume()
        kafka.stop()
        assert not kafka.running


@pytest.mark.slow
def test_a_container_is_taken_where_no_process_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an engine has the image or may pull it, nobody has to ask."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("BOOKING_CREDITS_TEST_KAFKA", raising=False)
    try:
        with find_kafka() as kafka:
            assert isinstance(kafka, ContainerKafka)
    except UnavailableError as reason:
        pytest.skip(f"NOT RUN in containers: {reason}")


@pytest.mark.slow
def test_machine_without_postgres_uses_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine without Postgres runs the one that a Python package brings, as root too."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("local.postgres_files.DEBIAN_FOLDER", tmp_path)
    with LocalPostgres(durable=False) as postgres:
        version = asyncio.run(_value(postgres.dsn, "SHOW server_version"))
        directory = postgres.directory
    assert str(version).startswith("18.")
    assert not directory.exists()


async def test_kafka_keeps_its_records_through_a_crash(kafka: Kafka, topics: CreateTopic) -> None:
    """A killed Kafka comes back on the same port with everything that it had acknowledged."""
    if not kafka.controllable:
        pytest.skip("this Kafka is not ours to kill")
    topic = await topics("kept")
    await _produce(kafka, topic, b"before")
    await asyncio.to_thread(kafka.kill)
    await asyncio.to_thread(kafka.start)
    await _produce(kafka, topic, b"after")
    assert [b"before", b"after"] == await _consume(kafka, topic, 2)


async def test_frozen_kafka_answers_once_it_goes_on(kafka: Kafka, topics: CreateTopic) -> None:
    """A frozen Kafka leaves a producer waiting; the record arrives after all."""
    if not kafka.controllable:
        pytest.skip("this Kafka is not ours to freeze")
    topic = await topics("frozen")
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, b"before")
        kafka.pause()
        sending = await producer.send(topic, b"after")
        done, _ = await asyncio.wait([sending], timeout=0.3)
        kafka.resume()
        await sending
    assert set() == done
    assert [b"before", b"after"] == await _consume(kafka, topic, 2)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
def test_postgres_keeps_its_commits_through_a_restart(mode: StopMode) -> None:
    """However it was stopped, Postgres comes back on the same port with what was committed."""
    with LocalPostgres(durable=False) as postgres:
        asyncio.run(_value(postgres.dsn, "CREATE TABLE kept AS SELECT 1 AS one"))
        postgres.stop(mode)
        postgres.start()
        assert 1 == asyncio.run(_value(postgres.dsn, "SELECT one FROM kept"))


@pytest.mark.slow
@pytest.mark.parametrize(("durable", "expected"), [(True, "on"), (False, "off")])
def test_durable_decides_about_fsync(durable: bool, expected: str) -> None:  # noqa: FBT001
    """A measured server waits for the disk; a tested one does not."""
    with LocalPostgres(durable=durable) as postgres:
        assert expected == asyncio.run(_value(postgres.dsn, "SHOW fsync"))


async def _value(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def _produce(kafka: Kafka, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer:
        await producer.send_and_wait(topic, value)


async def _consume(kafka: Kafka, topic: str, count: int) -> list[bytes | None]:
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        return [(await consumer.getone()).value for _ in range(count)]
