"""What the generated histories must contain for the laws to mean anything."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import CoverageDecided
from booking_credits.ledger.answers import answer_of
from booking_credits.ledger.charges import Take, can_pay
from booking_credits.ledger.closing import ClosedTake
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    Fact,
    PackApproved,
    PeriodClosed,
    PlanRenewed,
    TimePassed,
)
from booking_credits.ledger.grant_ids import is_of_rule
from booking_credits.ledger.outcomes import Outcome
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.remnants import is_remnant
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


def keeps_what_an_earlier_line_lacks(record: AccountRecord, _: list[Outcome]) -> bool:
    """A closed line keeps its takes, and one that comes before it is short of just these."""
    charges = record.charges.values()
    return any(
        charge.rank < closed.rank and charge.short and can_pay(record.grants[i].grant, charge)
        for closed in charges
        for i in {take.grant_id for take in closed.kept}
        for charge in charges
    )


def changes_what_was_closed(record: AccountRecord, _: list[Outcome]) -> bool:
    """A line that was closed with takes keeps a part of them, by its own late facts."""
    return any(
        0 < _sum(record.charges[key].kept) < _sum(closed.takes)
        for key, closed in record.closed.items()
        if key in record.charges
    )


def gives_back_what_was_closed(record: AccountRecord, _: list[Outcome]) -> bool:
    """A line that was closed with takes stands no more."""
    return any(closed.takes and key not in record.charges for key, closed in record.closed.items())


def pays_what_a_closed_line_lacked(record: AccountRecord, _: list[Outcome]) -> bool:
    """A line was closed short of credits, and has more of them by now."""
    return any(charge.kept and charge.loose for charge in record.charges.values())


def closes_a_line_learned_late(_: AccountRecord, outcomes: list[Outcome]) -> bool:
    """A close lists a line that starts before where an earlier one ended."""
    closings = [outcome.fact for outcome in outcomes if isinstance(outcome.fact, PeriodClosed)]
    return any(
        line.takes and line.line.starts_at < before.ends_at
        for before, after in pairwise(closings)
        for line in after.lines or ()
    )


def keeps_more_than_there_is(record: AccountRecord, _: list[Outcome]) -> bool:
    """Closed lines keep more of a renewal than its higher version allots."""
    return any(
        r.grant.quantity is not None and r.buckets.granted > r.grant.quantity
        for r in record.grants.values()
        if not is_remnant(r.grant)
    )


def keeps_what_a_renewal_replaced(record: AccountRecord, _: list[Outcome]) -> bool:
    """What a closed line took from an allotment, it keeps from the renewal in its place."""
    return any(
        {take.grant_id for take in charge.kept}
        - {take.grant_id for take in record.closed[key].takes}
        for key, charge in record.charges.items()
        if charge.kept
    )


def keeps_a_remnant(record: AccountRecord, _: list[Outcome]) -> bool:
    """A closed line keeps what it took from a grant that is no more."""
    return any(is_remnant(r.grant) and r.buckets.granted for r in record.grants.values())


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
        keeps_what_an_earlier_line_lacks,
        changes_what_was_closed,
        gives_back_what_was_closed,
        pays_what_a_closed_line_lacked,
        closes_a_line_learned_late,
        keeps_more_than_there_is,
        keeps_what_a_renewal_replaced,
        keeps_a_remnant,
    ],
)
def test_histories_hold_what_is_hard(happening: Happening) -> None:
    """Within as many histories as the laws are held against, each hard case is met."""

    def is_met(drawn: tuple[PolicyBook, list[Fact]]) -> bool:
        record = AccountRecord(ACCOUNT, drawn[0])
        return happening(record, post(record, drawn[1]))

    many = settings(
        max_examples=1200, deadline=None, derandomize=True, database=None, phases=[Phase.generate]
    )
    find(st.tuples(books, histories()), is_met, settings=many)


def _sum(takes: Iterable[Take] | Iterable[ClosedTake]) -> int:
    return sum(take.quantity for take in takes)


def _others(outcome: Outcome) -> set[str]:
    """Name the bookings whose coverage changed although the fact is not about them."""
    if isinstance(outcome.fact, AccountDescribed | TimePassed):
        return set()
    changed = {key[0] for key in outcome.charges}
    return {booking for booking in changed if f"booking/{booking}" != outcome.fact.subject}
