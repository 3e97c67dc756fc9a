"""Replay: a record goes back to where it came from, as it was, as one more attempt."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from booking_credits.app import reader_by
from booking_credits.dead_letters.resolution import NotResolvable, Signature, replay
from booking_credits.exit_codes import ExitCode
from booking_credits.inbox.reading import read_record
from booking_credits.inbox.records import origin_of
from booking_credits.outbox.rendering import render
from booking_credits.postgres.letters import HeldRecord, Letter
from booking_credits.postgres.pool import open_pool
from booking_credits.posting.batch import Arrival, Batch, DeadLetter, Origin
from booking_credits.posting.dead_letters import REPLAYED_FROM
from booking_credits.posting.post import Poster
from builders import a_book, a_grant
from conftest import CreateTopic
from dead_letters.letters import RECEIVED_AT, Said, an_origin, put, run, run_shell
from local.kafka import Kafka
from postgres.arrivals import record_of

SIGNED = ("--actor", "dora", "--reason", "unit added")
_OPERATING = (Path(__file__).parents[2] / "deploy" / "README.md").read_text()


async def test_a_record_goes_back_as_it_came(
    kafka: Kafka, database: str, topics: CreateTopic
) -> None:
    """Bytes, key, headers and partition are the original's, with one header more."""
    topic = await topics("bookings", partitions=3)
    headers = (("ce_id", b"\xff"), ("none", None), ("ce_id", b"twice"))
    origin = Origin(topic, 2, 40, None, b"\x00key", b"\xfevalue", headers)
    letter = await put(database, origin)
    said = await run(database, "replay", str(letter), *SIGNED, kafka=kafka.bootstrap_servers)
    assert (0, "1 letters replayed\n") == (said.code, said.err)
    [record] = await _read(kafka, topic, 2)
    assert (origin.key, origin.value) == (record.key, record.value)
    assert [*headers, (REPLAYED_FROM, str(letter).encode())] == [*record.headers]

    again = await run(database, "replay", str(letter), *SIGNED, kafka=kafka.bootstrap_servers)
    assert ExitCode.USAGE == again.code
    assert "replayed already" in again.err
    options = (*SIGNED, "--again")
    assert (
        0
        == (
            await run(database, "replay", str(letter), *options, kafka=kafka.bootstrap_servers)
        ).code
    )
    shown = await _shown(database, letter)
    assert ["replayed", "replayed"] == [done["action"] for done in shown["actions"]]
    assert 2 == len(await _read(kafka, topic, 2))


async def test_letters_are_replayed_in_the_order_in_which_they_came(
    kafka: Kafka, database: str, topics: CreateTopic
) -> None:
    """In whatever order their ids are given."""
    topic = await topics("bookings")
    ids = [await put(database, an_origin(topic, offset)) for offset in range(5)]
    backwards = [str(letter) for letter in reversed(ids)]
    await run(database, "replay", *backwards, *SIGNED, kafka=kafka.bootstrap_servers)
    names = [dict(record.headers)[REPLAYED_FROM] for record in await _read(kafka, topic, 0)]
    assert [str(letter).encode() for letter in ids] == names


async def test_an_event_that_was_set_aside_is_posted_once_however_often_it_is_replayed(
    kafka: Kafka, database: str, topics: CreateTopic
) -> None:
    """It keeps its id: the first replay is posted, the second a duplicate."""
    topic = await topics("bookings")
    letter = await put(database, replace(record_of(a_grant()), topic=topic))
    for _ in range(2):
        options = (*SIGNED, "--again")
        await run(database, "replay", str(letter), *options, kafka=kafka.bootstrap_servers)
    records = await _read(kafka, topic, 0)
    read = [read_record(origin_of(r), a_book(), RECEIVED_AT) for r in records]
    outcomes = await _post(database, read)
    expected = {("credits-granted", "posted"): 1, ("credits-granted", "duplicate"): 1}
    assert expected == outcomes


async def test_a_record_that_fails_again_is_another_attempt_of_the_first(database: str) -> None:
    """Each has a letter of its own that names the first; reading it again counts for nothing."""
    first = await put(database, an_origin(offset=1))
    header = (REPLAYED_FROM, str(first).encode())
    for offset in (50, 50, 60):
        origin = an_origin(offset=offset)
        await put(database, replace(origin, headers=(*origin.headers, header)))
    rows = json.loads((await run(database, "list", "--output", "json")).out)
    found = [(row["record_offset"], row["attempts"], row["first_letter_id"]) for row in rows]
    assert [(1, 1, None), (50, 2, str(first)), (60, 3, str(first))] == found


async def test_another_record_in_the_same_place_has_a_letter_of_its_own(database: str) -> None:
    """A topic that was made anew begins its offsets anew."""
    origin = an_origin(offset=1)
    await put(database, origin)
    await put(database, replace(origin, value=b"another"))
    assert 2 == len(json.loads((await run(database, "list", "--output", "json")).out))


async def test_a_replayed_letter_of_a_replayed_letter_names_the_first(
    kafka: Kafka, database: str, topics: CreateTopic
) -> None:
    """There is one such header, however often a record fails."""
    topic = await topics("bookings")
    first = await put(database, an_origin(topic))
    origin = an_origin(topic, 1)
    header = (REPLAYED_FROM, str(first).encode())
    second = await put(database, replace(origin, headers=(*origin.headers, header)))
    await run(database, "replay", str(second), *SIGNED, kafka=kafka.bootstrap_servers)
    [record] = await _read(kafka, topic, 0)
    assert [header] == [each for each in record.headers if each[0] == REPLAYED_FROM]


async def test_a_header_that_names_no_letter_is_no_obstacle(database: str) -> None:
    """Anyone may write one: garbage and strange ids make a first letter like any other."""
    names = (b"garbage", b"\xff", b"00000000-0000-0000-0000-000000000000", None)
    for offset, name in enumerate(names):
        await put(database, replace(an_origin(offset=offset), headers=((REPLAYED_FROM, name),)))
    rows = json.loads((await run(database, "list", "--output", "json")).out)
    assert [(1, None)] * len(names) == [(row["attempts"], row["first_letter_id"]) for row in rows]


async def test_of_two_people_who_replay_at_once_one_does(database: str) -> None:
    """The other is told that it was done."""
    letter = await put(database, an_origin())
    published: list[UUID] = []

    async def publish(letter: Letter, _record: HeldRecord) -> None:
        published.append(letter.dead_letter_id)
        await asyncio.sleep(0.2)

    async def act(actor: str) -> None:
        connection = await asyncpg.connect(database)
        try:
            await replay(connection, publish, letter, Signature(actor, "at once"))
        finally:
            await connection.close()

    ends = await asyncio.gather(act("dora"), act("dirk"), return_exceptions=True)
    assert [letter] == published
    assert {type(None), NotResolvable} == {type(end) for end in ends}
    assert 1 == len((await _shown(database, letter))["actions"])


async def test_what_is_not_published_is_not_on_record(database: str) -> None:
    """A letter whose publication fails stays open."""
    letter = await put(database, an_origin())

    async def publish(_letter: Letter, _record: HeldRecord) -> None:
        raise ConnectionError

    connection = await asyncpg.connect(database)
    end = await asyncio.gather(
        replay(connection, publish, letter, Signature("dora", "try")), return_exceptions=True
    )
    await connection.close()
    assert isinstance(end[0], ConnectionError)
    assert "open" == (await _shown(database, letter))["state"]


async def _shown(database: str, letter: UUID) -> dict[str, Any]:
    said: Said = await run(database, "show", str(letter), "--output", "json")
    shown: dict[str, Any] = json.loads(said.out)
    return shown


async def test_the_commands_of_the_readme_do_what_it_says(
    kafka: Kafka, database: str, topics: CreateTopic
) -> None:
    """Each runs as it stands in deploy/README.md, with a letter's id for ID."""
    if shutil.which("jq") is None:
        pytest.skip("NOT RUN: no jq")
    topic = await topics("bookings")
    blocks = re.findall(
        r"^```sh\n(booking-credits dead-letters .*?)^```$", _OPERATING, re.MULTILINE | re.DOTALL
    )
    commands = "".join(blocks).replace("|\n", "| ").splitlines()
    assert 5 == len(commands)
    for offset, command in enumerate(commands):
        letter = await put(database, an_origin(topic, offset))
        filled = command.replace("ID ...", "ID").replace("ID", str(letter))
        said = await run_shell(database, filled, kafka=kafka.bootstrap_servers)
        assert 0 == said.code, command + said.err
    replayed = {dict(record.headers)[REPLAYED_FROM] for record in await _read(kafka, topic, 0)}
    assert str(letter).encode() in replayed


async def _read(kafka: Kafka, topic: str, partition: int) -> list[ConsumerRecord]:
    """Read all that a partition holds."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        records: list[ConsumerRecord] = []
        async with asyncio.timeout(20):
            while len(records) < end:
                records += (await consumer.getmany(place, timeout_ms=200)).get(place, [])
    finally:
        await consumer.stop()
    return records


async def _post(database: str, read: list[Arrival | DeadLetter]) -> dict[tuple[str, str], int]:
    arrivals = [each for each in read if isinstance(each, Arrival)]
    assert len(read) == len(arrivals)
    pool = await open_pool(database, application_name="test", max_size=2)
    try:
        poster = Poster(pool, a_book(), read_fact=reader_by(a_book()), render=render)
        return dict((await poster.post(Batch(tuple(arrivals)))).outcomes)
    finally:
        await pool.close()
