"""Obligations: what is owed in cash for uncovered parts, as revisions of a stable identity."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from booking_credits.ledger.announcements import Obligation, ObligationKey, OverageStatus
from booking_credits.ledger.charges import owed_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.charges import Charge, LineKey

Revised: TypeAlias = tuple[Obligation, OverageStatus, int]


def revise_obligations(
    on_record: Mapping[LineKey, tuple[Obligation, ...]],
    charges: Mapping[LineKey, Charge | None],
    timeline: Timeline,
    present: datetime | None,
) -> tuple[dict[LineKey, tuple[Obligation, ...]], list[Revised]]:
    """Return the lines' obligations where they changed, and each revision with its change.

    A charge owes under one identity at a time: what it owed under another is reversed there.
    """
    obligations: dict[LineKey, tuple[Obligation, ...]] = {}
    revised: list[Revised] = []
    for key, charge in sorted(charges.items()):
        before = on_record.get(key, ())
        wanted = None if charge is None else _wanted(charge, timeline, present)
        steps = [*_reverse(before, wanted), *_open(before, wanted)]
        if steps:
            fresh = {obligation.key: obligation for obligation, _, _ in steps}
            kept = tuple(fresh.pop(o.key, o) for o in before)
            obligations[key] = (*kept, *fresh.values())
            revised.extend(steps)
    return obligations, revised


def _wanted(charge: Charge, timeline: Timeline, present: datetime | None) -> Obligation | None:
    owed = owed_for(charge, timeline, present)
    if owed is None:
        return None
    booking_id, line_no = charge.key
    key = ObligationKey(booking_id, line_no, owed.period_start, owed.currency, owed.channel)
    starts_at, ends_at = charge.line.starts_at, charge.line.ends_at
    return Obligation(
        key, owed.period_end, owed.zone, 1, owed.total_minor, True, starts_at, ends_at
    )


def _reverse(before: Iterable[Obligation], wanted: Obligation | None) -> list[Revised]:
    reversals: list[Revised] = []
    for obligation in before:
        if obligation.is_open and (wanted is None or obligation.key != wanted.key):
            closed = replace(
                obligation, revision=obligation.revision + 1, total_minor=0, is_open=False
            )
            reversals.append((closed, "reversed", -obligation.total_minor))
    return reversals


def _open(before: Iterable[Obligation], wanted: Obligation | None) -> list[Revised]:
    if wanted is None:
        return []
    known = next((o for o in before if o.key == wanted.key), None)
    if known is None:
        status: OverageStatus = "unpriced" if wanted.key.currency is None else "detected"
        return [(wanted, status, wanted.total_minor)]
    if known == replace(wanted, revision=known.revision):
        return []
    revision = replace(wanted, revision=known.revision + 1)
    status = "unpriced" if wanted.key.currency is None else "adjusted"
    return [(revision, status, wanted.total_minor - known.total_minor)]
