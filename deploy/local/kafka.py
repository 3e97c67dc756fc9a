"""Kafka: one given by its address, Apache Kafka started here, or librdkafka's in-memory broker."""

import asyncio
import contextlib
import signal
import socket
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from confluent_kafka import Producer

from local.kafka_files import find_jars, find_java
from local.supervision import Supervised, free_port

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 20
_CLUSTER_ID = "Ym9va2luZy1jcmVkaXRzLQ"
_JAVA_OPTIONS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
# An index is mapped whole, and the kernel fills what is touched of it with zeros far ahead: of the
# usual 10 MB for each partition that took half of the broker's time.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
log.index.size.max.bytes=131072
log.cleaner.dedupe.buffer.size=8388608
auto.create.topics.enable=false
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


class Kafka:
    """A Kafka that someone else runs: it can be used, but not stopped.

    Attributes:
        bootstrap_servers: its address, as clients take it.
        description: what it is, for a person to read.
        controllable: whether it can be stopped, killed, paused and started again.
    """

    controllable = False

    def __init__(self, bootstrap_servers: str, description: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.description = description

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped; a frozen one runs."""
        return True

    def start(self) -> None:
        """Start it again on the same port and data, and wait until it serves."""
        raise NotImplementedError(self.description)

    def stop(self) -> None:
        """Stop it in good order."""
        raise NotImplementedError(self.description)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        raise NotImplementedError(self.description)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing answers."""
        raise NotImplementedError(self.description)

    def resume(self) -> None:
        """Let a frozen one go on (SIGCONT)."""
        raise NotImplementedError(self.description)

    def close(self) -> None:
        """Give it up, with its data where it was started here."""


class ApacheKafka(Kafka):
    """Apache Kafka as a process of this machine: a single KRaft node on free loopback ports."""

    controllable = True

    def __init__(self) -> None:
        """Start it and wait until it serves; UnavailableError says why it cannot be had."""
        self._port = free_port()
        super().__init__(f"127.0.0.1:{self._port}", "Apache Kafka, started here")
        java, jars = find_java(), find_jars()
        self._java = (java, *_JAVA_OPTIONS, "-cp", f"{jars}/*")
        self._process = Supervised("kafka")
        try:
            self._format()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        return self._process.running

    def start(self) -> None:
        self._process.start(*self._java, "kafka.Kafka", "server.properties")
        self._process.wait_until(self._serves, timeout_seconds=_START_TIMEOUT_SECONDS)

    def stop(self) -> None:
        self._process.send(signal.SIGCONT)
        self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        self._process.end(signal.SIGKILL)

    def pause(self) -> None:
        self._process.send(signal.SIGSTOP)
        # Where there is much else to run, some of its threads go on for a while.
        self._process.wait_until(self._process.is_stopped, timeout_seconds=_STOP_TIMEOUT_SECONDS)

    def resume(self) -> None:
        self._process.send(signal.SIGCONT)

    def close(self) -> None:
        self._process.close()

    def _format(self) -> None:
        properties = self._process.directory / "server.properties"
        data = self._process.directory / "data"
        properties.write_text(
            _PROPERTIES.format(port=self._port, controller_port=free_port(), data=data)
        )
        tool = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", properties)
        self._process.run(*self._java, *tool, timeout_seconds=_START_TIMEOUT_SECONDS)

    def _serves(self) -> bool:
        # Asking for a connection first keeps the client from logging one refusal after another.
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(has_broker(self.bootstrap_servers))


class InMemoryKafka(Kafka):
    """The broker inside librdkafka: enough to look around, no test of a real one."""

    def __init__(self) -> None:
        self._cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
        brokers = self._cluster.list_topics(timeout=10).brokers.values()
        address = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        super().__init__(address, "an in-memory stand-in for Kafka; all is gone when it ends")


async def has_broker(bootstrap_servers: str) -> bool:
    """Say whether a cluster has a broker that answers, and knows who leads it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=5_000)
    with contextlib.suppress(KafkaError, TimeoutError):
        await admin.start()
        cluster = await admin.describe_cluster()
        await admin.close()
        return cluster["controller_id"] in {broker["node_id"] for broker in cluster["brokers"]}
    await admin.close()
    return False
