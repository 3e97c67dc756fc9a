"""Notices: what expires soon is announced, once, as the clock passes the instant for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from booking_credits.ledger.announcements import CreditsExpiring
from booking_credits.ledger.calendars import days_before
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


def notice_at(grant: Grant, timeline: Timeline) -> datetime | None:
    """Return when a grant's end is to be announced, by the policy in force at its last moment."""
    if grant.to_at is None or grant.quantity is None:
        return None
    last = max(grant.from_at, grant.to_at - _LAST_MOMENT)
    days = timeline.policy_at(last).expiry_notice_days
    if days is None:
        return None
    return days_before(grant.to_at, days, timeline.period_at(last).zone)


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
        grant, available = known.grant, known.buckets.available
        if not available or grant.to_at is None or grant.to_at <= noticed_at:
            continue
        at = notice_at(grant, record.timeline)
        if at is not None and _passes(at, record.present, fact.occurred_at):
            yield CreditsExpiring(grant_id, grant.unit, available, grant.to_at)


def _passes(instant: datetime, before: datetime | None, after: datetime) -> bool:
    return (before is None or before < instant) and instant <= after
