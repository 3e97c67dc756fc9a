"""Year: what an account of a tenant lives through, and what the ledger holds of it in the end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Protocol

from asyncpg import Record

from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.facts import Fact
from builders import (
    COINS,
    PACKS,
    TENANT,
    a_book,
    a_booking,
    a_cancellation,
    a_line,
    a_renewal,
    a_start,
    an_account,
    an_allotment,
    at,
)


class Fetches(Protocol):
    """Whatever can be asked about the database."""

    async def fetch(self, query: str, /, *arguments: Any) -> Sequence[Record]: ...


# Credits are drawn as services end and owed for at the end of the month; a week's notice is given.
BOOK = a_book(
    *(COINS, PACKS, replace(TENANT, expiry_notice_days=7)), policy="tenant", zone="Europe/Sofia"
)
FIRST, END = at("2026-01-01 00:00"), at("2026-12-31 00:00")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing is secret


def first_weeks(prefix: str) -> list[Fact]:
    """The first weeks of a year, of bookings whose ids have a prefix."""
    return [f for f in a_year(seeded(1), prefix) if f.occurred_at < at("2026-03-01 00:00")]


def a_year(
    random: Random, prefix: str = "", *, policy: str = "tenant", year: int = 2026
) -> list[Fact]:
    """A year: renewals, bookings that are moved, cancelled and started, and a move of zone.

    Nothing of it is declined, for what is declined hangs on what was known then.
    """
    first = FIRST.replace(year=year)
    facts: list[Fact] = [
        an_account(
            zone="Europe/Sofia",
            policy=policy,
            on_account=True,
            since=f"{year}-01-01",
            occurred=first,
        ),
        an_account(
            since=f"{year}-07-01",
            zone="America/New_York",
            policy=policy,
            on_account=True,
            occurred=f"{year}-06-20",
        ),
    ]
    for month in range(1, 13):
        period = f"{year}-{month:02}-01"
        quantity = random.choice((20, 40, None))
        facts.append(
            a_renewal(an_allotment(quantity, unit="credit"), period=period, occurred=period)
        )
    for number in range(60):
        facts += _booking(random, first, f"{prefix}b{number}")
    return sorted(facts, key=lambda fact: fact.occurred_at)


def _booking(random: Random, first: datetime, booking_id: str) -> list[Fact]:
    booked = first + timedelta(hours=random.randrange(24 * 330))
    starts = booked + timedelta(hours=random.randrange(1, 24 * 30))
    costs = {"credit": random.randrange(1, 9)}
    line = a_line(starts=starts, costs=costs, price=random.choice((500, 1999)))
    facts: list[Fact] = [a_booking(booking_id, line, occurred=booked)]
    act = random.choice(("keep", "keep", "start", "cancel", "cancel late", "move"))
    if act == "start":
        facts.append(a_start(booking_id, occurred=starts - timedelta(minutes=5)))
    elif act.startswith("cancel"):
        occurred = starts + timedelta(hours=-1 if act == "cancel" else 1)
        facts.append(a_cancellation(booking_id, occurred=occurred))
    elif act == "move":
        later = replace(
            line, starts_at=starts + timedelta(days=3), ends_at=starts + timedelta(days=4)
        )
        occurred = starts - timedelta(minutes=30)
        facts.append(a_booking(booking_id, later, revision=2, occurred=occurred, booked=booked))
    return facts


def state_of(record: AccountRecord, prefix: str = "") -> dict[str, list[tuple[object, ...]]]:
    """Tell where an account stands, as `ledger_of` does of one whose bookings have a prefix."""
    obligations = (o for held in record.obligations.values() for o in held if o.is_open)
    owed = [(o.key, o.total_minor) for o in obligations]
    return {
        "charges": [
            (
                key[0].removeprefix(prefix),
                key[1],
                "{}/{}".format(*charge.coverage.uncovered),
                charge.drawn,
            )
            for key, charge in sorted(record.charges.items())
        ],
        "grants": [
            (i, r.buckets.available, r.buckets.held, r.buckets.drawn, r.buckets.expired)
            for i, r in sorted(record.grants.items())
        ],
        "owed": sorted(
            (key.booking_id.removeprefix(prefix), key.period_start, key.channel, total)
            for key, total in owed
        ),
    }


async def ledger_of(pool: Fetches, account_id: str) -> dict[str, Any]:
    """Read what an account's ledger holds, without what names the account or the moment."""
    queries = {
        "facts": "select type, occurred_at from facts where account_id = $1 order by fact_no",
        "entries": "select entry_no, fact_no, grant_id, source_bucket, target_bucket, quantity,"
        " replace(booking_id, $1, ''), effective_at from entries where account_id = $1"
        " order by entry_no",
        "events": "select type, replace((payload::jsonb - '{recorded_at,sequence,previous_sequence,"
        "cause,obligation_id}'::text[])::text, $1, '') from announcements where account_id = $1"
        " order by sequence",
        "obligations": "select replace(booking_id, $1, ''), period_start, channel, revision,"
        " total_minor from obligations where account_id = $1"
        " order by booking_id, period_start, revision",
        "charges": "select replace(booking_id, $1, ''), line_no, uncovered, drawn from charges"
        ' where account_id = $1 order by booking_id collate "C", line_no',
        "grants": "select grant_id, available, held, drawn, expired from grants"
        ' where account_id = $1 order by grant_id collate "C"',
        "owed": "select replace(booking_id, $1, ''), period_start, channel, total_minor"
        " from obligations where account_id = $1 and is_open"
        ' order by booking_id collate "C", period_start',
    }
    found: dict[str, Any] = {
        name: [tuple(row) for row in await pool.fetch(query, account_id)]
        for name, query in queries.items()
    }
    found["state"] = {name: found.pop(name) for name in ("charges", "grants", "owed")}
    return found


def read_told(kind: str, occurred_at: datetime, payload: str) -> Fact:
    return read_fact(kind, occurred_at, payload, BOOK)
