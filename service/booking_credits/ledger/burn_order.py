"""Burn order: which grants pay first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from booking_credits.ledger.grants import OPEN_END

if TYPE_CHECKING:
    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.facts import Scope
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.policies import GrantOrder, Policy
    from booking_credits.ledger.walk import Change

GrantKey: TypeAlias = tuple[object, ...]


def burn_key(grant: Grant, order: GrantOrder) -> GrantKey:
    """Return the key that sorts the grants of one unit into the order in which they pay."""
    narrowness = _narrowness(grant.scope)
    ends = (grant.to_at or OPEN_END, grant.rolls_at is None)
    first = (grant.priority, grant.quantity is not None)
    last = (grant.from_at, grant.grant_id)
    if order == "expiry_first":
        return (*first, *ends, *narrowness, grant.paid, *last)
    if order == "specific_first":
        return (*first, *narrowness, *ends, grant.paid, *last)
    return (*first, grant.paid, *ends, *narrowness, *last)


def _narrowness(scope: Scope) -> tuple[int, int]:
    dimensions = (scope.resources, scope.product_groups, scope.locations)
    for place, names in enumerate(dimensions):
        if names:
            return place, len(names)
    return len(dimensions), 0


class BurnOrder:
    """The grants of an account after a change, in the order in which they pay."""

    def __init__(self, record: AccountRecord, change: Change) -> None:
        """Sort nothing before it is asked for."""
        self._record = record
        self._change = change
        self._sorted: dict[tuple[str, GrantOrder], list[Grant]] = {}
        self._better: dict[str, frozenset[str]] = {}
        self._is_as_before = not any(
            record.grants.get(i) is None or record.grants[i].grant != grant
            for i, grant in change.grants.items()
        )

    def grants_in(self, unit: str, order: GrantOrder) -> list[Grant]:
        """Return the grants of a unit in the order in which they pay."""
        if self._is_as_before:
            return self._record.grants_in(unit, order)
        grants = self._sorted.get((unit, order))
        if grants is None:
            changed = self._change.grants
            known = (r.grant for i, r in self._record.grants.items() if i not in changed)
            of_unit = (grant for grant in (*known, *changed.values()) if grant.unit == unit)
            grants = sorted(of_unit, key=lambda grant: burn_key(grant, order))
            self._sorted[unit, order] = grants
        return grants

    def better_ids(self, grant: Grant) -> frozenset[str]:
        """List a grant and those that pay before it whichever of the account's policies holds."""
        known = self._better.get(grant.grant_id)
        if known is None:
            policies = self._change.timeline.policies
            ids = (self._ids_through(grant, policy) for policy in policies)
            known = self._better[grant.grant_id] = frozenset(set.intersection(*ids))
        return known

    def _ids_through(self, grant: Grant, policy: Policy) -> set[str]:
        book = self._change.timeline.book
        units = {record.grant.unit for record in self._record.grants.values()}
        place = book.unit_place(policy, grant.unit)
        grants = [
            other
            for unit in units
            if book.unit_place(policy, unit) < place
            for other in self.grants_in(unit, policy.grant_order)
        ]
        ids = {other.grant_id for other in grants}
        for other in self.grants_in(grant.unit, policy.grant_order):
            ids.add(other.grant_id)
            if other.grant_id == grant.grant_id:
                break
        return ids
