"""Answers: whether what is asked for is done.

An answer is given once, when the question arrives, by what is on record then. From there on it is
part of the fact, and whatever comes later reads it and does not ask again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from booking_credits.ledger.announcements import CoverageDecided
from booking_credits.ledger.charges import NOTHING, fallback_of
from booking_credits.ledger.facts import ANSWERED_FACTS
from booking_credits.ledger.issuance import grants_removed_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booking_credits.ledger.account import AccountRecord
    from booking_credits.ledger.announcements import DecidedLine
    from booking_credits.ledger.calendars import Timeline
    from booking_credits.ledger.charges import Charge, LineKey
    from booking_credits.ledger.facts import Answer, Fact, Fallback, GrantRemoved
    from booking_credits.ledger.outcomes import Outcome


def answer_of(fact: Fact) -> Answer | None:
    """Return the answer that a fact was given; None where it was accepted."""
    return fact.answer if isinstance(fact, ANSWERED_FACTS) else None


def with_answer(fact: Fact, answer: Answer | None) -> Fact:
    """Give a fact an answer, if it is one that can be given any."""
    return replace(fact, answer=answer) if isinstance(fact, ANSWERED_FACTS) else fact


def lines_left_short(
    record: AccountRecord, asked: Outcome, booking_id: str
) -> tuple[DecidedLine, ...]:
    """List the lines because of which a booking's revision is declined; none: it is accepted.

    `asked` is what the revision would change. A line is in the way if more of it would be
    uncovered than is now and only credits may pay it.
    """
    shorter = [c for c in asked.charges.values() if c is not None and _is_shorter(record, c)]
    if not shorter:
        return ()
    timeline = asked.timeline
    revised = [c for key, c in asked.charges.items() if c is not None and key[0] == booking_id]
    denies = any(_fallback(charge, timeline) == "deny" for charge in revised)
    in_the_way = {
        charge.key
        for charge in shorter
        if (denies and _fallback(charge, timeline) == "deny")
        or (charge.key[0] == booking_id and _has_no_credit(charge, timeline))
    }
    return tuple(line for line in _decided_lines(asked) if line.charge.key in in_the_way)


def lines_using(record: AccountRecord, fact: GrantRemoved) -> tuple[LineKey, ...]:
    """List the lines because of which a removal is refused; none: it is accepted.

    In the way is, where the policy says so, what takes from the grant, was booked before its
    removal and had not ended by then.
    """
    policy = record.timeline.policy_at(fact.occurred_at)
    if policy.removal_in_use == "keep":
        return ()
    in_the_way = [
        charge.key
        for grant_id in grants_removed_by(record, fact)
        for charge in record.takers(grant_id)
        if charge.standing.booked_at < fact.occurred_at < charge.line.ends_at
    ]
    return tuple(dict.fromkeys(in_the_way))


def _is_shorter(record: AccountRecord, charge: Charge) -> bool:
    """Say whether more of a line is uncovered than on record; one that was not there was covered.

    What credits may not pay at all is billed, and never counts as uncovered here.
    """
    if not charge.short:
        return False
    on_record = record.charges.get(charge.key)
    before = on_record.coverage.uncovered if on_record and on_record.short else NOTHING
    after = charge.coverage.uncovered
    return after[0] * before[1] > before[0] * after[1]


def _fallback(charge: Charge, timeline: Timeline) -> Fallback | None:
    line = charge.line
    return fallback_of(charge.standing, timeline.location_policy(line.location, line.starts_at))


def _has_no_credit(charge: Charge, timeline: Timeline) -> bool:
    """Say whether no credit pays any part of a line that would be on account, and may not be."""
    return (
        not charge.coverage.takes
        and _fallback(charge, timeline) == "on_account"
        and not timeline.on_account_at(charge.line.starts_at)
    )


def _decided_lines(asked: Outcome) -> Iterable[DecidedLine]:
    for announcement in asked.announcements:
        if isinstance(announcement.content, CoverageDecided):
            yield from announcement.content.lines
