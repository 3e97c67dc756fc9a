"""Logins: a worker does its work with a Kafka and a Postgres that ask for TLS and for a name."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from booking_credits.app import build
from booking_credits.kafka_access import client_options
from booking_credits.policy_file import load_policies
from booking_credits.postgres.migrate import migrate
from booking_credits.settings import Settings
from booking_credits.topics import create_topics
from builders import a_grant
from containers.engine import docker
from journey.stage import connected, wait_until
from local.supervision import free_port
from postgres.arrivals import record_of

pytestmark = [pytest.mark.timeout(300)]

_SUBJECT = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required {};"
_POSTGRES = """
install -o postgres -m 600 /tls/key.pem /tls/cert.pem /var/lib/postgresql/
printf 'local all all trust\\nhostssl all all all scram-sha-256\\n' > /var/lib/postgresql/hba
exec docker-entrypoint.sh postgres -c listen_addresses=127.0.0.1 -c port=$PORT -c ssl=on \
    -c ssl_cert_file=/var/lib/postgresql/cert.pem -c ssl_key_file=/var/lib/postgresql/key.pem \
    -c hba_file=/var/lib/postgresql/hba
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key and a certificate of this machine, which vouches for itself."""
    folder = tmp_path_factory.mktemp("tls")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *_SUBJECT]
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*make, *files], cwd=folder, check=True, capture_output=True)
    key, certificate = (folder / "key.pem").read_text(), (folder / "cert.pem").read_text()
    (folder / "both.pem").write_text(key + certificate)
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.fixture(scope="module")
def bootstrap(engine: None, certificate: Path) -> Iterator[str]:  # noqa: ARG001 - it has to be there
    """The address of a Kafka to which dora may log in."""
    outside, inside, controller = free_port(), free_port(), free_port()
    listeners = f"OUTSIDE://127.0.0.1:{outside},INSIDE://127.0.0.1:{inside}"
    environment = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@127.0.0.1:{controller}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "KAFKA_ADVERTISED_LISTENERS": listeners,
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "OUTSIDE:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_SASL_ENABLED_MECHANISMS": "PLAIN",
        "KAFKA_LISTENER_NAME_OUTSIDE_PLAIN_SASL_JAAS_CONFIG": _LOGIN.format('user_dora="hunter2"'),
        "KAFKA_SSL_KEYSTORE_TYPE": "PEM",
        "KAFKA_SSL_KEYSTORE_LOCATION": "/tls/both.pem",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }
    with _started("apache/kafka:4.1.1", certificate, environment):
        yield f"127.0.0.1:{outside}"


@pytest.fixture(scope="module")
def dsn(engine: None, certificate: Path) -> Iterator[str]:  # noqa: ARG001 - it has to be there
    """The address of a Postgres that lets in whoever speaks TLS and has the password."""
    port = free_port()
    environment = {"POSTGRES_PASSWORD": "hunter2", "PORT": str(port)}
    command = ("bash", "-c", _POSTGRES)
    with _started("postgres:17", certificate, environment, *command):
        yield (
            f"postgresql://postgres:hunter2@127.0.0.1:{port}/postgres"
            f"?sslmode=verify-full&sslrootcert={certificate / 'cert.pem'}"
        )


@pytest.fixture
def settings(bootstrap: str, dsn: str, certificate: Path) -> Settings:
    return Settings.model_validate(
        {
            "kafka_bootstrap": bootstrap,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "PLAIN",
            "kafka_username": "dora",
            "kafka_password": "hunter2",
            "kafka_ca_file": certificate / "cert.pem",
            "postgres_dsn": dsn,
        }
    )


async def test_a_worker_logs_in(settings: Settings) -> None:
    """It reads, posts and publishes, every client of it by the same login."""
    dsn, kafka = settings.postgres_dsn.get_secret_value(), client_options(settings)
    topics = [*settings.input_topic_names, *settings.output_topics.values()]

    async def is_migrated() -> bool:
        await migrate(dsn)
        return bool(await create_topics(kafka, topics, 1))

    await wait_until(is_migrated, 60)
    service = build(settings, load_policies(), now=lambda: datetime.now(UTC))
    await service.start()
    try:
        record = record_of(a_grant(quantity=500))
        async with AIOKafkaProducer(**kafka) as producer:
            await producer.send_and_wait(
                topics[0], record.value, key=record.key, headers=[*record.headers]
            )

        async def is_published() -> bool:
            return service.relay is not None and service.relay.state.published > 0

        await wait_until(is_published, 60)
    finally:
        await service.stop()
    async with connected(dsn) as connection:
        assert 1 == await connection.fetchval("select count(*) from facts")


async def test_strangers_are_kept_out(settings: Settings) -> None:
    """What the test above shows is not that everybody is let in."""
    stranger = settings.model_copy(update={"kafka_ca_file": None})
    with pytest.raises(KafkaError):
        await create_topics(client_options(stranger), ["topic"], 1)
    dsn = settings.postgres_dsn.get_secret_value()
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(dsn.partition("?")[0] + "?sslmode=disable")


@contextmanager
def _started(image: str, tls: Path, environment: dict[str, str], *command: str) -> Iterator[None]:
    """Run a server on this machine's network, with the certificate in /tls."""
    variables = [f"--env={name}={text}" for name, text in environment.items()]
    container = docker(
        "run", "-d", "--network=host", f"--volume={tls}:/tls:ro", *variables, image, *command
    )
    try:
        yield
    finally:
        docker("rm", "--force", "--volumes", container)
