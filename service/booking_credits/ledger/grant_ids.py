"""Grant ids: the names of periods' grants, made of what yields them and the period's start."""

from __future__ import annotations

from datetime import date
from typing import Final

from booking_credits.ledger.subjects import escaped, unescaped

MONTHLY: Final = "standing"
_OF_A_RULE: Final = (MONTHLY, "allotment")
_OF_A_PERIOD: Final = ("plan", "opening", *_OF_A_RULE)


def period_grant_id(kind: str, *names: str | date) -> str:
    """Name the grant of a period by what it is issued for and the period's local start date."""
    return "/".join((kind, *(escaped(str(name)) for name in names)))


def names_in(grant_id: str) -> list[str]:
    """Return the names that a period's grant is made of."""
    return [unescaped(name) for name in grant_id.split("/")]


def period_start_in(grant_id: str) -> date | None:
    """Read from the id of a period's grant the local date on which that period begins."""
    kind, *names = names_in(grant_id)
    return date.fromisoformat(names[-1]) if kind in _OF_A_PERIOD and names else None


def is_of_rule(grant_id: str) -> bool:
    """Say whether a standing grant yields this one."""
    return names_in(grant_id)[0] in _OF_A_RULE


def is_given_monthly(grant_id: str) -> bool:
    """Say whether this is one month's grant of what a person gives monthly."""
    return names_in(grant_id)[0] == MONTHLY
