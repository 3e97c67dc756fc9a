"""Wording: quantities, money and instants as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from booking_credits.ledger.currencies import minor_decimals
from booking_credits.outbox.rendering import decimal_text

if TYPE_CHECKING:
    from booking_credits.ledger.facts import Scope
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.policies import PolicyBook


def instant_text(instant: datetime, zone: str) -> str:
    """Write an instant in UTC, and in brackets the local time, with its date where that differs."""
    utc, local = instant.astimezone(UTC), instant.astimezone(ZoneInfo(zone))
    day = "" if local.date() == utc.date() else f"{local:%Y-%m-%d} "
    return f"{utc:%Y-%m-%d %H:%M}Z ({day}{local:%H:%M})"


def quantity_text(steps: int | None, unit: str, book: PolicyBook) -> str:
    """Write a quantity of a unit; None is unlimited."""
    if steps is None:
        return f"unlimited {unit}"
    return f"{decimal_text(steps, book.units[unit].scale)} {unit}"


def money_text(amount_minor: int, currency: str) -> str:
    """Write an amount of the currency's minor unit in its major one."""
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{decimal_text(abs(amount_minor), minor_decimals(currency))} {currency}"


def window_text(grant: Grant, zone: str) -> str:
    """Write for which service times a grant may pay."""
    ends = "" if grant.to_at is None else f" until {instant_text(grant.to_at, zone)}"
    return f"from {instant_text(grant.from_at, zone)}{ends}"


def scope_text(scope: Scope) -> str:
    """Write where a grant may pay."""
    named = (
        ("resources", scope.resources),
        ("product groups", scope.product_groups),
        ("locations", scope.locations),
    )
    texts = [f"{dimension} {', '.join(names)}" for dimension, names in named if names]
    return "; ".join(texts) or "everything"
