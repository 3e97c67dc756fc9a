"""Entries: the one place where the difference between two coverages becomes ledger entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from booking_credits.ledger.buckets import Bucket, Buckets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
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
    """A grant as the ledger has it, with its buckets."""

    grant: Grant
    buckets: Buckets


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
        made = _entries_of(grant, record, changes.get(grant_id, ()), present)
        buckets = _fold(record, made)
        if not buckets.holds:
            msg = f"the buckets of grant {grant_id} do not sum up"
            raise LedgerFault(msg)
        after[grant_id] = GrantRecord(grant, buckets)
        entries.extend(made)
    return entries, after


def rest_bucket(grant: Grant, present: datetime | None) -> Bucket:
    """Say where a grant keeps what no charge has taken; an unlimited one has no rest."""
    if grant.quantity is None:
        return "granted"
    return "expired" if grant.has_ended(present) else "available"


def _changes(
    before: Mapping[LineKey, Charge | None], after: Mapping[LineKey, Charge | None]
) -> dict[str, list[_Change]]:
    changes: dict[str, list[_Change]] = {}
    for key in sorted(after):
        old, new = before.get(key), after[key]
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


def _entries_of(
    grant: Grant,
    record: GrantRecord | None,
    changes: Iterable[_Change],
    present: tuple[datetime | None, datetime | None],
) -> list[Entry]:
    """Give back first, then change what was granted or where the rest lies, then take.

    In this order no bucket is negative in between.
    """
    rest_after = rest_bucket(grant, present[1])
    rest_before = rest_after if record is None else rest_bucket(record.grant, present[0])
    rest = 0 if record is None else record.buckets.rest
    kept = 0 if record is None else record.buckets.held + record.buckets.drawn
    made: list[Entry] = []
    for change in changes:
        released = change.quantity_before - change.quantity_after
        if released > 0:
            kept -= released
            rest += 0 if rest_before == "granted" else released
            _enter(made, grant, (change.bucket_before, rest_before), released, change.line_key)
    _restock(made, grant, (rest_before, rest_after), rest, kept)
    for change in changes:
        both = min(change.quantity_before, change.quantity_after)
        _enter(made, grant, (change.bucket_before, change.bucket_after), both, change.line_key)
        taken = change.quantity_after - change.quantity_before
        _enter(made, grant, (rest_after, change.bucket_after), taken, change.line_key)
    return made


def _restock(
    made: list[Entry], grant: Grant, rest_buckets: tuple[Bucket, Bucket], rest: int, kept: int
) -> None:
    """Bring the rest into its new bucket and to the quantity that the grant now has."""
    _enter(made, grant, rest_buckets, rest, None)
    if grant.issued is None:
        return
    wanted, rest_after = grant.issued - kept, rest_buckets[1]
    _enter(made, grant, ("granted", rest_after), wanted - rest, None)
    _enter(made, grant, (rest_after, "granted"), rest - wanted, None)


def _enter(
    made: list[Entry],
    grant: Grant,
    way: tuple[Bucket, Bucket],
    quantity: int,
    line_key: LineKey | None,
) -> None:
    """Make the entry of what moves on a way from one bucket to another, if anything does."""
    if quantity > 0 and way[0] != way[1]:
        made.append(Entry(grant.grant_id, *way, quantity, line_key))


def _fold(before: GrantRecord | None, entries: Iterable[Entry]) -> Buckets:
    buckets = Buckets() if before is None else before.buckets
    return buckets.after((entry.source, entry.target, entry.quantity) for entry in entries)
