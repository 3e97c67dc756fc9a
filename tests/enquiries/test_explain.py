"""Explain: why a booking is paid as it is, down to the events that were told."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from booking_credits.enquiries.explanation import explain
from booking_credits.enquiries.sources import Sources
from booking_credits.exit_codes import ExitCode
from booking_credits.ledger.grants import plan_grant_id
from booking_credits.ledger.subjects import grant_subject
from builders import (
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    a_renewal,
    an_allotment,
    time_passed,
)
from enquiries.asking import ask, ask_json
from postgres.arrivals import post

# Fifty coins, of which the first meeting takes forty: the second is short of ten, and owes them.
HISTORY = (
    a_grant("welcome", 5000),
    a_booking("standup", a_line(costs={"coin": 4000}, price=4000)),
    a_booking(
        "retro",
        a_line(starts="2026-03-12 10:00", costs={"coin": 2000}, price=2000),
        occurred="2026-03-02 09:00",
    ),
    time_passed("2026-03-12 10:00"),
)


def says(node: dict[str, Any]) -> Iterator[str]:
    """List what a tree says, depth first."""
    yield node["says"]
    for child in node["because"]:
        yield from says(child)


async def test_an_overage_is_explained_down_to_its_events(database: str, tmp_path: Path) -> None:
    """Takes name their grants, these who gave them, reasons the grants refused, entries facts."""
    await post(database, HISTORY)

    answer = await ask_json(database, "explain", "mina-and-sons", "retro", folder=tmp_path)

    told = list(says(answer["explanation"]))
    assert "Booking retro of mina-and-sons: 1 line stands" == told[0]
    assert (
        "Line 1 is covered in part: fishbowl at harbour, 2026-03-12 10:00Z (10:00) "
        "to 2026-03-12 11:00Z (11:00)"
    ) in told
    assert "10.00 coin drawn from grant welcome" in told
    assert "1/2 of it is not covered: 10.00 coin" in told
    assert "exhausted: welcome" in told
    assert "Overage by invoice in the period from 2026-03-01: 10.00 EUR owed" in told
    assert "Revision 1 (detected): 10.00 EUR, 10.00 EUR in all" in told
    assert "Entry 3: 10.00 coin of welcome from available to drawn" in told
    assert any("credits-granted by petra (welcome)" in each for each in told)
    assert any(each.startswith("Fact 4: time-passed") for each in told)
    assert answer["complete_through"] is None


async def test_one_line_can_be_asked_for_in_every_form(database: str, tmp_path: Path) -> None:
    """The same nodes as a tree, as JSON lines and as CSV."""
    await post(database, HISTORY)
    asked = ("explain", "mina-and-sons", "retro", "1")

    table = await ask(database, *asked, folder=tmp_path)
    lines = await ask(database, *asked, "--output", "jsonl", folder=tmp_path)
    sheet = await ask(database, *asked, "--output", "csv", folder=tmp_path)

    nodes = [json.loads(line)["says"] for line in lines.out.splitlines()]
    assert nodes == [row["says"] for row in csv.DictReader(io.StringIO(sheet.out))]
    assert [] == [node for node in nodes if node not in table.out]
    assert table.out.endswith("complete through: -\n")


async def test_what_was_told_is_shown_as_it_was_told(database: str, tmp_path: Path) -> None:
    """A reason that looks like markup is text."""
    await post(database, (replace(a_grant(), reason="[red]a"), a_booking()))

    said = await ask(database, "explain", "mina-and-sons", "standup", folder=tmp_path)

    assert "by petra ([red]a)" in said.out


async def test_what_is_not_on_record_is_refused(database: str, tmp_path: Path) -> None:
    """No account, no booking, no line: a message on standard error and a code that is not 0."""
    await post(database, HISTORY)

    async def refused(*arguments: str) -> str:
        said = await ask(database, "explain", *arguments, folder=tmp_path)
        assert (ExitCode.USAGE, "") == (said.code, said.out)
        return said.err

    assert "no such account: nobody\n" == await refused("nobody", "retro")
    assert "no such booking of mina-and-sons: gala\n" == await refused("mina-and-sons", "gala")
    assert "no such line of booking retro: 7\n" == await refused("mina-and-sons", "retro", "7")


async def test_a_cancelled_booking_still_explains_what_became_of_it(
    database: str, tmp_path: Path
) -> None:
    """What was taken and given back stands there, of grants that it takes from no more, too."""
    await post(database, (*HISTORY[:2], a_cancellation()))

    answer = await ask_json(database, "explain", "mina-and-sons", "standup", folder=tmp_path)

    told = list(says(answer["explanation"]))
    assert "Booking standup of mina-and-sons: 0 lines stand" == told[0]
    assert "Line 1 does not stand" in told
    assert "Entry 3: 40.00 coin of welcome from drawn to available" in told


def test_a_revision_that_came_too_late_is_named() -> None:
    """Who asks why a cancelled booking is still paid reads that it had started."""
    late = a_cancellation(occurred="2026-03-10 10:00")
    record = a_record(a_grant(), a_booking(), late)

    node = explain(record, Sources(), "standup")

    expected = (
        "Revision 2 could not drop it: it occurred 2026-03-10 10:00Z (10:00), "
        "when the line had started"
    )
    assert expected in list(says(node.json()))


def test_the_subject_of_a_plans_grant_is_its_period() -> None:
    """Whatever stands in the names of plan and plan line."""
    allotment = an_allotment(plan_line="a/b%")
    renewal = a_renewal(allotment, plan="hot/desk%2F")
    assert renewal.subject == grant_subject(plan_grant_id(renewal, allotment))
    assert a_grant("x/y").subject == grant_subject("x/y")


async def test_a_declined_booking_says_so_and_for_which_line(database: str, tmp_path: Path) -> None:
    """Who wonders where a booking has gone reads that, why, and what it would have lacked."""
    await post(
        database,
        (
            a_grant("welcome", 5000),
            a_booking("standup", a_line(costs={"coin": 4000}), fallback="deny"),
            a_booking(
                "retro",
                a_line(costs={"coin": 2000}),
                fallback="deny",
                occurred="2026-03-02 09:00",
            ),
        ),
    )

    answer = await ask_json(database, "explain", "mina-and-sons", "retro", folder=tmp_path)

    told = list(says(answer["explanation"]))
    assert "Booking retro of mina-and-sons: 0 lines stand" == told[0]
    assert "Fact 3: booking-created revision 1, declined, " in told[1]
    assert [
        "It would have left line 1 of booking retro short of 10.00 coin",
        "exhausted: welcome",
    ] == told[2:]


def test_a_declined_revision_did_not_come_too_late() -> None:
    """The line stays as it was for want of credits, not for having started."""
    record = a_record(
        a_grant("welcome", 5000),
        a_booking("standup", a_line(costs={"coin": 4000}), fallback="deny"),
        a_booking("standup", a_line(costs={"coin": 9000}), fallback="deny", revision=2),
    )

    node = explain(record, Sources(), "standup")

    assert [] == [said for said in says(node.json()) if "could not" in said]
