"""Subscriber: reads what the service publishes, as any other system would."""

from __future__ import annotations

from asyncio import timeout
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Self

from aiokafka import AIOKafkaConsumer

from booking_credits_contracts.published import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import ConsumerRecord

    from booking_credits.kafka_access import ClientOptions
    from booking_credits_contracts import PublishedData

_STOP_TIMEOUT_SECONDS: Final = 5
_in_order = attrgetter("account_id", "sequence", "part")


class Subscriber:
    """Reads topics from where they end when it starts."""

    def __init__(self, kafka: ClientOptions, topics: Iterable[str]) -> None:
        """Read these topics, which exist."""
        self._consumer = AIOKafkaConsumer(
            *topics,
            **kafka,
            group_id=None,
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )

    async def __aenter__(self) -> Self:
        """Begin at the end of every topic."""
        await self._consumer.start()
        await self._consumer.seek_to_end()
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop, even where Kafka is gone."""
        with suppress(TimeoutError):
            async with timeout(_STOP_TIMEOUT_SECONDS):
                await self._consumer.stop()

    async def read_rest(self) -> list[PublishedData]:
        """Read all that is published by now, account by account and each in its order."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        published: list[PublishedData] = []
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end:
                published += await self._read(100, partition)
        return sorted(published, key=_in_order)

    async def read_next(self, timeout_ms: int) -> list[PublishedData]:
        """Read what comes next, waiting for it at most this long."""
        return sorted(await self._read(timeout_ms), key=_in_order)

    async def _read(self, timeout_ms: int, *partitions: object) -> list[PublishedData]:
        found = await self._consumer.getmany(*partitions, timeout_ms=timeout_ms)
        return [_parse(record) for records in found.values() for record in records]


def _parse(record: ConsumerRecord) -> PublishedData:
    event_type = dict(record.headers)["ce_type"].decode()
    return PUBLISHED[event_type].model_validate_json(record.value)
