"""Due: the instants at which time will change something that a fact has just changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_credits.ledger.notices import notices_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.grants import Grant
    from booking_credits.ledger.outcomes import Outcome


def due_instants(record: AccountRecord, outcome: Outcome) -> Iterator[datetime]:
    """Yield when the clock must post, as far as an outcome makes that another instant.

    The record is the one before the outcome. An instant may come twice, or have passed already.
    """
    if outcome.next_start is not None:
        yield outcome.next_start
    for key, charge in outcome.charges.items():
        before = record.charges.get(key)
        due_at = None if charge is None else charge.due_at
        if due_at is not None and (before is None or before.due_at != due_at):
            yield due_at
    for instant in _instants_of_grants(record, outcome):
        if outcome.present is None or outcome.present < instant:
            yield instant


def _instants_of_grants(record: AccountRecord, outcome: Outcome) -> Iterator[datetime]:
    """Yield when grants end, and when that is announced, where either is news."""
    same_terms = outcome.timeline is record.timeline
    after = outcome.grants if same_terms else {**record.grants, **outcome.grants}
    for grant_id, now in after.items():
        known = record.grants.get(grant_id)
        if grant_id in outcome.gone or (same_terms and known and known.grant is now.grant):
            continue
        before = () if known is None else _instants_of(known.grant, record.timeline)
        yield from (i for i in _instants_of(now.grant, outcome.timeline) if i not in before)


def _instants_of(grant: Grant, timeline: Timeline) -> tuple[datetime, ...]:
    return (*grant.changes_at, *notices_at(grant, timeline).values())
