"""Topics: created where they are missing, for whoever has no one to do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_REPLICAS: Final = 3


async def create_topics(
    kafka: Mapping[str, Any], names: Iterable[str], partitions: int
) -> list[str]:
    """Create the topics that are missing, on up to three brokers each; return their names.

    `kafka` says how it is reached, as keyword arguments of aiokafka's clients.

    A cluster without a controller, such as an in-memory one, makes its topics by itself.

    Raises:
        KafkaError: the cluster refuses to create one.
    """
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        missing = sorted({*names} - {*await admin.list_topics()})
        cluster = await admin.describe_cluster()
        brokers = {broker["node_id"] for broker in cluster["brokers"]}
        if not missing or cluster["controller_id"] not in brokers:
            return []
        replicas = min(_REPLICAS, len(brokers))
        answer = await admin.create_topics([NewTopic(n, partitions, replicas) for n in missing])
    finally:
        await admin.close()
    for topic, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"topic {topic}: {' '.join(filter(None, message)) or error.description}")
    return missing
