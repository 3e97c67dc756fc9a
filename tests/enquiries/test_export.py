"""Export: what pays each reservation line, with totals that agree with what was announced."""

import csv
import io
import json
from collections import Counter
from pathlib import Path

import asyncpg
import pytest

from booking_credits.exit_codes import ExitCode
from booking_credits.ledger.facts import Fact
from builders import (
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_renewal,
    an_account,
    an_allotment,
    time_passed,
)
from enquiries.asking import ask, ask_json
from postgres.arrivals import post


def a_reservation(name: str, day: int, credits_: int) -> Fact:
    """Reserve something in December, at an euro a credit."""
    return a_booking(
        name,
        a_line(
            starts=f"2026-12-{day:02} 10:00",
            costs={"credit": credits_},
            price=credits_ * 100,
        ),
        occurred="2026-12-01 09:00",
    )


TENANT_A = (
    an_account(policy="tenant"),
    a_renewal(an_allotment(500, unit="credit"), plan="tenancy", period="2026-12-01"),
    a_reservation("room-a", 3, 200),
    a_reservation("room-b", 10, 150),
    a_reservation("room-c", 17, 150),
)


async def test_the_credits_of_a_months_reservations_match_its_limit(
    database: str, tmp_path: Path
) -> None:
    """B, example 1: 200, 150 and 150 credits are each shown, and together the 500 of the month."""
    await post(database, TENANT_A)

    answer = await ask_json(database, "export", "mina-and-sons", folder=tmp_path)

    assert [
        ("room-a", "credits", {"credit": "200"}, 0, "none"),
        ("room-b", "credits", {"credit": "150"}, 0, "none"),
        ("room-c", "credits", {"credit": "150"}, 0, "none"),
    ] == [
        (r["booking_id"], r["cost_type"], r["credits"], r["cash_minor"], r["overage"])
        for r in answer["lines"]
    ]
    [december] = answer["credits"]
    assert ("2026-12-01", "500", "500") == (
        december["period_start"],
        december["used"],
        december["issued"],
    )
    assert [] == answer["cash"]


async def test_each_line_says_what_pays_for_it(database: str, tmp_path: Path) -> None:
    """Credits, cash or both; free, not eligible, unpriced; owed at the end of the cycle."""
    await post(
        database,
        (
            an_account(policy="tenant"),
            a_grant("few", 30, unit="credit"),
            a_reservation("covered", 3, 20),
            a_reservation("both", 4, 20),
            a_reservation("short", 5, 20),
            a_booking("free", a_line(starts="2026-12-06 10:00", costs={"credit": 0})),
            a_booking("plan", a_line(starts="2026-12-07 10:00", online_plan=True, price=700)),
            a_booking("open", a_line(starts="2026-12-08 10:00", costs={"credit": 1}, price=None)),
            a_reservation("gone", 9, 20),
            a_cancellation("gone"),
        ),
    )
    before = await ask_json(database, "export", "mina-and-sons", folder=tmp_path)
    await post(database, [time_passed("2027-01-01 00:00")])
    after = await ask_json(database, "export", "mina-and-sons", folder=tmp_path)

    shown = {
        r["booking_id"]: (r["cost_type"], r["cash_minor"], r["channel"], r["overage"])
        for r in before["lines"]
    }
    assert shown == {
        "covered": ("credits", 0, None, "none"),
        "both": ("mixed", 1000, "invoice", "expected"),
        "short": ("cash", 2000, "invoice", "expected"),
        "free": ("free", 0, None, "none"),
        "plan": ("cash", 700, None, "not_eligible"),
        "open": ("cash", None, "invoice", "unpriced"),
    }
    owed = {r["booking_id"]: r["overage"] for r in after["lines"]}
    assert ("owed", "owed", "unpriced") == (owed["both"], owed["short"], owed["open"])


async def test_cash_by_channel_is_what_was_announced(database: str, tmp_path: Path) -> None:
    """The totals of a period are the changes of its overages summed up, channel by channel."""
    await post(
        database,
        (
            *TENANT_A,
            a_reservation("fourth", 20, 75),
            a_booking(
                "by-card",
                a_line(starts="2026-12-21 10:00", costs={"credit": 75}, price=7500),
                occurred="2026-12-02 09:00",
                fallback="card",
            ),
            time_passed("2027-01-01 00:00"),
            a_cancellation("fourth", occurred="2026-12-19 09:00"),
        ),
    )

    answer = await ask_json(database, "export", "mina-and-sons", folder=tmp_path)

    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "select payload from announcements where type = 'overage-detected'"
    )
    await connection.close()
    announced: Counter[tuple[str, str]] = Counter()
    for overage in (json.loads(row["payload"]) for row in rows):
        period = overage["billing_period"]["start"]
        announced[period, overage["channel"]] += overage["change_minor"]
    assert {("2026-12-01", "card"): 7500} == {k: v for k, v in announced.items() if v}
    assert [("2026-12-01", "card", "owed", 7500)] == [
        (r["period_start"], r["channel"], r["overage"], r["cash_minor"]) for r in answer["cash"]
    ]


async def test_lines_are_chosen_by_account_date_and_location(database: str, tmp_path: Path) -> None:
    """Of all accounts or of one; by the date on which a line starts where the account is."""
    await post(
        database,
        (
            an_account(policy="tenant", zone="Europe/Berlin"),
            a_booking("eve", a_line(starts="2026-12-31 22:59")),
            a_booking("new-year", a_line(starts="2026-12-31 23:00", location="mill")),
        ),
    )
    await post(database, [a_booking("theirs", a_line(starts="2026-12-31 23:30"))], "others")

    async def listed(*options: str) -> list[str]:
        answer = await ask_json(database, "export", *options, folder=tmp_path)
        return [row["booking_id"] for row in answer["lines"]]

    assert ["eve", "new-year", "theirs"] == await listed("--all")
    assert ["eve", "new-year"] == await listed("mina-and-sons")
    assert ["new-year"] == await listed("--all", "--from", "2027-01-01")
    assert ["eve", "theirs"] == await listed("--all", "--to", "2027-01-01")
    assert ["new-year"] == await listed("--all", "--location", "mill")


@pytest.mark.parametrize("arguments", [(), ("mina-and-sons", "--all"), ("nobody",)])
async def test_it_must_be_said_of_whom(
    database: str, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """One account that is on record, or all of them; else a message and a code."""
    said = await ask(database, "export", *arguments, folder=tmp_path)
    assert (ExitCode.USAGE, "") == (said.code, said.out)
    assert said.err


async def test_csv_is_the_lines_under_their_columns(database: str, tmp_path: Path) -> None:
    """Also where there are none."""
    none = await ask(database, "export", "--all", "--output", "csv", folder=tmp_path)
    await post(database, TENANT_A)
    some = await ask(database, "export", "--all", "--output", "csv", folder=tmp_path)

    rows = [*csv.DictReader(io.StringIO(some.out))]
    assert none.out.splitlines() == some.out.splitlines()[:1]
    assert ['{"credit":"200"}', '{"credit":"150"}', '{"credit":"150"}'] == [
        row["credits"] for row in rows
    ]
