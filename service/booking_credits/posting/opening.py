"""Opening: reading what arrivals name of their accounts, before anything is settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from booking_credits.ledger.facts import (
    BOOKING_FACTS,
    GRANT_FACTS,
    BookingRevised,
    CreditsGranted,
    Fact,
    PackPurchased,
    PeriodClosed,
    PlanRenewed,
)
from booking_credits.ledger.grants import ids_of
from booking_credits.ledger.subjects import CLOCK_SUBJECT, CLOSING_SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from booking_credits.postgres.reader import LedgerReader
    from booking_credits.posting.batch import Arrival


async def open_records(
    reader: LedgerReader, arrivals: Sequence[Arrival], known: Sequence[Arrival] | None = None
) -> None:
    """Read what is on record of the accounts of arrivals, as far as these name it.

    Of what others name than those that may be `known` nothing is on record.
    """
    known = arrivals if known is None else known
    await reader.open(
        sorted({arrival.account_id for arrival in arrivals}),
        {
            (a.account_id, a.fact.subject)
            for a in known
            if a.fact.subject not in (CLOCK_SUBJECT, CLOSING_SUBJECT)
        },
        _bookings(known),
        _grants(known),
        _starts(arrivals),
    )


def _bookings(arrivals: Iterable[Arrival]) -> set[tuple[str, str]]:
    return {(a.account_id, booking_id) for a in arrivals for booking_id in _bookings_of(a.fact)}


def _bookings_of(fact: Fact) -> Iterable[str]:
    """Name the bookings of a fact, for a closing that is told again those of its lines."""
    if isinstance(fact, PeriodClosed):
        return {closed.booking_id for closed in fact.lines or ()}
    return [fact.booking_id] if isinstance(fact, BOOKING_FACTS) else []


def _grants(arrivals: Iterable[Arrival]) -> set[tuple[str, str]]:
    return {(a.account_id, grant_id) for a in arrivals for grant_id in _grants_of(a.fact)}


def _grants_of(fact: Fact) -> Iterable[str]:
    """Name the grants of a fact, for a closing that is told again those that its lines keep."""
    if isinstance(fact, PeriodClosed):
        return {take.grant_id for closed in fact.lines or () for take in closed.takes}
    return ids_of(fact) if isinstance(fact, GRANT_FACTS) else ()


def _starts(arrivals: Iterable[Arrival]) -> dict[str, datetime]:
    """Find the earliest service start that arrivals may concern in each account."""
    starts: dict[str, datetime] = {}
    for arrival in arrivals:
        for start in _starts_of(arrival.fact):
            known = starts.get(arrival.account_id, start)
            starts[arrival.account_id] = min(known, start)
    return starts


def _starts_of(fact: Fact) -> list[datetime]:
    """List service starts that a fact names, or from which a grant may pay, in any zone."""
    if isinstance(fact, BookingRevised):
        return [line.starts_at for line in fact.lines]
    if isinstance(fact, CreditsGranted):
        return [fact.valid_from or fact.occurred_at]
    if isinstance(fact, PackPurchased):
        return [fact.occurred_at]
    if isinstance(fact, PlanRenewed):
        day = fact.period_start - timedelta(days=1)
        return [datetime(day.year, day.month, day.day, tzinfo=UTC)]
    return []
