"""Explaining: an explanation of what is on record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from booking_credits.enquiries.answers import TreeAnswer
from booking_credits.enquiries.explanation import explain, refusals_of, zone_of
from booking_credits.enquiries.session import NotFound
from booking_credits.enquiries.sources import Moved, Revised, Shortfall, Sources
from booking_credits.ledger.announcements import ObligationKey
from booking_credits.ledger.entries import Entry
from booking_credits.ledger.reasons import Refusal
from booking_credits.ledger.subjects import booking_subject, grant_subject
from booking_credits.postgres import enquiries

if TYPE_CHECKING:
    from booking_credits.enquiries.session import Session
    from booking_credits.ledger.account import AccountRecord


async def explain_booking(
    session: Session, account_id: str, booking_id: str, line_no: int | None
) -> TreeAnswer:
    """Explain a booking, or one line of it.

    Raises:
        NotFound: the account, the booking or its line is not on record.
    """
    moved = await _moved(session, account_id, booking_id)
    grant_ids = {each.entry.grant_id for each in moved}
    looking = await session.account(account_id, [booking_id], grant_ids)
    if not looking.record.facts_of(booking_subject(booking_id)):
        raise NotFound(f"no such booking of {account_id}: {booking_id}")
    revised = await _revised(session, account_id, booking_id)
    named = await looking.ask(lambda record: _grants_named(record, booking_id))
    subjects = [booking_subject(booking_id), *map(grant_subject, sorted(named))]
    causes = {each.fact_no for each in moved} | {each.fact_no for each in revised}
    told = await session.told(account_id, subjects, sorted(causes))
    declined = [fact.fact_no for fact in told if fact.answer == "declined"]
    shortfalls = await _shortfalls(session, account_id, declined) if declined else []
    sources = Sources(told, moved, revised, shortfalls)
    if line_no is not None and not _knows(looking.record, sources, booking_id, line_no):
        raise NotFound(f"no such line of booking {booking_id}: {line_no}")
    root = await looking.ask(lambda record: explain(record, sources, booking_id, line_no))
    about = {"complete_through": await session.complete_through()}
    return TreeAnswer(about, root, zone_of(looking.record))


def _grants_named(record: AccountRecord, booking_id: str) -> set[str]:
    """Name the grants that an explanation of a booking's lines names."""
    named: set[str] = set()
    for key in record.lines.get(booking_id, ()):
        charge = record.charges[key]
        named.update(take.grant_id for take in charge.coverage.takes)
        for refusal in refusals_of(record, charge):
            named.update(refusal.grant_ids)
    return named


async def _moved(session: Session, account_id: str, booking_id: str) -> list[Moved]:
    rows = await enquiries.entries_of_booking(session.connection, account_id, booking_id)
    return [
        Moved(
            row["entry_no"],
            row["fact_no"],
            Entry(
                row["grant_id"],
                row["source_bucket"],
                row["target_bucket"],
                row["quantity"],
                (booking_id, row["line_no"]),
            ),
        )
        for row in rows
    ]


async def _revised(session: Session, account_id: str, booking_id: str) -> list[Revised]:
    rows = await enquiries.overages_of_booking(session.connection, account_id, booking_id)
    return [
        Revised(
            row["fact_no"],
            ObligationKey(
                booking_id, row["line_no"], row["period_start"], row["currency"], row["channel"]
            ),
            row["revision"],
            row["status"],
            row["change_minor"],
            row["total_minor"],
        )
        for row in rows
    ]


async def _shortfalls(session: Session, account_id: str, fact_nos: list[int]) -> list[Shortfall]:
    rows = await enquiries.shortfalls_of_declined(session.connection, account_id, fact_nos)
    return [
        Shortfall(
            row["fact_no"],
            row["booking_id"],
            row["line_no"],
            json.loads(row["uncovered"]),
            [Refusal(each["reason"], tuple(each["grants"])) for each in json.loads(row["reasons"])],
        )
        for row in rows
    ]


def _knows(record: AccountRecord, sources: Sources, booking_id: str, line_no: int) -> bool:
    key = (booking_id, line_no)
    told = sources.of_booking(booking_id)
    asked = {line["line"] for each in told for line in each.data.get("lines", ())}
    return key in record.charges or line_no in asked
