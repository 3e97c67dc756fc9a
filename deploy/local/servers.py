"""The one place that decides which Kafka and which Postgres is used on this machine.

One that is given by its address comes first; then a process; then a container. Instead of an
address the word "process" or "container" asks for just that.
"""

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias, TypeVar

from local.containers import ContainerKafka, ContainerPostgres
from local.kafka import ApacheKafka, InMemoryKafka, Kafka
from local.postgres import LocalPostgres, Postgres
from local.supervision import UnavailableError

Server = TypeVar("Server")
Sources: TypeAlias = Mapping[str, Callable[[], Server]]

_CONTAINER: Final = "container"
_PROCESS: Final = "process"

_log = logging.getLogger(__name__)


def find_kafka(*, allow_in_memory: bool = False) -> Kafka:
    """Return the Kafka at BOOKING_CREDITS_TEST_KAFKA, or else start one.

    Blocks for seconds: from a coroutine, call it in a thread.

    Args:
        allow_in_memory: whether a stand-in will do where Apache Kafka cannot be had.

    Raises:
        UnavailableError: there is none; the message says why.
    """
    asked = os.environ.get("BOOKING_CREDITS_TEST_KAFKA", "")
    if asked and asked not in {_CONTAINER, _PROCESS}:
        return Kafka(asked, "the Kafka that BOOKING_CREDITS_TEST_KAFKA names")
    sources: Sources[Kafka] = {_PROCESS: ApacheKafka, _CONTAINER: ContainerKafka}
    try:
        return _first(sources, asked)
    except UnavailableError as reason:
        if asked or not allow_in_memory:
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
    asked = os.environ.get("BOOKING_CREDITS_TEST_POSTGRES", "")
    if asked and asked not in {_CONTAINER, _PROCESS}:
        return Postgres(asked, "the Postgres that BOOKING_CREDITS_TEST_POSTGRES names")
    sources: Sources[Postgres] = {
        _PROCESS: partial(LocalPostgres, durable=durable),
        _CONTAINER: partial(ContainerPostgres, durable=durable),
    }
    return _first(sources, asked)


def _first(sources: Sources[Server], asked: str) -> Server:
    """Start what is asked for, or else the first that can be had."""
    reasons = []
    for name, start in sources.items():
        if asked in {"", name}:
            try:
                return start()
            except UnavailableError as reason:
                reasons.append(str(reason))
    raise UnavailableError("; ".join(reasons))
