"""Kafka and Postgres as containers of this machine's engine.

Each is published on a loopback port that stays the same, so that it may be stopped and started
again. What a killed program leaves behind is removed by testcontainers' own means.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

from aiokafka.errors import KafkaError
from docker.errors import DockerException
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from local.kafka import Kafka, has_broker
from local.postgres import Postgres, StopMode, server_options
from local.supervision import UnavailableError, free_port

KAFKA_IMAGE = "apache/kafka:4.1.1"
POSTGRES_IMAGE = "postgres:17"

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 30
_POSTGRES_STOP_SIGNALS: dict[StopMode, str] = {
    "smart": "SIGTERM",
    "fast": "SIGINT",
    "immediate": "SIGQUIT",
}


class _Server:
    """One container, its port published on a port of the loopback."""

    def __init__(
        self,
        image: str,
        ports: tuple[int, int],
        environment: Mapping[str, str],
        *command: str,
    ) -> None:
        """Start it; UnavailableError says why it cannot be had."""
        inside, outside = ports
        _require_engine()
        try:
            self._container = DockerContainer(image, env=dict(environment))
            # What testcontainers offers would publish it to the network.
            self._container.ports[str(inside)] = ("127.0.0.1", outside)  # type: ignore[assignment]
            self._container.with_command(list(command))
            self._began_at = time.time()
            self._container.start()
        # An engine that answers may still be too slow, or without what cleans up behind us.
        except (DockerException, OSError) as error:
            raise UnavailableError(f"no container of {image}: {error}") from error

    @property
    def inner(self) -> Container:
        """What the engine knows it as."""
        return self._container.get_wrapped_container()

    @property
    def running(self) -> bool:
        self.inner.reload()
        return bool(self.inner.status == "running")

    def start(self) -> None:
        """Start it again."""
        self._began_at = time.time()
        self.inner.start()

    def log(self) -> bytes:
        """Return what it has said since its last start."""
        return bytes(self.inner.logs(since=self._began_at))

    def wait_until(self, serves: Callable[[], Awaitable[bool]]) -> None:
        """Return when it serves; UnavailableError if it ends or takes too long."""
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            while time.monotonic() < deadline and self.running:
                with contextlib.suppress(DockerException, KafkaError):
                    if runner.run(_outcome(serves)):
                        return
                time.sleep(0.1)
        raise UnavailableError(f"no start: {self.inner.logs()[-2000:].decode(errors='replace')}")

    def remove(self) -> None:
        self._container.stop()


class ContainerKafka(Kafka):
    """Apache Kafka in a container: a single KRaft node."""

    controllable = True

    def __init__(self) -> None:
        """Start it and wait until it serves; UnavailableError says why it cannot be had."""
        port = free_port()
        super().__init__(f"127.0.0.1:{port}", "Apache Kafka in a container")
        environment = _kafka_environment(port)
        self._server = _Server(KAFKA_IMAGE, (9092, port), environment)
        self._wait()

    @property
    def running(self) -> bool:
        return self._server.running

    def start(self) -> None:
        self._server.start()
        self._wait()

    def stop(self) -> None:
        self.resume()
        self._server.inner.stop(timeout=_STOP_TIMEOUT_SECONDS)

    def kill(self) -> None:
        # A frozen one dies as it goes on, before it can do anything. One that is dead is dead.
        with contextlib.suppress(DockerException):
            self._server.inner.kill()
        self.resume()
        with contextlib.suppress(DockerException):
            self._server.inner.wait(timeout=_STOP_TIMEOUT_SECONDS)

    def pause(self) -> None:
        self._server.inner.pause()

    def resume(self) -> None:
        # One that is not paused cannot be resumed, and need not be.
        with contextlib.suppress(DockerException):
            self._server.inner.unpause()

    def close(self) -> None:
        self._server.remove()

    def _wait(self) -> None:
        # The engine takes connections before Kafka does, which its clients would log each time.
        async def serves() -> bool:
            is_started = b"Kafka Server started" in self._server.log()
            return is_started and await has_broker(self.bootstrap_servers)

        try:
            self._server.wait_until(serves)
        except BaseException:
            self.close()
            raise


class ContainerPostgres(Postgres):
    """Postgres in a container."""

    controllable = True

    def __init__(self, *, durable: bool) -> None:
        """Start it and wait until it serves; UnavailableError says why it cannot be had.

        Args:
            durable: whether a commit waits until the disk has it.
        """
        port, password = free_port(), secrets.token_hex(16)
        dsn = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        super().__init__(dsn, "Postgres in a container")
        command = ["postgres", *server_options(durable=durable)]
        environment = {"POSTGRES_PASSWORD": password}
        self._server = _Server(POSTGRES_IMAGE, (5432, port), environment, *command)
        self._wait()

    def start(self) -> None:
        self._server.start()
        self._wait()

    def stop(self, mode: StopMode = "fast") -> None:
        if self._server.running:
            self._server.inner.kill(_POSTGRES_STOP_SIGNALS[mode])
            self._server.inner.wait(timeout=_STOP_TIMEOUT_SECONDS)

    def close(self) -> None:
        self._server.remove()

    def _wait(self) -> None:
        # While it sets itself up, it is ready too, but listens on its socket alone.
        async def serves() -> bool:
            listening, _, rest = self._server.log().rpartition(b"listening on IPv4 address")
            return bool(listening) and b"ready to accept connections" in rest

        try:
            self._server.wait_until(serves)
        except BaseException:
            self.close()
            raise


def _require_engine() -> None:
    """Return where an engine of this machine answers; UnavailableError says why none does."""
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    kind, _, path = address.partition("://")
    if kind != "unix":
        raise UnavailableError("the container engine is on another machine")
    with socket.socket(socket.AF_UNIX) as engine:
        try:
            engine.connect(path)
        except OSError as error:
            raise UnavailableError(f"no container engine answers: {error}") from error


def _kafka_environment(port: int) -> dict[str, str]:
    """Say all that a single node takes: any one setting replaces the image's defaults."""
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": "OUTSIDE://:9092,CONTROLLER://:9093,INSIDE://:9094",
        "KAFKA_ADVERTISED_LISTENERS": f"OUTSIDE://127.0.0.1:{port},INSIDE://localhost:9094",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "OUTSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT"
        ),
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_LOG_CLEANER_DEDUPE_BUFFER_SIZE": "8388608",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
        "KAFKA_BROKER_SESSION_TIMEOUT_MS": "2000",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }


async def _outcome(condition: Callable[[], Awaitable[bool]]) -> bool:
    return await condition()
