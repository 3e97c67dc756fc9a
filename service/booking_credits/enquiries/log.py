"""Log: every entry of an account, with what remained after it and who or what caused it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from booking_credits.enquiries.answers import Answer
from booking_credits.enquiries.explanation import zone_of
from booking_credits.enquiries.holdings import giver, issuing, reference_date, used
from booking_credits.enquiries.session import NotFound, told_from
from booking_credits.enquiries.sources import Told
from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.calendars import midnight
from booking_credits.ledger.grant_ids import is_given_monthly
from booking_credits.ledger.subjects import grant_subject
from booking_credits.outbox.rendering import decimal_text
from booking_credits.postgres import enquiries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from booking_credits.enquiries.session import Session
    from booking_credits.ledger.account import AccountRecord
    from booking_credits.output import Json

_COLUMNS: Final = (
    "entry",
    "at",
    "what",
    "quantity",
    "unit",
    "grant_id",
    "grant_source",
    "reference_date",
    "booking_id",
    "line",
    "remaining",
    "used",
    "by",
    "event",
    "source",
    "event_id",
    "fact",
    "recorded_at",
    "from",
    "to",
)
_SHOWN: Final = (
    "at",
    "what",
    "quantity",
    "unit",
    "grant_id",
    "reference_date",
    "booking_id",
    "line",
    "remaining",
    "used",
    "by",
)
_TAKEN: Final = ("held", "drawn")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries are asked for, by local dates `[from_date, to_date)`; None is any."""

    from_date: date | None = None
    to_date: date | None = None
    unit: str | None = None
    grant_id: str | None = None


async def log(session: Session, account_id: str, selection: Selection) -> Answer:
    """List the entries of an account in their order.

    What remained and was used after each is of all its grants of the unit, or of the one grant
    that was asked for.

    Raises:
        NotFound: the account, or the grant, is not on record.
    """
    asked = [] if selection.grant_id is None else [selection.grant_id]
    looking = await session.account(account_id, (), asked)
    record, zone = looking.record, zone_of(looking.record)
    if selection.grant_id is not None and selection.grant_id not in record.grants:
        raise NotFound(f"no such grant of {account_id}: {selection.grant_id}")
    rows = await enquiries.log_of_account(
        session.connection,
        account_id,
        unit=selection.unit,
        grant_id=selection.grant_id,
        window=window(selection.from_date, selection.to_date, zone),
    )
    monthly = {grant_subject(r["grant_id"]) for r in rows if is_given_monthly(r["grant_id"])}
    told = await session.told(account_id, monthly)
    about = {
        "account_id": account_id,
        "zone": zone,
        "complete_through": await session.complete_through(),
    }
    tables = {
        "entries": [_row(row, record, told) for row in rows],
        "totals": _totals(record, selection),
    }
    return Answer(about, tables, zone, _COLUMNS, _SHOWN)


def window(
    from_date: date | None, to_date: date | None, zone: str
) -> tuple[datetime | None, datetime | None]:
    """Turn local dates into the instants at which they begin."""
    return (
        None if from_date is None else midnight(from_date, zone),
        None if to_date is None else midnight(to_date, zone),
    )


def _row(row: Mapping[str, Any], record: AccountRecord, monthly: Sequence[Told]) -> Json:
    scale = record.book.units[row["unit"]].scale
    told = told_from(row)
    return {
        "entry": row["entry_no"],
        "at": row["effective_at"],
        "what": _what(row["source_bucket"], row["target_bucket"]),
        "quantity": decimal_text(row["quantity"], scale),
        "unit": row["unit"],
        "grant_id": row["grant_id"],
        "grant_source": row["grant_source"],
        "reference_date": reference_date(row["grant_id"], row["from_at"], record.timeline),
        "booking_id": row["booking_id"],
        "line": row["line_no"],
        "remaining": decimal_text(int(row["remaining"]), scale),
        "used": decimal_text(int(row["used"]), scale),
        "by": giver(_given(row, monthly) or told),
        "event": told.type,
        "source": told.source,
        "event_id": told.event_id,
        "fact": told.fact_no,
        "recorded_at": told.recorded_at,
        "from": row["source_bucket"],
        "to": row["target_bucket"],
    }


def _given(row: Mapping[str, Any], monthly: Sequence[Told]) -> Told | None:
    """Find what a person gives monthly, where an entry issues one month's grant of it."""
    if row["source_bucket"] != "granted" or not is_given_monthly(row["grant_id"]):
        return None
    subject = grant_subject(row["grant_id"])
    return issuing([told for told in monthly if told.subject == subject])


def _what(source: str, target: str) -> str:
    """Name an entry by what it means to a person."""
    if target in _TAKEN:
        return "drawn" if source == "held" else "used" if source not in _TAKEN else "held again"
    if source in _TAKEN:
        return "given back"
    if source == "granted":
        return "issued" if target == "available" else f"issued, {target}"
    return "lowered" if target == "granted" else f"{target}"


def _totals(record: AccountRecord, selection: Selection) -> list[Json]:
    """Say what remains and is used now, whatever the dates that were asked for."""
    if selection.grant_id is not None:
        held = record.grants[selection.grant_id]
        return [_total(held.grant.unit, held.buckets, record)]
    return [
        _total(unit, buckets, record)
        for unit, buckets in sorted(record.balances.items())
        if selection.unit in (None, unit)
    ]


def _total(unit: str, buckets: Buckets, record: AccountRecord) -> Json:
    scale = record.book.units[unit].scale
    return {
        "unit": unit,
        "remaining": decimal_text(buckets.available, scale),
        "used": decimal_text(used(buckets), scale),
    }
