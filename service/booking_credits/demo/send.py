"""Send: one event of a person's own, and what the service publishes because of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from booking_credits.demo.subscriber import Subscriber
from booking_credits.kafka_access import client_options
from booking_credits_contracts import ContractError, read_event

if TYPE_CHECKING:
    from booking_credits.kafka_access import ClientOptions
    from booking_credits.settings import Settings
    from booking_credits_contracts import PublishedData, ReceivedEvent

Json: TypeAlias = dict[str, Any]

_HEADERS: Final = [("content-type", b"application/cloudevents+json")]
_FIRST_ANSWER_SECONDS: Final = 15
# What one event causes is published together; this is far longer than together takes.
_FURTHER_ANSWERS_MS: Final = 500
_POLL_MS: Final = 200


class SendFailed(Exception):
    """The event was not sent, or nothing came of it; the message says why."""


async def send_event(settings: Settings, topic: str, event: Json) -> list[Json]:
    """Send a CloudEvent in structured mode; return what is published because of it.

    Raises:
        SendFailed: the event breaks the contract, Kafka is out of reach, or no answer comes.
    """
    value = json.dumps(event).encode()
    try:
        received = read_event(_HEADERS, value)
    except ContractError as error:
        raise SendFailed(f"Not sent: {error.reason}: {error.detail}") from None
    key = received.data.account_id.encode()
    try:
        kafka = client_options(settings)
        async with Subscriber(kafka, settings.output_topics.values()) as heard:
            await _produce(kafka, topic, key, value)
            answers = await _answers(heard, received)
    except KafkaError as error:
        raise SendFailed(f"Kafka cannot be used: {error}") from None
    if not answers:
        raise SendFailed(
            f"Sent, but nothing was announced within {_FIRST_ANSWER_SECONDS} seconds: the event"
            " changes nothing, came before, was refused, or the service does not run."
        )
    return [answer.model_dump(mode="json", by_alias=True) for answer in answers]


async def _produce(kafka: ClientOptions, topic: str, key: bytes, value: bytes) -> None:
    async with AIOKafkaProducer(**kafka) as producer:
        await producer.send_and_wait(topic, value, key=key, headers=_HEADERS)


async def _answers(subscriber: Subscriber, event: ReceivedEvent) -> list[PublishedData]:
    """Read until what the event caused has been published, or no answer is to be expected."""
    answers: list[PublishedData] = []
    deadline = asyncio.get_running_loop().time() + _FIRST_ANSWER_SECONDS
    while not answers and asyncio.get_running_loop().time() < deadline:
        answers = _caused_by(event, await subscriber.read_next(_POLL_MS))
    if answers:
        answers += _caused_by(event, await subscriber.read_next(_FURTHER_ANSWERS_MS))
    return sorted(answers, key=lambda answer: (answer.sequence, answer.part))


def _caused_by(event: ReceivedEvent, published: list[PublishedData]) -> list[PublishedData]:
    cause = (event.source, event.id)
    return [p for p in published if (p.cause.source, p.cause.id) == cause]
