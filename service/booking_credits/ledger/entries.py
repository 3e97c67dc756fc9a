"""Entries: the one place where the difference between two coverages becomes ledger entries."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from booking_credits.ledger.buckets import Bucket, Buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.grants import Grant


@dataclass(frozen=True, slots=True)
class Entry:
    """A quantity of a grant moved from one bucket to another, for a line or for none."""

    grant_id: str
    source: Bucket
    target: Bucket
    quantity: int
    line_key: LineKey | None


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """A grant as the ledger has it, with its buckets.

    `rolled` is what lines take of the cap of a grant that rolls over; without a cap it is 0.
    """

    grant: Grant
    buckets: Buckets
    rolled: int = 0

    @property
    def has_rest(self) -> bool:
        """Whether time can change where a rest lies; what was removed may yet be beyond a cap."""
        is_removed = self.buckets.removed and self.grant.roll_cap is not None
        return bool(self.buckets.available or is_removed)


@dataclass(frozen=True, slots=True)
class _Change:
    """What one line takes of one grant before and after, and in which bucket."""

    line_key: LineKey
    quantity_before: int
    bucket_before: Bucket
    quantity_after: int
    bucket_after: Bucket


class LedgerFault(Exception):
    """The ledger contradicts itself; nothing may be written."""


def difference(
    charges: tuple[Mapping[LineKey, Charge | None], Mapping[LineKey, Charge | None]],
    records: Mapping[str, GrantRecord],
    grants: Mapping[str, Grant],
    present: tuple[datetime | None, datetime | None],
) -> tuple[list[Entry], dict[str, GrantRecord]]:
    """Return the entries that lead from one coverage to the other, and the grants after them.

    `charges` and `present` are pairs of before and after. `records` are the grants before,
    `grants` gives every grant that the difference concerns as it now reads.
    """
    changes = _changes(*charges)
    entries: list[Entry] = []
    after: dict[str, GrantRecord] = {}
    for grant_id in sorted(grants):
        grant, record = grants[grant_id], records.get(grant_id)
        rolled = _rolled(grant, record, *charges) if grant.roll_cap is not None else 0
        made = _Shifts(grant, record, changes.get(grant_id, ()), present, rolled).entries()
        buckets = _fold(record, made)
        if not buckets.holds:
            msg = f"the buckets of grant {grant_id} do not sum up"
            raise LedgerFault(msg)
        after[grant_id] = GrantRecord(grant, buckets, rolled)
        entries.extend(made)
    return entries, after


def rest_bucket(grant: Grant, present: datetime | None) -> Bucket:
    """Say where a grant keeps what no charge has taken; an unlimited one has no rest."""
    if grant.quantity is None:
        return "granted"
    return "expired" if grant.has_ended(present) else "available"


def split_rest(
    grant: Grant, taken: int, rolled: int, present: datetime | None
) -> dict[Bucket, int]:
    """Say where what no charge has taken lies; an unlimited grant has nothing of the kind.

    What was removed is gone first; then all expires but a cap, of which may be removed too.
    Closed lines may keep more than there is by now: then nothing is left.
    """
    rest = 0 if grant.issued is None else max(0, grant.issued - taken)
    removed = min(grant.removed, rest)
    usable = rest - removed
    if grant.roll_cap is not None and grant.has_rolled(present):
        before = grant.removed_before(grant.rolls_at)
        removed = min(before, rest)
        within_cap = max(0, min(rest - removed, grant.roll_cap - rolled))
        usable = within_cap - min(grant.removed - before, within_cap)
        removed += within_cap - usable
    if grant.has_ended(present):
        usable = 0
    return {"available": usable, "expired": rest - removed - usable, "removed": removed}


def _rolled(
    grant: Grant,
    record: GrantRecord | None,
    before: Mapping[LineKey, Charge | None],
    after: Mapping[LineKey, Charge | None],
) -> int:
    """Sum up what lines take of a cap; where it is new or begins otherwise, all were covered."""
    rolled = sum(_taken_of_cap(grant, charge) for charge in after.values())
    if record is None or record.grant.roll_cap is None or record.grant.rolls_at != grant.rolls_at:
        return rolled
    return record.rolled + rolled - sum(_taken_of_cap(grant, before.get(key)) for key in after)


def _taken_of_cap(grant: Grant, charge: Charge | None) -> int:
    if charge is None or not grant.rolls_over_to(charge.line):
        return 0
    return _taken(charge).get(grant.grant_id, 0)


def _changes(
    before: Mapping[LineKey, Charge | None], after: Mapping[LineKey, Charge | None]
) -> dict[str, list[_Change]]:
    changes: dict[str, list[_Change]] = {}
    for key in sorted(after):
        old, new = before.get(key), after[key]
        if old and new and old.coverage is new.coverage and old.drawn == new.drawn:
            continue
        taken_before, taken_after = _taken(old), _taken(new)
        from_bucket, to_bucket = _bucket(old), _bucket(new)
        if taken_before == taken_after and from_bucket == to_bucket:
            continue
        for grant_id in sorted({**taken_before, **taken_after}):
            released, taken = taken_before.get(grant_id, 0), taken_after.get(grant_id, 0)
            change = _Change(key, released, from_bucket, taken, to_bucket)
            changes.setdefault(grant_id, []).append(change)
    return changes


def _taken(charge: Charge | None) -> dict[str, int]:
    if charge is None:
        return {}
    return {take.grant_id: take.quantity for take in charge.coverage.takes}


def _bucket(charge: Charge | None) -> Bucket:
    return "drawn" if charge is not None and charge.drawn else "held"


class _Shifts:
    """What goes from bucket to bucket of one grant.

    First is given back, then the rest is shifted to where it lies by now, then is taken. In this
    order no bucket is negative in between.
    """

    def __init__(
        self,
        grant: Grant,
        record: GrantRecord | None,
        changes: Sequence[_Change],
        present: tuple[datetime | None, datetime | None],
        rolled: int,
    ) -> None:
        self._grant = grant
        self._changes = changes
        self._made: list[Entry] = []
        self._rest_after = rest_bucket(grant, present[1])
        before = self._rest_after if record is None else rest_bucket(record.grant, present[0])
        self._rest_before = before
        buckets = Buckets() if record is None else record.buckets
        taken = buckets.held + buckets.drawn
        for change in changes:
            taken += change.quantity_after - change.quantity_before
        self._wanted = split_rest(grant, taken, rolled, present[1])
        self._lies: dict[Bucket, int] = {
            "available": buckets.available,
            "expired": buckets.expired,
            "removed": buckets.removed,
        }

    def entries(self) -> list[Entry]:
        """Make the entries."""
        for change in self._changes:
            self._give_back(change)
        self._shift_rest()
        for change in self._changes:
            self._take(change)
        return self._made

    def _give_back(self, change: _Change) -> None:
        """Return to where the rest lay; an unlimited grant keeps none."""
        released = change.quantity_before - change.quantity_after
        if released > 0:
            if self._rest_before != "granted":
                self._lies[self._rest_before] += released
            self._enter(change.bucket_before, self._rest_before, released, change.line_key)

    def _shift_rest(self) -> None:
        """Shift the rest, and what is about to be taken of it; the outside makes up the balance."""
        wanted = self._wanted
        if self._rest_after != "granted":
            for change in self._changes:
                wanted[self._rest_after] += _gain(change)
        if wanted == self._lies:
            return
        over: dict[Bucket, int] = {name: have - wanted[name] for name, have in self._lies.items()}
        over["granted"] = -sum(over.values())
        for source, target in product(over, over):
            quantity = min(over[source], -over[target])
            if quantity > 0:
                over[source] -= quantity
                over[target] += quantity
                self._enter(source, target, quantity, None)

    def _take(self, change: _Change) -> None:
        both = min(change.quantity_before, change.quantity_after)
        self._enter(change.bucket_before, change.bucket_after, both, change.line_key)
        self._enter(self._rest_after, change.bucket_after, _gain(change), change.line_key)

    def _enter(
        self, source: Bucket, target: Bucket, quantity: int, line_key: LineKey | None
    ) -> None:
        """Make the entry of what goes from one bucket to another, if anything does."""
        if quantity > 0 and source != target:
            self._made.append(Entry(self._grant.grant_id, source, target, quantity, line_key))


def _gain(change: _Change) -> int:
    return max(0, change.quantity_after - change.quantity_before)


def _fold(before: GrantRecord | None, entries: Iterable[Entry]) -> Buckets:
    buckets = Buckets() if before is None else before.buckets
    return buckets.after((entry.source, entry.target, entry.quantity) for entry in entries)
