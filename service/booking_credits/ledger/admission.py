"""Admission: whether a fact is news, a repetition, or contradicts what is on record.

The answer is given once, when the fact arrives, and stands from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from booking_credits.ledger.facts import BookingRevised, CreditsGranted, PlanRenewed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.ledger.facts import Fact

Admission: TypeAlias = Literal[
    "accepted", "duplicate", "revision_conflict", "grant_conflict", "renewal_conflict"
]


def admit(known: Iterable[Fact], fact: Fact) -> Admission:
    """Compare a fact with the facts on record for its subject."""
    known = tuple(known)
    if fact in known:
        return "duplicate"
    if isinstance(fact, BookingRevised):
        taken = {k.revision for k in known if isinstance(k, BookingRevised)}
        return "revision_conflict" if fact.revision in taken else "accepted"
    if isinstance(fact, CreditsGranted):
        return "grant_conflict" if known else "accepted"
    if isinstance(fact, PlanRenewed):
        return _admit_renewal([k for k in known if isinstance(k, PlanRenewed)], fact)
    return "accepted"


def _admit_renewal(known: list[PlanRenewed], fact: PlanRenewed) -> Admission:
    """A renewal is told apart by plan line and version; when it was sent says nothing.

    A plan line keeps its unit through all versions. A lower version than the one on record is
    accepted: it is a fact, and the higher one goes on deciding.
    """
    repeats = 0
    for allotment in fact.allotments:
        for earlier in known:
            for other in earlier.allotments:
                if other.plan_line != allotment.plan_line:
                    continue
                if other.unit != allotment.unit:
                    return "renewal_conflict"
                if earlier.version == fact.version:
                    if (other, earlier.period_end) != (allotment, fact.period_end):
                        return "renewal_conflict"
                    repeats += 1
    return "duplicate" if repeats >= len(fact.allotments) else "accepted"
