"""Subjects: what a fact is about, by name."""

from __future__ import annotations

ACCOUNT_SUBJECT = "account"
CLOCK_SUBJECT = "clock"
CLOSING_SUBJECT = "closing"


def booking_subject(booking_id: str) -> str:
    """Name the subject of a booking's facts."""
    return f"booking/{booking_id}"


def grant_subject(grant_id: str) -> str:
    """Name the subject of a grant's facts; a period's grants share that of what yields them."""
    match grant_id.split("/"):
        case ["plan", plan, _, period_start]:
            return f"plan/{plan}/{period_start}"
        case ["standing", name, _]:
            return f"grant/{unescaped(name)}"
        case ["allotment" | "opening", *_]:
            return ACCOUNT_SUBJECT
        case _:
            return f"grant/{grant_id}"


def escaped(name: str) -> str:
    """Escape the separator, so that no two names joined by it are the same."""
    return name.replace("%", "%25").replace("/", "%2F")


def unescaped(name: str) -> str:
    """Read a name as it was before it was escaped."""
    return name.replace("%2F", "/").replace("%25", "%")
