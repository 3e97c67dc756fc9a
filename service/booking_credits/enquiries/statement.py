"""Statements of periods that were closed, as they were published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from booking_credits.enquiries.answers import Answer
from booking_credits.enquiries.session import NotFound
from booking_credits.postgres import enquiries

if TYPE_CHECKING:
    from datetime import date

    from booking_credits.enquiries.session import Session

_UNIT: Final = (
    "unit",
    "opening",
    "issued",
    "drawn",
    "expired",
    "removed",
    "adjusted",
    "closing",
)


async def statement(session: Session, account_id: str, period: date | None) -> Answer:
    """Show the statement of the period that began on a date, or of the last one closed.

    Raises:
        NotFound: nothing is on record of the account, or that period was not closed.
    """
    await session.reader(account_id)
    found = await enquiries.statement_of(session.connection, account_id, period)
    if not found:
        which = "no period" if period is None else f"no period that began on {period}"
        raise NotFound(f"{which} is closed: {account_id}")
    stated: dict[str, Any] = json.loads(found[0]["payload"])
    about = {
        "account_id": account_id,
        "period_start": stated["billing_period"]["start"],
        "period_end": stated["billing_period"]["end"],
        "zone": stated["billing_period"]["zone"],
        "recorded_at": found[0]["recorded_at"],
        "complete_through": await session.complete_through(),
    }
    rows = {"units": stated["units"], "overages": stated["overages"]}
    return Answer(about, rows, about["zone"], _UNIT)
