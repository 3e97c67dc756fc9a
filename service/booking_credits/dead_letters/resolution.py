"""Resolution: a letter is replayed or discarded, once, by someone who says who and why.

A replayed record is the original one, so its event keeps its id: posting it twice is posting it
once. It is published before that is put on record; whoever is interrupted in between may replay
it again without harm.
"""

from __future__ import annotations

from asyncio import timeout
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from booking_credits.kafka_ends import end_client
from booking_credits.postgres.letters import (
    letters_by_id,
    lock_letter,
    put_action,
    record_of_letter,
)
from booking_credits.posting.dead_letters import REPLAYED_FROM

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from uuid import UUID

    from aiokafka import AIOKafkaProducer

    from booking_credits.postgres.letters import Action, HeldRecord, Letter
    from booking_credits.postgres.pool import Connection

_START_TIMEOUT_SECONDS: Final = 20
_SEND_TIMEOUT_SECONDS: Final = 30
_STOP_TIMEOUT_SECONDS: Final = 5


class NotResolvable(Exception):
    """A letter cannot be acted on; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who acts, and why."""

    actor: str
    reason: str


async def resolvable(
    connection: Connection, ids: Sequence[UUID], action: Action, *, again: bool = False
) -> list[Letter]:
    """Return letters that may be acted on, in the order in which they came.

    Raises:
        NotResolvable: one is unknown, was acted on before (unless `again`) or cannot be replayed.
    """
    letters = await letters_by_id(connection, ids)
    unknown = set(ids) - {letter.dead_letter_id for letter in letters}
    if unknown:
        raise NotResolvable(f"no such letter: {', '.join(sorted(map(str, unknown)))}")
    for letter in letters:
        if letter.state != "open" and not again:
            raise NotResolvable(f"{letter.dead_letter_id} was {letter.state} already")
        # No topic has a slash in its name, and every source of our own does.
        if action == "replayed" and "/" in letter.topic:
            raise NotResolvable(f"{letter.dead_letter_id} did not come from Kafka")
    return letters


async def discard(connection: Connection, letter_id: UUID, signature: Signature) -> None:
    """Put on record that nothing is to be made of a letter."""
    async with _acting(connection, letter_id, "discarded", signature, again=False):
        pass


async def replay(
    connection: Connection,
    publish: Callable[[Letter, HeldRecord], Awaitable[None]],
    letter_id: UUID,
    signature: Signature,
    *,
    again: bool = False,
) -> None:
    """Publish what a letter holds, and put that on record."""
    async with _acting(connection, letter_id, "replayed", signature, again=again) as letter:
        await publish(letter, await record_of_letter(connection, letter_id))


@asynccontextmanager
async def _acting(
    connection: Connection, letter_id: UUID, action: Action, signature: Signature, *, again: bool
) -> AsyncIterator[Letter]:
    """Hold a letter for the length of a block, and keep the action if the block ends well."""
    async with connection.transaction():
        await lock_letter(connection, letter_id)
        [letter] = await resolvable(connection, [letter_id], action, again=again)
        yield letter
        await put_action(connection, letter_id, action, signature.actor, signature.reason)


@asynccontextmanager
async def replaying(
    producer: AIOKafkaProducer,
) -> AsyncIterator[Callable[[Letter, HeldRecord], Awaitable[None]]]:
    """Publish letters by a producer that is not started."""

    async def publish(letter: Letter, record: HeldRecord) -> None:
        async with timeout(_SEND_TIMEOUT_SECONDS):
            partitions = await producer.partitions_for(letter.topic)
            await producer.send_and_wait(
                letter.topic,
                record.value,
                record.key,
                # Behind what came with it, if the topic still has that place.
                letter.partition if letter.partition in partitions else None,
                headers=_replayed_headers(letter, record),
            )

    try:
        async with timeout(_START_TIMEOUT_SECONDS):
            await producer.start()
        yield publish
    finally:
        await end_client(producer.stop(), _STOP_TIMEOUT_SECONDS)


def _replayed_headers(letter: Letter, record: HeldRecord) -> list[tuple[str, bytes | None]]:
    """Keep the headers as they came, and name the first letter that the event became."""
    first = letter.first_letter_id or letter.dead_letter_id
    kept = [header for header in record.headers if header[0] != REPLAYED_FROM]
    return [*kept, (REPLAYED_FROM, str(first).encode())]
