"""Holdings: what an account has, where it comes from, and every step that led there."""

import csv
import io
from pathlib import Path
from typing import Any

from booking_credits.enquiries.holdings import balance
from booking_credits.enquiries.session import Session
from booking_credits.exit_codes import ExitCode
from booking_credits.ledger.facts import Scope
from booking_credits.postgres.enquiries import looking
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_pack,
    a_renewal,
    a_standing_allotment,
    an_account,
    an_allotment,
    an_approval,
    at,
    time_passed,
)
from enquiries.asking import ask, ask_json
from postgres.arrivals import post

CREDITS = {"credit": 5}


def row(answer: dict[str, Any], table: str, **named: str) -> dict[str, Any]:
    """Find the one row of a table in which fields are as named."""
    [found] = [r for r in answer[table] if all(r[k] == v for k, v in named.items())]
    return dict(found)


async def test_a_balance_says_where_everything_is(database: str, tmp_path: Path) -> None:
    """Held and drawn are used, what is available remains; quantities are decimals."""
    await post(
        database,
        (
            an_account(policy="packs"),
            a_grant("pack", 5000),
            a_grant("old", 700, valid_to="2026-02-01 00:00"),
            a_booking("past", a_line(starts="2026-03-10 10:00", costs={"coin": 1000})),
            a_booking("next", a_line(starts="2026-03-20 10:00", costs={"coin": 500})),
            time_passed("2026-03-10 10:00"),
        ),
    )

    answer = await ask_json(database, "balance", "mina-and-sons", folder=tmp_path)

    expected = {
        "granted": "57.00",
        "available": "35.00",
        "held": "5.00",
        "drawn": "10.00",
        "expired": "7.00",
        "removed": "0.00",
        "used": "15.00",
        "remaining": "35.00",
    }
    coins = row(answer, "balances", unit="coin")
    assert expected == {name: coins[name] for name in expected}


async def test_the_three_figures_of_packs_are_of_those_valid_at_that_moment(
    database: str,
) -> None:
    """Number of credits is used and remaining together; expired and coming packs count nowhere."""
    await post(
        database,
        (
            an_account(policy="packs"),
            a_grant("gone", 10, unit="credit", valid_to="2026-02-01 00:00"),
            a_grant("valid", 12, unit="credit", valid_to="2026-06-01 00:00"),
            a_grant("coming", 20, unit="credit", valid_from="2026-05-01 00:00"),
            a_booking("old", a_line(starts="2026-01-20 10:00", costs=CREDITS)),
            a_booking("new", a_line(starts="2026-04-20 10:00", costs=CREDITS)),
        ),
    )

    async with looking(database) as connection:
        session = Session(connection, a_book(), ["facts"], at("2026-03-01 00:00"))
        answer = await balance(session, "mina-and-sons")

    [credits_] = answer.rows["balances"]
    assert ("12", "5", "7") == (
        credits_["valid_number"],
        credits_["valid_used"],
        credits_["valid_remaining"],
    )


async def test_a_grant_says_who_gave_it_when_and_for_what(database: str, tmp_path: Path) -> None:
    """By hand, by a plan, by a sale that waits for its approval or has it."""
    await post(
        database,
        (
            an_account(zone="Europe/Berlin"),
            a_grant("gift", 500, scope=Scope(resources=("fishbowl",)), member="otto"),
            a_renewal(an_allotment(None), plan="hot-desk", period="2026-03-01"),
            a_pack("waiting"),
            a_pack("approved"),
            an_approval("approved"),
        ),
    )

    answer = await ask_json(database, "grants", "mina-and-sons", folder=tmp_path)

    gift = row(answer, "grants", grant_id="gift")
    assert ("petra", "welcome", "otto", "2026-01-01T00:00:00Z", "2026-01-01") == (
        gift["granted_by"],
        gift["reason"],
        gift["member_id"],
        gift["granted_at"],
        gift["reference_date"],
    )
    assert {"resources": ["fishbowl"]} == gift["scope"]
    plan = row(answer, "grants", source="plan")
    assert ("plan hot-desk", "unlimited", "2026-03-01", "2026-02-28T23:00:00Z") == (
        plan["granted_by"],
        plan["quantity"],
        plan["reference_date"],
        plan["from_at"],
    )
    assert row(answer, "grants", grant_id="waiting")["pending"]
    approved = row(answer, "grants", grant_id="approved")
    assert (False, "inv-1") == (approved["pending"], approved["reference"])


async def test_the_log_says_what_remained_after_each_step_and_who_took_it(
    database: str, tmp_path: Path
) -> None:
    """Issued by hand or by which plan, used for which booking, given back; totals at the end."""
    await post(
        database,
        (
            a_renewal(an_allotment(5000), plan="hot-desk", period="2026-03-01"),
            a_grant("gift", 1000, valid_from="2026-03-05 00:00"),
            a_booking("standup", a_line(costs={"coin": 5500})),
            a_cancellation("standup"),
        ),
    )

    answer = await ask_json(database, "log", "mina-and-sons", folder=tmp_path)

    told = [
        (r["what"], r["quantity"], r["remaining"], r["used"], r["by"], r["reference_date"])
        for r in answer["entries"]
    ]
    assert told == [
        ("issued", "50.00", "50.00", "0.00", "plan hot-desk", "2026-03-01"),
        ("issued", "10.00", "60.00", "0.00", "petra", "2026-03-05"),
        ("used", "5.00", "55.00", "5.00", None, "2026-03-05"),
        ("used", "50.00", "5.00", "55.00", None, "2026-03-01"),
        ("given back", "5.00", "10.00", "50.00", None, "2026-03-05"),
        ("given back", "50.00", "60.00", "0.00", None, "2026-03-01"),
    ]
    assert [{"unit": "coin", "remaining": "60.00", "used": "0.00"}] == answer["totals"]


async def test_monthly_coins_are_told_from_those_of_a_plan(database: str, tmp_path: Path) -> None:
    """Each is of its month, and given by who gave it first, also where the clock brings it."""
    allotments = [a_standing_allotment(1000, unit="coin")]
    await post(
        database,
        (
            an_account(since="2026-03-01", allotments=allotments),
            a_grant("coins", 500, granted="2026-03-10 12:00", monthly=True),
            time_passed("2026-04-01 00:00"),
        ),
    )

    given = await ask_json(database, "grants", "mina-and-sons", folder=tmp_path)
    log = await ask_json(database, "log", "mina-and-sons", folder=tmp_path)

    coins = [
        (r["reference_date"], r["source"], r["granted_by"])
        for r in given["grants"]
        if r["grant_id"].startswith("standing/coins/")
    ]
    assert [("2026-03-01", "manual", "petra"), ("2026-04-01", "manual", "petra")] == coins
    assert [
        ("10.00", "2026-03-01", "plan", None),
        ("5.00", "2026-03-01", "manual", "petra"),
        ("10.00", "2026-04-01", "plan", "clock"),
        ("5.00", "2026-04-01", "manual", "petra"),
    ] == [
        (r["quantity"], r["reference_date"], r["grant_source"], r["by"])
        for r in log["entries"]
        if r["what"] == "issued"
    ]


async def test_the_log_is_narrowed_by_date_unit_and_grant(database: str, tmp_path: Path) -> None:
    """Dates are local ones; what remained is what really remained, whatever is left out."""
    await post(
        database,
        (
            an_account(zone="Europe/Berlin"),
            a_grant("one", 1000, granted="2026-01-31 22:59"),
            a_grant("two", 500, granted="2026-01-31 23:01"),
            a_grant("three", 60, unit="minute", granted="2026-02-02 00:00"),
        ),
    )

    async def listed(*options: str) -> list[tuple[str, str]]:
        answer = await ask_json(database, "log", "mina-and-sons", *options, folder=tmp_path)
        return [(entry["grant_id"], entry["remaining"]) for entry in answer["entries"]]

    since = ("--from", "2026-02-01")
    assert [("two", "15.00"), ("three", "60")] == await listed(*since)
    assert [("two", "15.00")] == await listed(*since, "--unit", "coin")
    assert [("one", "10.00")] == await listed("--to", "2026-02-01")
    assert [("two", "5.00")] == await listed("--grant", "two")
    said = await ask(database, "log", "mina-and-sons", "--grant", "none", folder=tmp_path)
    assert (ExitCode.USAGE, "", "no such grant of mina-and-sons: none\n") == said


async def test_an_answer_is_for_people_and_for_programs(database: str, tmp_path: Path) -> None:
    """The table has the account's local time, CSV the same rows; each says how complete it is."""
    await post(database, (an_account(zone="Asia/Tokyo"), a_grant("gift", 500)))

    table = await ask(database, "grants", "mina-and-sons", folder=tmp_path)
    sheet = await ask(database, "grants", "mina-and-sons", "--output", "csv", folder=tmp_path)

    assert "zone: Asia/Tokyo" in table.out
    assert "from at         2026-01-01 00:00Z (09:00)" in table.out
    assert "complete through: -" in table.out
    [gift] = csv.DictReader(io.StringIO(sheet.out))
    assert ("gift", "5.00", "") == (gift["grant_id"], gift["available"], gift["complete_through"])
    for command in ("balance", "grants", "log"):
        said = await ask(database, command, "nobody", folder=tmp_path)
        assert (ExitCode.USAGE, "", "no such account: nobody\n") == said
