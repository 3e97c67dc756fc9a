"""Policies: the rules of a location, and the book that holds them all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from booking_credits.ledger.currencies import minor_decimals

if TYPE_CHECKING:
    from datetime import date, datetime

    from booking_credits.ledger.facts import Channel, Cycle, Fallback, Line, Money

DrawOn: TypeAlias = Literal["booking", "start", "completion"]
UnitKind: TypeAlias = Literal["money", "time", "count"]
Rhythm: TypeAlias = Literal["cycle", "month"]
GrantOrder: TypeAlias = Literal["expiry_first", "specific_first", "paid_last"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What is counted; its smallest step is 10 to the power of minus `scale`.

    `worth` says by currency what one of a money kind is worth, in the currency's minor unit; in a
    currency that it does not name, one is worth 1.
    """

    name: str
    kind: UnitKind
    scale: int
    worth: tuple[tuple[str, int], ...] = ()

    def cost_of(self, price: Money) -> int:
        """Return what a price comes to in steps of this money unit, rounded up."""
        worth = dict(self.worth).get(price.currency, 10 ** minor_decimals(price.currency))
        steps: int = -(-price.amount_minor * 10**self.scale // worth)
        return steps


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a location or organisation, as in force from `from_at` (None: ever).

    `channel` is the ordinary way to pay what is owed, `shortfall` what becomes of what credits
    leave uncovered where a booking says nothing of it (None: it is paid the ordinary way),
    `issue` how often an account's allotments are issued, `removal_in_use` whether a grant that
    bookings use can be taken back.
    """

    name: str
    from_at: datetime | None
    draw_on: DrawOn
    unit_order: tuple[UnitKind, ...]
    grant_order: GrantOrder
    overage_due: Literal["start", "cycle_end"]
    channel: Channel
    one_time_months: int | None
    excluded_product_groups: frozenset[str]
    discounts_combine: bool
    expiry_notice_days: int | None = None
    close_grace_hours: int = 72
    shortfall: Fallback | None = None
    issue: Rhythm = "cycle"
    removal_in_use: Literal["keep", "refuse"] = "keep"

    @property
    def charges_in_booking_order(self) -> bool:
        """Whether charges come in the order of booking rather than of service time."""
        return self.draw_on == "booking"

    def admits(self, line: Line) -> bool:
        """Say whether credits may pay this line at all."""
        return (
            bool(line.costs)
            and line.payable_by_credits
            and not line.online_plan
            and (self.discounts_combine or not line.discounted)
            and line.product_group not in self.excluded_product_groups
        )


@dataclass(frozen=True, slots=True)
class DefaultTerms:
    """What an account lives by that no one has opened."""

    policy: str
    zone: str
    cycle: Cycle
    anchor_date: date


@dataclass(frozen=True)
class PolicyBook:
    """Every unit and policy; the versions of one policy are sorted by `from_at`."""

    units: dict[str, Unit]
    policies: dict[str, tuple[Policy, ...]]
    locations: dict[str, str]
    default: DefaultTerms

    def units_in_order(self, policy: Policy, costs: tuple[tuple[str, int], ...]) -> list[str]:
        """List the units with a positive cost, in the order in which they pay."""
        positive = [unit for unit, cost in costs if cost > 0]
        if len(positive) > 1:
            positive.sort(key=self._places[policy.unit_order].__getitem__)
        return positive

    def unit_place(self, policy: Policy, unit: str) -> tuple[int, str]:
        """Return the place of a unit in the order in which a policy's units pay."""
        return self._places[policy.unit_order][unit]

    @cached_property
    def _places(self) -> dict[tuple[UnitKind, ...], dict[str, tuple[int, str]]]:
        """Give every unit's place in every order, worked out once for the lines of all accounts."""
        orders = {policy.unit_order for versions in self.policies.values() for policy in versions}
        return {
            order: {name: (order.index(unit.kind), name) for name, unit in self.units.items()}
            for order in orders
        }

    def policy_name_of(self, location: str | None) -> str | None:
        """Name the policy of a location that has one of its own."""
        return None if location is None else self.locations.get(location)

    def location_policy(self, location: str | None, at: datetime) -> Policy | None:
        """Find the policy of a location that has one of its own."""
        name = self.policy_name_of(location)
        return None if name is None else self.policy_at(name, at)

    def policy_at(self, name: str, at: datetime) -> Policy:
        """Find the version of a policy that is in force at an instant."""
        versions = self.policies[name]
        for policy in reversed(versions):
            if policy.from_at is None or policy.from_at <= at:
                return policy
        return versions[0]
