"""Due: the instants at which time will change something that a fact has just changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord, Outcome


def due_instants(record: AccountRecord, outcome: Outcome) -> Iterator[datetime]:
    """Yield when the clock must post, as far as an outcome makes that another instant.

    The record is the one before the outcome. An instant may come twice, or have passed already.
    """
    for key, charge in outcome.charges.items():
        before = record.charges.get(key)
        due_at = None if charge is None else charge.due_at
        if due_at is not None and (before is None or before.due_at != due_at):
            yield due_at
    for grant_id, after in outcome.grants.items():
        known = record.grants.get(grant_id)
        ends_at = after.grant.to_at
        is_news = known is None or known.grant.to_at != ends_at
        if ends_at is not None and is_news and not after.grant.has_ended(outcome.present):
            yield ends_at
