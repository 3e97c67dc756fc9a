"""Topic ids: what tells a topic from another of its name, which took its place.

Kafka gives a topic an id that it gives to no other. Its client does not ask for it, so the request
is spelled out here: Metadata, version 12, https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from asyncio import gather, timeout
from collections import defaultdict
from io import BytesIO
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.client import AIOKafkaClient

# By itself, for on a connection an answer waits behind a fetch that waits for records.
_CONNECTION: Final = "topic-ids"
_NO_ID: Final = bytes(16)
_TIMEOUT_SECONDS: Final = 5.0

_log = structlog.get_logger("inbox")


async def find_topic_ids(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, bytes | None]:
    """Return the ids of the topics of partitions, None for what has none; only where Kafka says.

    The leader of each is asked: it knows of a topic before it serves any record of it. One that
    does not answer in time holds up what it leads, and nothing else.
    """
    client = consumer._client  # noqa: SLF001 - it has no other way to ask
    led: dict[int, list[TopicPartition]] = defaultdict(list)
    for partition in partitions:
        leader = client.cluster.leader_for_partition(partition)
        if leader is not None and leader != -1:
            led[leader].append(partition)
    answers = await gather(*(_ask(client, *of_leader) for of_leader in led.items()))
    return {partition: topic_id for found in answers for partition, topic_id in found.items()}


async def _ask(
    client: AIOKafkaClient, leader: int, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, bytes | None]:
    request = _MetadataRequest({partition.topic for partition in partitions})
    try:
        async with timeout(_TIMEOUT_SECONDS):
            answer = await client.send(leader, request, group=_CONNECTION)
    except (IncompatibleBrokerVersion, NotImplementedError):
        # Kafka is too old for this request.
        return dict.fromkeys(partitions)
    except Exception as error:  # noqa: BLE001 - whatever it is, what was read must not be lost
        _log.warning("topics_unknown", broker=leader, error=type(error).__name__)
        return {}
    ids = {name: topic_id for _, name, topic_id, *_ in answer.topics if topic_id != _NO_ID}
    return {partition: ids.get(partition.topic) for partition in partitions}


# aiokafka's classes have no types that a subclass could keep to.
class _Uuid(AbstractType):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_TEXT: Final = CompactString("utf-8")
_NUMBERS: Final = CompactArray(Int32)
_PARTITIONS: Final = CompactArray(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", _NUMBERS),
    ("isr", _NUMBERS),
    ("offline_replicas", _NUMBERS),
    ("tags", TaggedFields),
)


class _MetadataResponse12(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", _TEXT),
                ("port", Int32),
                ("rack", _TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                ("partitions", _PARTITIONS),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest12(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequest12]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = [(_NO_ID, topic, dict[int, bytes]()) for topic in topics]

    def build(self, request_struct_class: type[_MetadataRequest12]) -> _MetadataRequest12:
        return request_struct_class(self._topics, False, False, {})
