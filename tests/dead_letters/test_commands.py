"""Commands: a person finds letters, sees what they hold, and signs for what becomes of them."""

import csv
import io
import json
from base64 import b64encode
from dataclasses import replace

import asyncpg
import pytest

from booking_credits.exit_codes import ExitCode
from booking_credits.posting.batch import Origin
from dead_letters.letters import Said, an_origin, put, run, run_process

SIGNED = ("--actor", "dora", "--reason", "sent by a test")


async def test_letters_are_found_by_reason_account_topic_and_state(database: str) -> None:
    """Each filter narrows the list; the oldest come first, and no more than asked for."""
    unit = await put(database, an_origin(offset=1))
    schema = await put(database, an_origin(offset=2), reason="schema")
    other = await put(database, an_origin("plans", 3), account_id=None)
    await run(database, "discard", str(other), *SIGNED)

    async def listed(*filters: str) -> list[str]:
        said = await run(database, "list", "--output", "json", *filters)
        return [row["id"] for row in json.loads(said.out)]

    assert [str(unit), str(schema)] == await listed()
    assert [str(unit)] == await listed("--limit", "1")
    assert [str(schema)] == await listed("--reason", "schema")
    assert [str(other)] == await listed("--state", "discarded", "--topic", "plans")
    assert {str(unit), str(schema), str(other)} == {*await listed("--state", "all")}
    assert [str(unit), str(schema)] == await listed("--account", "mina-and-sons")


async def test_lists_are_for_people_and_for_programs(database: str) -> None:
    """The same letters as a table, as JSON lines and as CSV; what is no data goes elsewhere."""
    letter = await put(database, an_origin(offset=7))
    table = await run(database, "list")
    assert str(letter) in table.out
    assert "bookings/0/7" in table.out
    assert "1 letters\n" == table.err
    lines = (await run(database, "list", "--output", "jsonl")).out.splitlines()
    [row] = csv.DictReader(io.StringIO((await run(database, "list", "--output", "csv")).out))
    [line] = map(json.loads, lines)
    assert (str(letter), 7, 1) == (line["id"], line["record_offset"], line["attempts"])
    assert line.keys() == row.keys()


async def test_what_a_letter_holds_is_shown_exactly(database: str) -> None:
    """Bytes that are no text, a null header and markup come out as they went in."""
    headers = (("ce_id", b"\xff"), ("none", None), ("[red]", b"[bold]x[/bold]"))
    origin = Origin("bookings", 3, 9, None, b"k\x00", b"\xfe\x00", headers)
    letter = await put(database, origin)
    shown = json.loads((await run(database, "show", str(letter), "--output", "json")).out)
    assert b64encode(b"\xfe\x00").decode() == shown["value"]["base64"]
    assert b64encode(b"k\x00").decode() == shown["key"]["base64"]
    expected = [(name, value and b64encode(value).decode()) for name, value in headers]
    assert expected == [(header["name"], header["base64"]) for header in shown["headers"]]
    table = (await run(database, "show", str(letter))).out
    assert "[bold]x[/bold]" in table
    assert "\x00" not in table


async def test_discarding_is_signed_and_kept(database: str) -> None:
    """Who, why and when stand with the letter, which stays; nobody changes them any more."""
    letter = await put(database, an_origin())
    assert (await run(database, "discard", str(letter), *SIGNED)).code == 0
    shown = json.loads((await run(database, "show", str(letter), "--output", "jsonl")).out)
    [done] = shown["actions"]
    assert ("discarded", "dora", "sent by a test") == (
        done["action"],
        done["actor"],
        done["reason"],
    )
    assert "discarded" == shown["state"]
    connection = await asyncpg.connect(database)
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute("update dead_letter_actions set actor = 'nobody'")
    await connection.close()


async def test_a_dry_run_only_says_what_would_be_done(database: str) -> None:
    """Neither needs Kafka nor leaves a trace."""
    letter = await put(database, an_origin())
    for action in ("discard", "replay"):
        said = await run(database, action, str(letter), *SIGNED, "--dry-run")
        assert (0, "would be" in said.err) == (said.code, True)
    rows = json.loads((await run(database, "list", "--output", "json")).out)
    assert ["open"] == [row["state"] for row in rows]


async def test_what_cannot_be_done_is_refused_with_its_reason(database: str) -> None:
    """No letter, no signature, done already, not from Kafka; then nothing at all is done."""
    letter, other = await put(database, an_origin()), await put(database, an_origin(offset=1))
    ours = await put(database, replace(an_origin(offset=2), topic="booking-credits/clock"))
    nobody = "00000000-0000-0000-0000-000000000000"
    await run(database, "discard", str(letter), *SIGNED)

    def refused(said: Said, reason: str) -> None:
        assert (ExitCode.USAGE, "") == (said.code, said.out)
        assert reason in said.err

    refused(await run(database, "show", nobody), "no such letter")
    refused(await run(database, "discard", str(other), nobody, *SIGNED), "no such letter")
    refused(await run(database, "discard", str(other), str(letter), *SIGNED), "discarded already")
    refused(await run(database, "replay", str(ours), *SIGNED), "did not come from Kafka")
    refused(await run(database, "discard", str(other), "--actor", " ", "--reason", "x"), "who")
    assert (await run(database, "discard", str(other))).code == ExitCode.USAGE
    rows = json.loads((await run(database, "list", "--output", "json")).out)
    assert {str(other), str(ours)} == {row["id"] for row in rows}


async def test_a_server_that_is_away_is_no_defect(database: str) -> None:
    """Without Kafka nothing is put on record, and the exit code says that it may work later."""
    letter = await put(database, an_origin())
    said = await run(database, "replay", str(letter), *SIGNED)
    assert ExitCode.UNAVAILABLE == said.code
    assert "Traceback" not in said.err
    rows = json.loads((await run(database, "list", "--output", "json")).out)
    assert ["open"] == [row["state"] for row in rows]
    assert ExitCode.UNAVAILABLE == (await run(database + "_none", "list")).code


async def test_no_payload_is_logged(database: str) -> None:
    """Only what was asked for says what a record holds, and only on standard output."""
    secret = b"kept-out-of-the-log"
    origin = Origin("bookings", 0, 0, None, secret, secret, (("ce_id", secret),))
    letter = await put(database, origin)
    said = [
        await run_process(database, "list"),
        await run_process(database, "replay", str(letter), *SIGNED),
        await run_process(database, "discard", str(letter), *SIGNED),
    ]
    assert [] == [each for each in said if secret.decode() in each.out + each.err]
    assert secret.decode() not in (await run_process(database, "show", str(letter))).err
