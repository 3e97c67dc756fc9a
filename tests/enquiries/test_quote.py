"""Quote: what an event would change, which is what settling it changes right after."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from booking_credits.enquiries.quoting import NotQuotable, settled
from booking_credits.enquiries.session import Session
from booking_credits.exit_codes import ExitCode
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.calendars import Timeline
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.settlement import settle
from booking_credits.postgres.enquiries import looking
from booking_credits.posting.batch import Batch
from builders import a_booking, a_cancellation, a_grant, a_line
from builders import post as settle_all
from enquiries.asking import ask, ask_json
from ledger.histories import books, histories
from postgres.arrivals import a_poster, arrival, as_published, post, record_of
from postgres.rows import named_after

ACCOUNTS: Iterator[int] = count(1)


def an_event(folder: Path, fact: Fact, account_id: str = "mina-and-sons") -> str:
    """Write the event that would tell a fact, and return its path."""
    origin = record_of(fact, account_id)
    attributes = {
        name.removeprefix("ce_"): (value or b"").decode()
        for name, value in origin.headers
        if name.startswith("ce_")
    }
    file = folder / "event.json"
    file.write_text(json.dumps({**attributes, "data": json.loads(origin.value or b"")}))
    return str(file)


# Fifty coins; the older meeting takes forty of them, the younger the ten that are left.
HISTORY = (
    a_grant("welcome", 5000),
    a_booking("older", a_line(costs={"coin": 4000}, price=4000)),
    a_booking("younger", a_line(costs={"coin": 1000}), occurred="2026-03-02 09:00"),
)
LARGER = a_booking(
    "older",
    a_line(costs={"coin": 6000}, price=6000),
    revision=2,
    occurred="2026-03-03 09:00",
    booked="2026-03-01 09:00",
)


async def test_a_quote_says_which_other_lines_it_would_change(
    database: str, tmp_path: Path
) -> None:
    """In booking order a larger booking keeps its place and takes coins from younger ones."""
    await post(database, HISTORY)

    quoted = await ask_json(
        database, "quote", "mina-and-sons", an_event(tmp_path, LARGER), folder=tmp_path
    )

    older, younger = quoted["lines"]
    assert ("older", True, "partly") == (older["booking_id"], older["asked"], older["status"])
    take = {"grant_id": "welcome", "unit": "coin", "quantity": "50.00"}
    assert [take] == older["takes"]
    assert {"coin": "10.00"} == older["uncovered"]
    assert {"amount_minor": 1000, "currency": "EUR"} == older["cash"]
    assert [{"reason": "exhausted", "grants": ["welcome"]}] == older["reasons"]
    assert ("younger", False, "covered", "uncovered") == (
        younger["booking_id"],
        younger["asked"],
        younger["status_before"],
        younger["status"],
    )
    assert [{"amount_minor": 2000, "currency": "EUR"}] == quoted["net_cash"]


async def test_a_quote_is_what_is_published_right_after(database: str, tmp_path: Path) -> None:
    """Line by line, as the ledger decides when the event comes; the quote has changed nothing."""
    await post(database, HISTORY)
    asked = ("quote", "mina-and-sons", an_event(tmp_path, LARGER))
    quoted = await ask_json(database, *asked, folder=tmp_path)
    assert quoted == await ask_json(database, *asked, folder=tmp_path)

    await post(database, [LARGER])

    decided = {
        (event["booking_id"], line["line"]): line
        for event in await _announced(database, "coverage-decided")
        for line in event["lines"]
    }
    shared = ("status", "costs", "takes", "uncovered", "cash", "reasons")
    assert {key: {name: line[name] for name in shared} for key, line in decided.items()} == {
        (row["booking_id"], row["line"]): {name: row[name] for name in shared}
        for row in quoted["lines"]
    }
    [*_, last] = await _announced(database, "balance-changed")
    assert [
        (bucket, last["before"][bucket], after)
        for bucket, after in last["after"].items()
        if last["before"][bucket] != after
    ] == [(row["bucket"], row["before"], row["after"]) for row in quoted["balances"]]


def comparable(outcome: Outcome, timeline: Timeline) -> Outcome:
    """Leave aside what has no meaning: which object a timeline is, how obligations are sorted."""
    obligations = {
        key: tuple(sorted(each, key=lambda o: (o.key.period_start, str(o.key))))
        for key, each in outcome.obligations.items()
    }
    return replace(outcome, timeline=timeline, obligations=obligations)


@pytest.mark.timeout(600)
@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(book=books, facts=histories())
async def test_every_quote_is_the_settlement(
    database: str, book: PolicyBook, facts: list[Fact]
) -> None:
    """Whatever a history ends with: over Postgres it settles as in the pure core."""
    account_id = f"account-{next(ACCOUNTS)}"
    *posted, last = (
        arrival(named_after(as_published(fact), account_id), account_id) for fact in facts
    )
    record = AccountRecord(account_id, book)
    settle_all(record, (came.fact for came in posted))
    async with a_poster(database, book) as poster:
        await poster.post(Batch(tuple(posted)))

    async with looking(database) as connection:
        session = Session(connection, book, [], datetime.now(UTC))
        if admit(record.facts_of(last.fact.subject), last.fact) != "accepted":
            with pytest.raises(NotQuotable):
                await settled(session, last)
            return
        _, quoted = await settled(session, last)

    assert comparable(settle(record, last.fact), quoted.timeline) == comparable(
        quoted, quoted.timeline
    )


async def test_what_would_not_be_posted_is_not_quoted(database: str, tmp_path: Path) -> None:
    """A repetition, another account's booking, an event that breaks the contract, no account."""
    await post(database, HISTORY)
    await post(database, [a_grant("theirs")], "others")

    async def refused(account_id: str, file: str) -> str:
        said = await ask(database, "quote", account_id, file, folder=tmp_path)
        assert (ExitCode.USAGE, "") == (said.code, said.out)
        return said.err

    repeated = an_event(tmp_path, HISTORY[1])
    assert "duplicate: booking/older is on record\n" == await refused("mina-and-sons", repeated)
    assert "the event is another account's\n" == await refused("others", repeated)
    taken = an_event(tmp_path, a_cancellation("older"), "others")
    assert "other_account" in await refused("others", taken)
    unknown = an_event(tmp_path, a_grant(), "nobody")
    assert "no such account: nobody\n" == await refused("nobody", unknown)
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    assert "missing_attribute" in await refused("mina-and-sons", str(broken))
    assert "No such file" in await refused("mina-and-sons", str(tmp_path / "none.json"))


async def _announced(database: str, kind: str) -> list[Any]:
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "select payload from announcements where type = $1 order by sequence", kind
        )
    finally:
        await connection.close()
    return [json.loads(row["payload"]) for row in rows]
