"""The one place that decides which Kafka and which Postgres is used on this machine."""

import logging
import os

from local.containers import ContainerKafka, ContainerPostgres
from local.kafka import ApacheKafka, InMemoryKafka, Kafka
from local.postgres import LocalPostgres, Postgres
from local.supervision import UnavailableError

_log = logging.getLogger(__name__)


_CONTAINER = "container"


def find_kafka(*, allow_in_memory: bool = False) -> Kafka:
    """Return the Kafka at BOOKING_CREDITS_TEST_KAFKA, or else start one.

    The address "container" asks for a container; unasked it comes where a process cannot be had.

    Blocks for seconds: from a coroutine, call it in a thread.

    Args:
        allow_in_memory: whether a stand-in will do where Apache Kafka cannot be had.

    Raises:
        UnavailableError: there is none; the message says why.
    """
    address = os.environ.get("BOOKING_CREDITS_TEST_KAFKA")
    if address == _CONTAINER:
        return ContainerKafka()
    if address:
        return Kafka(address, "the Kafka that BOOKING_CREDITS_TEST_KAFKA names")
    try:
        return ApacheKafka()
    except UnavailableError as reason:
        return _find_other_kafka(reason, allow_in_memory=allow_in_memory)


def _find_other_kafka(reason: UnavailableError, *, allow_in_memory: bool) -> Kafka:
    try:
        return ContainerKafka()
    except UnavailableError as other:
        if not allow_in_memory:
            raise UnavailableError(f"{reason}; {other}") from reason
        _log.warning("No Apache Kafka: %s; %s.", reason, other)
        return InMemoryKafka()


def find_postgres(*, durable: bool) -> Postgres:
    """Return the Postgres at BOOKING_CREDITS_TEST_POSTGRES, or else start one.

    The address "container" asks for a container.

    Blocks for seconds: from a coroutine, call it in a thread.

    Args:
        durable: whether a server started here keeps commits through a crash of the machine.

    Raises:
        UnavailableError: there is none; the message says why.
    """
    dsn = os.environ.get("BOOKING_CREDITS_TEST_POSTGRES")
    if dsn == _CONTAINER:
        return ContainerPostgres(durable=durable)
    if dsn:
        return Postgres(dsn, "the Postgres that BOOKING_CREDITS_TEST_POSTGRES names")
    return LocalPostgres(durable=durable)
