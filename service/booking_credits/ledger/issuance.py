"""Issuance: which grants of standing grants a fact brings into being, and which it takes back.

`standing.grants_in_being` is the definition. Here a fact finds the few that it concerns: those
whose start an instant has reached, those into whose window a line moves or out of whose it moves,
and those that a renewal replaces. Whatever has begun stays, so that nothing is asked of the past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_credits.ledger.grant_ids import MONTHLY, period_grant_id
from booking_credits.ledger.remnants import is_remnant
from booking_credits.ledger.standing import falls_into

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.bookings import StandingLine
    from booking_credits.ledger.charges import LineKey
    from booking_credits.ledger.facts import GrantRemoved, PlanRenewed
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.standing import PeriodGrant


def begun_by(record: AccountRecord, instant: datetime) -> dict[str, Grant]:
    """Return the grants that begin by an instant and are not there yet."""
    begun = [
        given
        for rule in record.standing
        for given in rule.grants(record.present, instant)
        if not given.is_first
    ]
    return {g.grant.grant_id: g.grant for g in _asked_for(record, begun) if _is_missing(record, g)}


def follow_lines(
    record: AccountRecord, lines: Mapping[LineKey, StandingLine | None]
) -> tuple[dict[str, Grant], frozenset[str]]:
    """Return the grants that changed lines fall into, and the ids of those they leave empty."""
    if not record.standing:
        return {}, frozenset()
    left = {record.charges[key].line.starts_at for key in lines if key in record.charges}
    came = sorted({standing.line.starts_at for standing in lines.values() if standing is not None})
    present = record.present
    moved = sorted(s for s in left.symmetric_difference(came) if present is None or s > present)
    if not moved:
        return {}, frozenset()
    concerned = [
        given
        for rule in record.standing
        for given in rule.grants(present, moved[-1])
        if not given.is_first and falls_into(given.grant, moved)
    ]
    brought: dict[str, Grant] = {}
    emptied: set[str] = set()
    for given in _asked_for(record, concerned):
        grant = given.grant
        if falls_into(grant, came):
            if _is_missing(record, given):
                brought[grant.grant_id] = grant
        elif grant.grant_id in record.grants and not record.has_line_in(grant, lines):
            emptied.add(grant.grant_id)
    return brought, frozenset(emptied)


def replaced_by(record: AccountRecord, fact: PlanRenewed, ids: Container[str]) -> frozenset[str]:
    """Return the ids of the grants that give way to those of a renewal."""
    of_period = (rule.grant_on(fact.period_start) for rule in record.standing)
    replaced = [given for given in of_period if given is not None and given.replaced_by in ids]
    replaced_ids = {given.grant.grant_id for given in _asked_for(record, replaced)}
    return frozenset(replaced_ids & record.grants.keys())


def grants_removed_by(record: AccountRecord, fact: GrantRemoved) -> list[str]:
    """List the grants that are there and that a removal is about.

    One that names a standing grant is about that of the running period and, unless it is of a
    quantity, about all later ones.
    """
    rule = next((r for r in record.standing if r.names == (MONTHLY, fact.grant_id)), None)
    if rule is None:
        return [fact.grant_id] if fact.grant_id in record.grants else []
    record.require_grants(fact.occurred_at)
    begins = period_grant_id(*rule.names) + "/"
    running = period_grant_id(*rule.names, rule.calendar.period_at(fact.occurred_at).start_date)
    return [
        grant_id
        for grant_id in sorted(record.grants)
        if grant_id == running
        or (fact.quantity is None and grant_id.startswith(begins) and grant_id > running)
    ]


def _asked_for(record: AccountRecord, given: list[PeriodGrant]) -> list[PeriodGrant]:
    """See to it that the record knows whether the grants of these periods are there."""
    if given:
        record.require_grants(min(one.period_start for one in given))
    return given


def _is_missing(record: AccountRecord, given: PeriodGrant) -> bool:
    if given.replaced_by in record.grants:
        return False
    known = record.grants.get(given.grant.grant_id)
    return known is None or is_remnant(known.grant)
