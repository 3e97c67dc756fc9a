"""Remnants: what is left of periods' grants that are no more, but for what closed lines took.

A renewal may take the place of what was allotted, and terms that arrive late may leave no room for
it. What closed lines took from it they keep: from the renewal's grant, or from a remnant.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from booking_credits.ledger.facts import Scope
from booking_credits.ledger.grant_ids import is_of_rule, names_in, period_start_in
from booking_credits.ledger.grants import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.closing import ClosedLine, ClosedTake
    from booking_credits.ledger.standing import StandingGrant


def grant_for(
    take: ClosedTake, find: Callable[[str], Grant | None], standing: Iterable[StandingGrant]
) -> Grant | None:
    """Return the grant of a closed take or, where a renewal took its place, that of the renewal."""
    grant = find(take.grant_id)
    if grant is None and is_of_rule(take.grant_id):
        replacement = replacement_of(take.grant_id, standing)
        grant = None if replacement is None else find(replacement)
    return grant if grant is not None and grant.unit == take.unit else None


def remnants(
    takes: Iterable[ClosedTake],
    find: Callable[[str], Grant | None],
    standing: Sequence[StandingGrant],
) -> dict[str, Grant]:
    """Return what is left of grants of periods that are no more but for what closed lines took."""
    return {
        take.grant_id: remnant(take.grant_id, take.unit)
        for take in takes
        if is_of_rule(take.grant_id) and grant_for(take, find, standing) is None
    }


def remnants_on_record(
    record: AccountRecord, gone: Iterable[str], grants: Mapping[str, Grant]
) -> dict[str, Grant]:
    """Return what is left of grants on record that a fact takes away, given those it brings."""
    left: dict[str, Grant] = {}
    for grant_id in gone:
        record.require_closed(record.grants[grant_id].grant.from_at)
        takes = record.closed_takes.get(grant_id, {}).values()
        left |= remnants(takes, grants.get, record.standing)
    return left


def remnants_not_known(record: AccountRecord, closed: Iterable[ClosedLine]) -> dict[str, Grant]:
    """Return what is left of grants that closed lines took from and nobody knows here yet."""
    grants = {grant_id: held.grant for grant_id, held in record.grants.items()}
    takes = [take for line in closed for take in line.takes]
    unknown = remnants(takes, grants.get, record.standing)
    if unknown:
        record.require_all()
    return unknown


def replacement_of(grant_id: str, standing: Iterable[StandingGrant]) -> str | None:
    """Name the grant of a renewal, if there is one, that takes the place of a period's grant."""
    *names, _ = names_in(grant_id)
    period_start = period_start_in(grant_id)
    rule = next((rule for rule in standing if list(rule.names) == names), None)
    given = rule.grant_on(period_start) if rule is not None and period_start else None
    return None if given is None else given.replaced_by


def remnant(grant_id: str, unit: str) -> Grant:
    """Return what is left of a period's grant that is no more: it pays for nothing further.

    It is there for what closed lines keep of it. Its window is empty, and ends no sooner than that
    period begins in any zone.
    """
    day = period_start_in(grant_id) or date.min
    ended_at = datetime.combine(day + timedelta(days=2), time.min, UTC)
    return Grant(grant_id, unit, 0, ended_at, ended_at, Scope(), 100, paid=False, source="plan")


def is_remnant(grant: Grant) -> bool:
    """Say whether no more is left of a period's grant than what closed lines keep of it."""
    return is_of_rule(grant.grant_id) and grant.from_at == grant.to_at
