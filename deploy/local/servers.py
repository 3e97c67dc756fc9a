"""The one place that decides which Kafka and which Postgres is used on this machine."""

import logging
import os

from local.kafka import ApacheKafka, InMemoryKafka, Kafka
from local.postgres import LocalPostgres, Postgres
from local.supervision import UnavailableError

_log = logging.getLogger(__name__)


def find_kafka(*, allow_in_memory: bool = False) -> Kafka:
    """Return the Kafka at BOOKING_CREDITS_TEST_KAFKA, or else start one.

    Blocks for seconds: from a coroutine, call it in a thread.

    Args:
        allow_in_memory: whether a stand-in will do where Apache Kafka cannot be had.

    Raises:
        UnavailableError: there is none; the message says why.
    """
    address = os.environ.get("BOOKING_CREDITS_TEST_KAFKA")
    if address:
        return Kafka(address, "the Kafka that BOOKING_CREDITS_TEST_KAFKA names")
    try:
        return ApacheKafka()
    except UnavailableError as reason:
        if not allow_in_memory:
            raise
        _log.warning("No Apache Kafka: %s.", reason)
        return InMemoryKafka()


def find_postgres(*, durable: bool) -> Postgres:
    """Return the Postgres at BOOKING_CREDITS_TEST_POSTGRES, or else start one.

    Blocks for seconds: from a coroutine, call it in a thread.

    Args:
        durable: whether a server started here keeps commits through a crash of the machine.

    Raises:
        UnavailableError: there is none; the message says why.
    """
    dsn = os.environ.get("BOOKING_CREDITS_TEST_POSTGRES")
    if dsn:
        return Postgres(dsn, "the Postgres that BOOKING_CREDITS_TEST_POSTGRES names")
    return LocalPostgres(durable=durable)
