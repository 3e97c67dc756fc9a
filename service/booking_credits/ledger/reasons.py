"""Reasons: why a grant did not pay what is uncovered of a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from booking_credits.ledger.grants import OPEN_END

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.facts import Line
    from booking_credits.ledger.grants import Grant

# In their precedence.
Reason: TypeAlias = Literal[
    "no_grant",
    "unit_mismatch",
    "out_of_scope",
    "pending_approval",
    "not_yet_valid",
    "expired",
    "removed",
    "exhausted",
]
PRECEDENCE: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason and the grants that were refused for it, by id."""

    reason: Reason
    grant_ids: tuple[str, ...]


def refusals(standing: StandingLine, grants: Iterable[Grant]) -> tuple[Refusal, ...]:
    """Give every reason why a line stayed uncovered, in their precedence.

    Considered are the grants whose window contains the line's start, the one that ended last
    before it and the one that begins first after it: older and later ones add nothing.
    """
    by_reason: dict[Reason, list[str]] = {}
    for grant in _nearest(standing.line, grants):
        by_reason.setdefault(_reason(standing, grant), []).append(grant.grant_id)
    if not by_reason:
        return (Refusal("no_grant", ()),)
    return tuple(
        Refusal(reason, tuple(sorted(by_reason[reason])))
        for reason in PRECEDENCE
        if reason in by_reason
    )


def _nearest(line: Line, grants: Iterable[Grant]) -> list[Grant]:
    considered: list[Grant] = []
    ended: list[Grant] = []
    to_come: list[Grant] = []
    for grant in grants:
        if grant.is_valid_at(line.starts_at):
            considered.append(grant)
        elif grant.to_at is not None and grant.to_at <= line.starts_at:
            ended.append(grant)
        else:
            to_come.append(grant)
    if ended:
        considered.append(max(ended, key=lambda grant: (grant.to_at or OPEN_END, grant.grant_id)))
    if to_come:
        considered.append(min(to_come, key=lambda grant: (grant.from_at, grant.grant_id)))
    return considered


def _reason(standing: StandingLine, grant: Grant) -> Reason:
    line = standing.line
    if not any(unit == grant.unit and cost > 0 for unit, cost in line.costs):
        return "unit_mismatch"
    if not grant.scope.contains(line):
        return "out_of_scope"
    if grant.pending:
        return "pending_approval"
    if line.starts_at < grant.from_at:
        return "not_yet_valid"
    if not grant.is_valid_at(line.starts_at):
        return "expired"
    return "removed" if grant.removed_by(standing.booked_at) else "exhausted"
