"""What the generated histories must contain for the laws to mean anything."""

from collections.abc import Callable

import pytest
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import CoverageDecided
from booking_credits.ledger.answers import answer_of
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    Fact,
    PackApproved,
    PlanRenewed,
    TimePassed,
)
from booking_credits.ledger.grant_ids import is_of_rule
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import PolicyBook
from builders import ACCOUNT, post
from ledger.histories import books, histories

Happening = Callable[[AccountRecord, list[Outcome]], bool]


def displaces_others(_: AccountRecord, outcomes: list[Outcome]) -> bool:
    """A fact about one booking or grant takes credits from two other lines."""
    return any(2 <= len(_others(outcome)) for outcome in outcomes)


def pays_in_several_units(record: AccountRecord, _: list[Outcome]) -> bool:
    """One line takes grants of two units."""
    return any(
        1 < len({record.grants[take.grant_id].grant.unit for take in c.coverage.takes})
        for c in record.charges.values()
    )


def pays_in_part(record: AccountRecord, _: list[Outcome]) -> bool:
    """A line is paid in part, by a fraction that no decimal writes down."""
    return any(
        c.coverage.takes and c.coverage.uncovered[1] % 3 == 0 for c in record.charges.values()
    )


def reverses_an_obligation(record: AccountRecord, _: list[Outcome]) -> bool:
    """What was owed is owed no more."""
    return any(not o.is_open for held in record.obligations.values() for o in held)


def draws_and_expires(record: AccountRecord, _: list[Outcome]) -> bool:
    """One grant has something drawn and the rest expired."""
    return any(r.buckets.drawn and r.buckets.expired for r in record.grants.values())


def pays_from_a_pack_approved_late(record: AccountRecord, outcomes: list[Outcome]) -> bool:
    """A pack that was known and pending pays a line once it is approved."""
    late = {
        outcome.fact.pack_id
        for outcome in outcomes
        if isinstance(outcome.fact, PackApproved) and outcome.charges
    }
    taken = (record.grants[i].buckets for i in late if i in record.grants)
    return any(buckets.held + buckets.drawn for buckets in taken)


def takes_back_a_grant_to_come(_: AccountRecord, outcomes: list[Outcome]) -> bool:
    """A booking leaves a period that has not begun, whose grant goes with it."""
    return any(o.gone and isinstance(o.fact, BookingRevised) for o in outcomes)


def pays_from_a_grant_to_come(record: AccountRecord, _: list[Outcome]) -> bool:
    """A line is paid by the standing grant of a period that has not begun."""
    return any(
        r.buckets.held
        for r in record.grants.values()
        if is_of_rule(r.grant.grant_id) and r.grant.from_at > (record.present or r.grant.from_at)
    )


def begins_with_the_clock(_: AccountRecord, outcomes: list[Outcome]) -> bool:
    """The clock brings the grant of a period that begins."""
    return any(
        isinstance(o.fact, TimePassed) and entry.source == "granted"
        for o in outcomes
        for _, entry in o.entries
    )


def replaces_a_standing_grant(_: AccountRecord, outcomes: list[Outcome]) -> bool:
    """A renewal takes the place of what was allotted."""
    return any(o.gone and isinstance(o.fact, PlanRenewed) for o in outcomes)


def declines_for_another_s_sake(_: AccountRecord, outcomes: list[Outcome]) -> bool:
    """A revision is declined because of a line of another booking."""
    declined = [o for o in outcomes if answer_of(o.fact) == "declined"]
    contents = [a.content for outcome in declined for a in outcome.announcements]
    return any(
        isinstance(told, CoverageDecided)
        and any(line.charge.key[0] != told.booking_id for line in told.left_short)
        for told in contents
    )


def declines_what_is_then_accepted(record: AccountRecord, outcomes: list[Outcome]) -> bool:
    """A booking has a declined revision, and lines by a later one."""
    return any(
        answer_of(fact) == "declined" and any(key[0] == fact.booking_id for key in record.charges)
        for fact in (outcome.fact for outcome in outcomes)
        if isinstance(fact, BookingRevised)
    )


@pytest.mark.parametrize(
    "happening",
    [
        displaces_others,
        pays_in_several_units,
        pays_in_part,
        reverses_an_obligation,
        draws_and_expires,
        pays_from_a_pack_approved_late,
        declines_for_another_s_sake,
        declines_what_is_then_accepted,
        takes_back_a_grant_to_come,
        pays_from_a_grant_to_come,
        begins_with_the_clock,
        replaces_a_standing_grant,
    ],
)
def test_histories_hold_what_is_hard(happening: Happening) -> None:
    """Within a few hundred histories each hard case is met."""

    def is_met(drawn: tuple[PolicyBook, list[Fact]]) -> bool:
        record = AccountRecord(ACCOUNT, drawn[0])
        return happening(record, post(record, drawn[1]))

    few = settings(
        max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
    )
    find(st.tuples(books, histories()), is_met, settings=few)


def _others(outcome: Outcome) -> set[str]:
    """Name the bookings whose coverage changed although the fact is not about them."""
    if isinstance(outcome.fact, AccountDescribed | TimePassed):
        return set()
    changed = {key[0] for key in outcome.charges}
    return {booking for booking in changed if f"booking/{booking}" != outcome.fact.subject}
