"""The README shows what a quote and an explanation say, as they say it."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from booking_credits.clock.clock import tick
from booking_credits.inbox.reading import read_record
from booking_credits.ledger.policies import PolicyBook
from booking_credits.policy_file import load_policies
from booking_credits.posting.batch import Arrival, Batch, Origin
from enquiries.asking import ask_as_shipped
from postgres.arrivals import a_poster

ROOT = Path(__file__).parents[2]
BREAKFAST = ROOT / "contracts/examples/send/booking-created.json"
SHOWN = dict(
    re.findall(
        r"^```text\n\$ booking-credits (\w+) [^\n]*\n(.*?)^```$",
        (ROOT / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
READ_THROUGH = datetime(2026, 4, 1, 7, 30, tzinfo=UTC)


def told(book: PolicyBook, event: dict[str, Any] | str) -> Arrival:
    """Let an event arrive."""
    text = event if isinstance(event, str) else json.dumps(event)
    headers = (("content-type", b"application/cloudevents+json"),)
    origin = Origin("bookings", 0, 0, None, None, text.encode(), headers)
    made = read_record(origin, book, READ_THROUGH)
    assert isinstance(made, Arrival), made
    return made


def an_event(event_type: str, event_id: str, time: str, **data: Any) -> dict[str, Any]:
    """Write an event about Acorn."""
    return {
        "specversion": "1.0",
        "type": event_type,
        "id": event_id,
        "source": "my/billing",
        "time": time,
        "data": {"account_id": "acorn", **data},
    }


@pytest.fixture
async def ledger(database: str) -> str:
    """Acorn's plan gives an hour and ten coins for April."""
    book = load_policies(None)
    terms = {
        "from_date": "2026-03-01",
        "zone": "Europe/Berlin",
        "cycle": "month",
        "anchor_date": "2026-01-01",
    }
    allotments = [
        {"plan_line": "hours", "unit": "minute", "quantity": "60"},
        {"plan_line": "coins", "unit": "coin", "quantity": "10"},
    ]
    plan = {"plan": "team", "period_start": "2026-04-01", "allotments": allotments}
    events = (
        an_event("account-opened", "acorn", "2026-03-01T08:00:00Z", **terms),
        an_event("billing-plan-renewed", "acorn/april", "2026-03-31T22:00:00Z", **plan),
    )
    async with a_poster(database, book) as poster:
        await poster.post(Batch(tuple(told(book, event) for event in events)))
    connection = await asyncpg.connect(database)
    for topic in ("bookings", "billing-plans", "accounts"):
        await connection.execute(
            "insert into positions (topic, partition, owner, read_through)"
            " values ($1, 0, gen_random_uuid(), $2)",
            topic,
            READ_THROUGH,
        )
    await connection.close()
    return database


async def test_the_quote_of_the_readme_is_what_is_said(ledger: str) -> None:
    """Before the booking is made."""
    said = await ask_as_shipped(ledger, "quote", "acorn", str(BREAKFAST))
    assert (0, SHOWN["quote"]) == (said.code, said.out)


async def test_the_explanation_of_the_readme_is_what_is_said(ledger: str) -> None:
    """Once it was made and has begun."""
    book = load_policies(None)
    begins = datetime(2026, 4, 1, 7, 0, tzinfo=UTC)
    made = told(book, BREAKFAST.read_text(encoding="utf-8"))
    async with a_poster(ledger, book) as poster:
        await poster.post(Batch((made, tick("acorn", begins, READ_THROUGH))))

    said = await ask_as_shipped(ledger, "explain", "acorn", "acorn-breakfast")

    assert (0, SHOWN["explain"]) == (said.code, said.out)
