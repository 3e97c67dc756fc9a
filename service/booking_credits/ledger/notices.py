"""Notices: what expires soon is announced, once, as the clock passes the instant for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from booking_credits.ledger.announcements import CreditsExpiring
from booking_credits.ledger.calendars import days_before
from booking_credits.ledger.entries import split_rest
from booking_credits.ledger.facts import TimePassed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.entries import GrantRecord
    from booking_credits.ledger.facts import Fact
    from booking_credits.ledger.grants import Grant

_LAST_MOMENT = timedelta(microseconds=1)
# A local day is longer where clocks go back or a zone changes.
_SLACK = timedelta(days=2)


def notices_at(grant: Grant, timeline: Timeline) -> dict[datetime, datetime]:
    """Return when it is to be announced that something of a grant expires, by when it does so.

    That is by the policy in force at the last moment before.
    """
    if grant.quantity is None:
        return {}
    found = {end: _notice_at(grant, end, timeline) for end in grant.changes_at}
    return {end: at for end, at in found.items() if at is not None}


def _notice_at(grant: Grant, end: datetime, timeline: Timeline) -> datetime | None:
    last = max(grant.from_at, end - _LAST_MOMENT)
    days = timeline.policy_at(last).expiry_notice_days
    return None if days is None else days_before(end, days, timeline.period_at(last).zone)


def furthest_end(instant: datetime, timeline: Timeline) -> datetime:
    """Return the latest end that a notice at an instant may announce."""
    days = [policy.expiry_notice_days for policy in timeline.policies]
    longest = max((number for number in days if number is not None), default=None)
    return instant if longest is None else instant + timedelta(days=longest) + _SLACK


def expiring(
    record: AccountRecord, fact: Fact, changed: Mapping[str, GrantRecord]
) -> Iterator[CreditsExpiring]:
    """Yield what an instant that passes makes known of grants that end soon.

    `changed` are the grants as the instant leaves them. One whose end has passed by the time that
    the clock gets to it is announced no more.
    """
    if not isinstance(fact, TimePassed):
        return
    noticed_at = fact.noticed_at or fact.occurred_at
    for grant_id in sorted(record.grants):
        known = changed.get(grant_id, record.grants[grant_id])
        for end, at in notices_at(known.grant, record.timeline).items():
            if end > noticed_at and _passes(at, record.present, fact.occurred_at):
                quantity = _lost_at(end, known)
                if quantity:
                    yield CreditsExpiring(grant_id, known.grant.unit, quantity, end)


def _lost_at(end: datetime, known: GrantRecord) -> int:
    """Say how much expires at an end, if nobody takes any more before."""
    grant, buckets = known.grant, known.buckets
    rolls_at = grant.rolls_at if grant.roll_cap is not None else None
    if rolls_at is None:
        return buckets.available
    kept = split_rest(grant, buckets.held + buckets.drawn, known.rolled, rolls_at)["available"]
    return buckets.available - kept if end == rolls_at else kept


def _passes(instant: datetime, before: datetime | None, after: datetime) -> bool:
    return (before is None or before < instant) and instant <= after
