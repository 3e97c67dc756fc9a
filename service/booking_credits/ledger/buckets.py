"""Buckets: where the quantity of a grant, or of all grants of a unit, is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Bucket: TypeAlias = Literal["granted", "available", "held", "drawn", "expired", "removed"]
BUCKETS: tuple[Bucket, ...] = ("granted", "available", "held", "drawn", "expired", "removed")
_PLACES = {name: place for place, name in enumerate(BUCKETS)}


@dataclass(frozen=True, slots=True)
class Buckets:
    """Quantities in steps; `granted` is the sum of the others and none is negative."""

    granted: int = 0
    available: int = 0
    held: int = 0
    drawn: int = 0
    expired: int = 0
    removed: int = 0

    def after(self, moves: Iterable[tuple[Bucket, Bucket, int]]) -> Buckets:
        """Move quantities; `granted` is the outside, so leaving it grants that much more."""
        outside = -self.granted
        amounts = [outside, self.available, self.held, self.drawn, self.expired, self.removed]
        for source, target, quantity in moves:
            amounts[_PLACES[source]] -= quantity
            amounts[_PLACES[target]] += quantity
        return Buckets(-amounts[0], *amounts[1:])

    @property
    def rest(self) -> int:
        """What no charge has taken."""
        return self.available + self.expired + self.removed

    @property
    def holds(self) -> bool:
        """Whether the parts sum to what was granted and none is negative."""
        parts = (self.available, self.held, self.drawn, self.expired, self.removed)
        return self.granted == sum(parts) and min(parts) >= 0
