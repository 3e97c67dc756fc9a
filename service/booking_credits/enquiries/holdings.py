"""Holdings: what an account has of each unit, and the grants that it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from booking_credits.enquiries.answers import Answer
from booking_credits.enquiries.explanation import zone_of
from booking_credits.ledger.buckets import BUCKETS
from booking_credits.ledger.calendars import EVER, local_date
from booking_credits.ledger.grant_ids import period_start_in
from booking_credits.ledger.subjects import grant_subject
from booking_credits.outbox.rendering import decimal_text
from booking_credits.posting.batch import CLOCK_SOURCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from booking_credits.enquiries.session import Session
    from booking_credits.enquiries.sources import Told
    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.buckets import Buckets
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.entries import GrantRecord
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.output import Json

UNLIMITED: Final = "unlimited"

_BALANCE: Final = (
    "unit",
    *BUCKETS,
    "used",
    "remaining",
    "valid_number",
    "valid_used",
    "valid_remaining",
)
_GRANT: Final = (
    "grant_id",
    "source",
    "unit",
    "quantity",
    "from_at",
    "to_at",
    "scope",
    "priority",
    "paid",
    "pending",
    "reference_date",
    "granted_by",
    "granted_at",
    "reason",
    "reference",
    "member_id",
    *BUCKETS,
    "removals",
)


async def balance(session: Session, account_id: str) -> Answer:
    """Say what an account has of each unit; the three valid figures are of the grants valid now.

    Raises:
        NotFound: nothing is on record of the account.
    """
    looking = await session.account(account_id)
    rows = await looking.ask(lambda record: _balances(record, session.now))
    return Answer(
        await _about(session, looking.record),
        {"balances": rows},
        zone_of(looking.record),
        _BALANCE,
    )


async def grants(session: Session, account_id: str, *, removed: bool) -> Answer:
    """List an account's grants by their windows, those of which all was `removed` only if asked.

    Raises:
        NotFound: nothing is on record of the account.
    """
    looking = await session.account(account_id)
    await looking.ask(lambda record: record.require_grants(EVER))
    record = looking.record
    held = sorted(record.grants.values(), key=lambda r: (r.grant.from_at, r.grant.grant_id))
    told = await session.told(account_id, [grant_subject(r.grant.grant_id) for r in held])
    rows = ((_grant(each, told, record.timeline), each) for each in held)
    shown = [row for row, each in rows if removed or not _is_gone(row, each)]
    return Answer(await _about(session, record), {"grants": shown}, zone_of(record), _GRANT)


async def _about(session: Session, record: AccountRecord) -> Json:
    return {
        "account_id": record.account_id,
        "zone": zone_of(record),
        "complete_through": await session.complete_through(),
    }


def _balances(record: AccountRecord, now: datetime) -> list[Json]:
    record.require_grants(now)
    units = {*record.balances, *(held.grant.unit for held in record.grants.values())}
    return [_balance(record, unit, now) for unit in sorted(units) if unit in record.balances]


def _balance(record: AccountRecord, unit: str, now: datetime) -> Json:
    buckets = record.balances[unit]
    scale = record.book.units[unit].scale
    return {
        "unit": unit,
        **buckets_json(buckets, scale),
        "used": decimal_text(used(buckets), scale),
        "remaining": decimal_text(buckets.available, scale),
        **_valid(record, unit, now),
    }


def _valid(record: AccountRecord, unit: str, now: datetime) -> Json:
    """Count the grants that are valid now: how much they are, what is used of it, what remains.

    Whatever takes from them starts before the last of them ends, and number is used and remaining
    together.
    """
    valid = [
        held
        for held in record.grants.values()
        if held.grant.unit == unit and held.grant.is_valid_at(now) and not held.grant.pending
    ]
    scale = record.book.units[unit].scale
    taken = sum(used(held.buckets) for held in valid)
    rest = sum(held.buckets.available for held in valid)
    is_unlimited = any(held.grant.quantity is None for held in valid)
    return {
        "valid_number": UNLIMITED if is_unlimited else decimal_text(taken + rest, scale),
        "valid_used": decimal_text(taken, scale),
        "valid_remaining": UNLIMITED if is_unlimited else decimal_text(rest, scale),
    }


def used(buckets: Buckets) -> int:
    """Return what charges have taken, be it held or drawn."""
    return buckets.held + buckets.drawn


def buckets_json(buckets: Buckets, scale: int) -> dict[str, str]:
    """Write buckets as decimals."""
    return {bucket: decimal_text(getattr(buckets, bucket), scale) for bucket in BUCKETS}


def granted_text(grant: Grant, book: PolicyBook) -> str:
    """Write the quantity of a grant as the events do."""
    if grant.quantity is None:
        return UNLIMITED
    return decimal_text(grant.quantity, book.units[grant.unit].scale)


def reference_date(grant_id: str, from_at: datetime, timeline: Timeline) -> date:
    """Return the local date on which the period begins that a grant was issued for.

    What was given for no period refers to the day from which it counts.
    """
    period_start = period_start_in(grant_id)
    if period_start is not None:
        return period_start
    return local_date(from_at, timeline.period_at(from_at).zone)


def _grant(held: GrantRecord, told: Sequence[Told], timeline: Timeline) -> Json:
    grant, book = held.grant, timeline.book
    subject = grant_subject(grant.grant_id)
    own = [each for each in told if each.subject == subject]
    return {
        "grant_id": grant.grant_id,
        "source": grant.source,
        "unit": grant.unit,
        "quantity": granted_text(grant, book),
        "from_at": grant.from_at,
        "to_at": grant.to_at,
        "scope": {
            name: names
            for name in ("resources", "product_groups", "locations")
            if (names := getattr(grant.scope, name))
        },
        "priority": grant.priority,
        "paid": grant.paid,
        "pending": grant.pending,
        "reference_date": reference_date(grant.grant_id, grant.from_at, timeline),
        **_issued(own),
        **buckets_json(held.buckets, book.units[grant.unit].scale),
        "removals": [
            {
                "by": each.data.get("actor"),
                "at": each.occurred_at,
                "quantity": each.data.get("quantity"),
                "reason": each.data.get("reason"),
            }
            for each in own
            if _removes(each, grant.grant_id)
        ],
    }


def _removes(told: Told, grant_id: str) -> bool:
    """Say whether a fact took back a grant, itself or with the standing grant that yields it."""
    if told.type != "grant-removed" or told.answer is not None:
        return False
    named: str = told.data["grant_id"]
    return named == grant_id or told.subject == f"grant/{named}"


def issuing(told: Sequence[Told]) -> Told | None:
    """Find among what was told of a grant what gives it: of a plan's period the latest version."""
    given = [each for each in told if each.type not in ("grant-removed", "credit-pack-approved")]
    latest_first = sorted(given, key=lambda each: (-each.data.get("version", 1), each.fact_no))
    return next(iter(latest_first), None)


def _issued(told: Sequence[Told]) -> Json:
    """Say who gave a grant, when and why: by hand, by a plan's latest version, or as a sale."""
    first = issuing(told)
    if first is None:
        return dict.fromkeys(("granted_by", "granted_at", "reason", "reference", "member_id"))
    approved = [each.data["reference"] for each in told if each.type == "credit-pack-approved"]
    data = first.data
    return {
        "granted_by": giver(first),
        "granted_at": first.occurred_at,
        "reason": data.get("reason"),
        "reference": next(iter((*approved, data.get("reference") or data.get("licence")))),
        "member_id": data.get("member_id"),
    }


def giver(told: Told) -> str | None:
    """Name who or what caused a fact: a person, a plan, the way of a sale, the clock."""
    data = told.data
    if told.type == "billing-plan-renewed":
        return f"plan {data['plan']}"
    if told.source == CLOCK_SOURCE:
        return "clock"
    if told.type == "credit-pack-purchased":
        return f"sale by {data.get('sold_via', 'point_of_sale')}"
    correction = data.get("correction") or {}
    who: str | None = data.get("actor") or correction.get("actor") or data.get("member_id")
    return who


def _is_gone(row: Json, held: GrantRecord) -> bool:
    """Say whether all of a grant that nobody has used was removed."""
    buckets = held.buckets
    return bool(row["removals"] or buckets.removed) and not (used(buckets) or buckets.available)
