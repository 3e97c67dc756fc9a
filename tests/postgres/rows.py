"""Rows: what the pure core says that Postgres holds of an account, and what it holds."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import TypeAlias

import asyncpg

from booking_credits.inbox.reading import read_fact
from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.closing import said_of
from booking_credits.ledger.facts import BookingRevised, BookingStarted, Fact, PeriodClosed
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.settlement import settle
from booking_credits.outbox.rendering import render
from booking_credits.posting.batch import Arrival

ACCOUNTS: Iterator[int] = count(1)
# What a generated history may be refused for.
CONFLICTS = {"revision_conflict", "grant_conflict", "renewal_conflict"}

Settled: TypeAlias = tuple[Arrival, Outcome, list[tuple[object, ...]]]


def named_after(fact: Fact, account_id: str) -> Fact:
    """Name bookings after the account: a booking belongs to one for life."""
    if isinstance(fact, BookingRevised | BookingStarted):
        return replace(fact, booking_id=f"{account_id}-{fact.booking_id}")
    return fact


def read_by(book: PolicyBook, kind: str, occurred_at: datetime, payload: str) -> Fact:
    return read_fact(kind, occurred_at, payload, book)


def cut_by(arrivals: Sequence[Arrival], sizes: Sequence[int]) -> Iterator[Sequence[Arrival]]:
    start = 0
    for index in count():
        if start >= len(arrivals):
            return
        size = sizes[index % len(sizes)]
        yield arrivals[start : start + size]
        start += size


def expected_of(
    account_id: str, book: PolicyBook, arrivals: Sequence[Arrival]
) -> tuple[AccountRecord, list[Settled]]:
    """Settle one fact after the other on a whole record in memory."""
    record = AccountRecord(account_id, book)
    settled: list[Settled] = []
    for came in arrivals:
        if admit(record.facts_of(came.fact.subject), came.fact) != "accepted":
            continue
        outcome = settle(record, came.fact)
        rendered = render(came, outcome, record.grants)
        parts: list[tuple[object, ...]] = [
            (r.sequence, r.part, r.type, r.event_id, json.loads(r.payload)) for r in rendered
        ]
        settled.append((came, outcome, parts))
        record.accept(outcome)
    return record, settled


def rows_of(record: AccountRecord, settled: list[Settled]) -> dict[str, list[tuple[object, ...]]]:
    return {
        "entries": [
            (
                number,
                outcome.numbers.fact,
                entry.grant_id,
                entry.source,
                entry.target,
                entry.quantity,
                *(entry.line_key or (None, None)),
                outcome.effective_at,
            )
            for _, outcome, _ in settled
            for number, entry in outcome.entries
        ],
        "announcements": [part for _, _, parts in settled for part in parts],
        "charges": [
            (
                *key,
                charge.rank,
                charge.drawn,
                charge.due_at,
                [[take.grant_id, take.quantity] for take in charge.coverage.takes],
                "{}/{}".format(*charge.coverage.uncovered),
                None
                if charge.closed is None
                else [[take.grant_id, take.quantity] for take in charge.kept],
            )
            for key, charge in sorted(record.charges.items())
        ],
        "takes": sorted(
            (take.grant_id, charge.rank)
            for charge in record.charges.values()
            for take in charge.loose
        ),
        "closed_lines": [
            (*line.key, line.until, said_of(line))
            for _, outcome, _ in settled
            if isinstance(outcome.fact, PeriodClosed)
            for line in sorted(outcome.fact.lines or (), key=lambda line: line.key)
        ],
        "grants": [
            (
                i,
                r.grant.quantity,
                r.buckets.available,
                r.buckets.held,
                r.buckets.drawn,
                r.buckets.expired,
            )
            for i, r in sorted(record.grants.items())
        ],
        "obligations": sorted(
            (
                *key,
                o.key.period_start,
                o.key.currency or "",
                o.key.channel,
                o.revision,
                o.total_minor,
            )
            for key, obligations in record.obligations.items()
            for o in obligations
        ),
    }


async def stored_of(
    pool: "asyncpg.Pool[asyncpg.Record]", account_id: str
) -> dict[str, list[tuple[object, ...]]]:
    queries = {
        "entries": "select entry_no, fact_no, grant_id, source_bucket, target_bucket, quantity,"
        " booking_id, line_no, effective_at from entries where account_id = $1 order by entry_no",
        "announcements": "select sequence, part, type, event_id, payload from announcements"
        " where account_id = $1 order by sequence, part",
        "charges": "select booking_id, line_no, rank, drawn, due_at, takes, uncovered,"
        " closed from charges"
        ' where account_id = $1 order by booking_id collate "C", line_no',
        "closed_lines": "select booking_id, line_no, until, said from closed_lines"
        ' where account_id = $1 order by until, booking_id collate "C", line_no',
        "takes": "select grant_id, rank from takes where account_id = $1",
        "grants": "select grant_id, quantity, available, held, drawn, expired from grants"
        ' where account_id = $1 and not gone order by grant_id collate "C"',
        "obligations": "select booking_id, line_no, period_start, currency, channel, revision,"
        " total_minor from obligations where account_id = $1",
    }
    stored = {
        table: [tuple(row) for row in await pool.fetch(query, account_id)]
        for table, query in queries.items()
    }
    stored["announcements"] = [(*row[:4], json.loads(row[4])) for row in stored["announcements"]]
    stored["charges"] = [
        (*row[:5], json.loads(row[5]), row[6], row[7] and json.loads(row[7]))
        for row in stored["charges"]
    ]
    stored["closed_lines"] = [(*row[:3], json.loads(row[3])) for row in stored["closed_lines"]]
    stored["takes"].sort()
    stored["obligations"].sort()
    return stored
