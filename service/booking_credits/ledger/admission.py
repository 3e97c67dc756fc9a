"""Admission: whether a fact is news, a repetition, or contradicts what is on record.

The answer is given once, when the fact arrives, and stands from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from booking_credits.ledger.facts import (
    BookingRevised,
    CreditsGranted,
    PackApproved,
    PackPurchased,
    PeriodClosed,
    PlanRenewed,
    TimePassed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.ledger.allotments import Allotment
    from booking_credits.ledger.facts import Fact

Admission: TypeAlias = Literal[
    "accepted", "duplicate", "revision_conflict", "grant_conflict", "renewal_conflict"
]


_TOLD_IN_ORDER = (TimePassed, PeriodClosed)
_ISSUING = (CreditsGranted, PackPurchased, PackApproved)


def admit(known: Iterable[Fact], fact: Fact) -> Admission:
    """Compare a fact with the facts on record for its subject.

    An instant that is not later than every one that passed before repeats what has happened; of
    the clock's facts it is enough to know the latest.
    """
    known = tuple(known)
    if fact in known:
        return "duplicate"
    if isinstance(fact, _TOLD_IN_ORDER):
        return "duplicate" if any(_reaches(k, fact) for k in known) else "accepted"
    if isinstance(fact, BookingRevised):
        taken = {k.revision for k in known if isinstance(k, BookingRevised)}
        return "revision_conflict" if fact.revision in taken else "accepted"
    if isinstance(fact, _ISSUING):
        return _admit_grant(known, fact)
    if isinstance(fact, PlanRenewed):
        return _admit_renewal([k for k in known if isinstance(k, PlanRenewed)], fact)
    return "accepted"


def _admit_grant(
    known: Iterable[Fact], fact: CreditsGranted | PackPurchased | PackApproved
) -> Admission:
    """A grant is issued once, by hand or as a pack, and a pack that is approved stays so."""
    if isinstance(fact, PackApproved):
        return "duplicate" if any(isinstance(k, PackApproved) for k in known) else "accepted"
    issued = any(isinstance(k, CreditsGranted | PackPurchased) for k in known)
    return "grant_conflict" if issued else "accepted"


def _reaches(known: Fact, fact: TimePassed | PeriodClosed) -> bool:
    """Say whether what passed or was closed before goes as far.

    A closing that lists its lines is told again, in whatever order.
    """
    if isinstance(fact, PeriodClosed):
        if fact.lines is not None:
            return isinstance(known, PeriodClosed) and known.ends_at == fact.ends_at
        return isinstance(known, PeriodClosed) and known.ends_at >= fact.ends_at
    return known.occurred_at >= fact.occurred_at


def _admit_renewal(known: list[PlanRenewed], fact: PlanRenewed) -> Admission:
    """A renewal is told apart by plan line and version; when it was sent says nothing.

    A plan line keeps its unit through all versions. A lower version than the one on record is
    accepted: it is a fact, and the higher one goes on deciding.
    """
    verdicts = [_admit_allotment(known, fact, allotment) for allotment in fact.allotments]
    if "renewal_conflict" in verdicts:
        return "renewal_conflict"
    return "accepted" if "accepted" in verdicts else "duplicate"


def _admit_allotment(
    known: Iterable[PlanRenewed], fact: PlanRenewed, allotment: Allotment
) -> Admission:
    same_line = [(k, a) for k in known for a in k.allotments if a.plan_line == allotment.plan_line]
    if any(other.unit != allotment.unit for _, other in same_line):
        return "renewal_conflict"
    stated = {(a, k.period_end) for k, a in same_line if k.version == fact.version}
    if not stated:
        return "accepted"
    return "duplicate" if stated == {(allotment, fact.period_end)} else "renewal_conflict"
