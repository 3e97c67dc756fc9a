"""Rows to the ledger's values and back."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from booking_credits.ledger.announcements import KINDS, Obligation, ObligationKey
from booking_credits.ledger.bookings import StandingLine
from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.charges import Charge, Coverage, Take
from booking_credits.ledger.closing import said_of
from booking_credits.ledger.entries import GrantRecord
from booking_credits.ledger.facts import Line, Money, Scope
from booking_credits.ledger.grants import Grant, Removal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from booking_credits.ledger.closing import ClosedLine

LAST_OF_KINDS = tuple(f"last_{kind.replace('-', '_')}" for kind in KINDS)
CHARGE_COLUMNS = (
    "account_id",
    "booking_id",
    "line_no",
    "revision",
    "booked_at",
    "starts_at",
    "ends_at",
    "resource",
    "location",
    "product_group",
    "costs",
    "price_minor",
    "currency",
    "payable_by_credits",
    "discounted",
    "online_plan",
    "fallback",
    "started_at",
    "rank",
    "eligible",
    "takes",
    "uncovered",
    "short",
    "drawn",
    "due_at",
    "closed",
)
CLOSED_COLUMNS = ("account_id", "booking_id", "line_no", "until", "said")
GRANT_COLUMNS = (
    "account_id",
    "grant_id",
    "unit",
    "quantity",
    "from_at",
    "to_at",
    "scope",
    "priority",
    "paid",
    "source",
    "pending",
    "gone",
    "rolls_at",
    "roll_cap",
    "removals",
    "rolled",
    "granted",
    "available",
    "held",
    "drawn",
    "expired",
    "removed",
)
OBLIGATION_COLUMNS = (
    "account_id",
    "booking_id",
    "line_no",
    "period_start",
    "currency",
    "channel",
    "period_end",
    "zone",
    "revision",
    "total_minor",
    "is_open",
    "starts_at",
    "ends_at",
)
_SCOPE_DIMENSIONS = ("resources", "product_groups", "locations")


def charge_from(row: Mapping[str, Any]) -> Charge:
    """Read a charge."""
    price = None if row["currency"] is None else Money(row["price_minor"], row["currency"])
    line = Line(
        row["line_no"],
        row["starts_at"],
        row["ends_at"],
        row["resource"],
        row["location"],
        row["product_group"],
        _costs_from(row["costs"]),
        price,
        row["payable_by_credits"],
        row["discounted"],
        row["online_plan"],
    )
    standing = StandingLine(
        row["booking_id"],
        row["revision"],
        row["booked_at"],
        line,
        row["fallback"],
        row["started_at"],
    )
    numerator, denominator = row["uncovered"].split("/")
    coverage = Coverage(_takes_from(row["takes"]), (int(numerator), int(denominator)))
    return Charge(
        standing,
        row["rank"],
        row["eligible"],
        coverage,
        row["drawn"],
        row["due_at"],
        None if row["closed"] is None else _takes_from(row["closed"]),
    )


def charge_row(account_id: str, charge: Charge) -> tuple[object, ...]:
    """Write a charge as the columns of `CHARGE_COLUMNS`."""
    standing, line = charge.standing, charge.line
    price = line.price
    return (
        account_id,
        standing.booking_id,
        line.line_no,
        standing.revision,
        standing.booked_at,
        line.starts_at,
        line.ends_at,
        line.resource,
        line.location,
        line.product_group,
        _costs_text(line.costs),
        None if price is None else price.amount_minor,
        None if price is None else price.currency,
        line.payable_by_credits,
        line.discounted,
        line.online_plan,
        standing.fallback,
        standing.started_at,
        charge.rank,
        charge.eligible,
        _takes_told(charge.coverage.takes),
        "{}/{}".format(*charge.coverage.uncovered),
        charge.short,
        charge.drawn,
        charge.due_at,
        None if charge.closed is None else _takes_told(charge.closed),
    )


def closed_row(account_id: str, closed: ClosedLine) -> tuple[object, ...]:
    """Write a closed line as the columns of `CLOSED_COLUMNS`."""
    return account_id, *closed.key, closed.until, json.dumps(said_of(closed))


def _takes_from(text: str) -> tuple[Take, ...]:
    return tuple(Take(grant_id, quantity) for grant_id, quantity in json.loads(text))


def _takes_told(takes: Iterable[Take]) -> str:
    return json.dumps([(take.grant_id, take.quantity) for take in takes])


def grant_from(row: Mapping[str, Any]) -> GrantRecord:
    """Read a grant with its buckets."""
    grant = Grant(
        row["grant_id"],
        row["unit"],
        row["quantity"],
        row["from_at"],
        row["to_at"],
        _scope_from(row["scope"]),
        row["priority"],
        row["paid"],
        row["source"],
        row["pending"],
        row["rolls_at"],
        row["roll_cap"],
        _removals_from(row["removals"]),
    )
    return GrantRecord(grant, buckets_from(row), row["rolled"])


def grant_row(account_id: str, record: GrantRecord, *, gone: bool) -> tuple[object, ...]:
    """Write a grant as the columns of `GRANT_COLUMNS`; one that is gone is on record no more."""
    grant = record.grant
    return (
        account_id,
        grant.grant_id,
        grant.unit,
        grant.quantity,
        grant.from_at,
        grant.to_at,
        _scope_text(grant.scope),
        grant.priority,
        grant.paid,
        grant.source,
        grant.pending,
        gone,
        grant.rolls_at,
        grant.roll_cap,
        _removals_text(grant.removals),
        record.rolled,
        *buckets_row(record.buckets),
    )


# What few lines and grants say for the first time is read and written once.
@lru_cache(maxsize=4096)
def _costs_from(text: str) -> tuple[tuple[str, int], ...]:
    return tuple(json.loads(text).items())


@lru_cache(maxsize=4096)
def _costs_text(costs: tuple[tuple[str, int], ...]) -> str:
    return json.dumps(dict(costs))


@lru_cache(maxsize=4096)
def _scope_from(text: str) -> Scope:
    scope = json.loads(text)
    return Scope(*(tuple(scope.get(dimension, ())) for dimension in _SCOPE_DIMENSIONS))


@lru_cache(maxsize=4096)
def _scope_text(scope: Scope) -> str:
    named = {name: getattr(scope, name) for name in _SCOPE_DIMENSIONS if getattr(scope, name)}
    return json.dumps(named)


@lru_cache(maxsize=4096)
def _removals_from(text: str) -> tuple[Removal, ...]:
    return tuple(Removal(datetime.fromisoformat(at), steps) for at, steps in json.loads(text))


@lru_cache(maxsize=4096)
def _removals_text(removals: tuple[Removal, ...]) -> str:
    return json.dumps([(removal.at.isoformat(), removal.quantity) for removal in removals])


def buckets_from(row: Mapping[str, Any]) -> Buckets:
    """Read buckets."""
    return Buckets(
        row["granted"],
        row["available"],
        row["held"],
        row["drawn"],
        row["expired"],
        row["removed"],
    )


def buckets_row(buckets: Buckets) -> tuple[int, ...]:
    """Write buckets in the order of their columns."""
    return (
        buckets.granted,
        buckets.available,
        buckets.held,
        buckets.drawn,
        buckets.expired,
        buckets.removed,
    )


def obligation_from(row: Mapping[str, Any]) -> Obligation:
    """Read an obligation; an empty currency stands for a line without a price."""
    key = ObligationKey(
        row["booking_id"],
        row["line_no"],
        row["period_start"],
        row["currency"] or None,
        row["channel"],
    )
    return Obligation(
        key,
        row["period_end"],
        row["zone"],
        row["revision"],
        row["total_minor"],
        row["is_open"],
        row["starts_at"],
        row["ends_at"],
    )


def obligation_row(account_id: str, obligation: Obligation) -> tuple[object, ...]:
    """Write an obligation as the columns of `OBLIGATION_COLUMNS`."""
    key = obligation.key
    return (
        account_id,
        key.booking_id,
        key.line_no,
        key.period_start,
        key.currency or "",
        key.channel,
        obligation.period_end,
        obligation.zone,
        obligation.revision,
        obligation.total_minor,
        obligation.is_open,
        obligation.starts_at,
        obligation.ends_at,
    )
