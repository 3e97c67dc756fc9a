"""Removals: a grant taken back, whole or by a quantity, decided by when that was done."""

from dataclasses import replace
from itertools import permutations

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import RequestRejected
from booking_credits.ledger.buckets import Buckets
from booking_credits.ledger.charges import Take
from booking_credits.ledger.facts import Fact, Line, Rollover, Span
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    a_removal,
    a_renewal,
    an_allotment,
    post,
    time_passed,
)

BEFORE, AFTER = "2026-03-04 09:00", "2026-03-06 09:00"
LATE = "2026-04-03 09:00"
ROLLED = "plan/hot-desk/base/2026-03-01"
GIVEN = a_grant("g1", 10, unit="credit", granted="2026-03-01 09:00")
CREDIT_NOTE = a_removal("g1", 4, occurred="2026-03-05 09:00")
COINS_GIVEN = a_grant("g1", 5000, granted="2026-03-01 09:00")
TAKEN_BACK = a_removal("g1", occurred="2026-03-05 09:00")
WITHDRAWAL = a_removal("g1", occurred="2026-03-05 09:00")


def test_a_credit_note_leaves_less_to_who_books_later() -> None:
    """Of ten credits four are returned: six are left to bookings made afterwards."""
    record = _record(GIVEN, CREDIT_NOTE, _booking("b1", 8, AFTER))
    assert {"b1": 6} == _taken(record)
    assert Buckets(10, 0, 6, 0, 0, 4) == record.grants["g1"].buckets


def test_a_removal_takes_nothing_from_who_booked_before() -> None:
    """Who booked before keeps what it holds, though the removal is known first."""
    record = _record(CREDIT_NOTE, GIVEN, _booking("b1", 8, BEFORE))
    assert {"b1": 8} == _taken(record)
    assert Buckets(10, 0, 8, 0, 0, 2) == record.grants["g1"].buckets


def test_what_is_released_after_a_removal_is_removed() -> None:
    """A cancellation gives back to nobody what had been removed meanwhile."""
    cancelled = a_cancellation("b1", revision=2, occurred=AFTER)
    record = _record(GIVEN, _booking("b1", 8, BEFORE), WITHDRAWAL, cancelled)
    assert {} == _taken(record)
    assert Buckets(10, 0, 0, 0, 0, 10) == record.grants["g1"].buckets


def test_a_later_booking_takes_what_another_releases_within_the_limit() -> None:
    """Of what a cancellation gives back, only what was not removed goes to who waited for it."""
    cancelled = a_cancellation("b1", revision=2, occurred=AFTER)
    facts: list[Fact] = [
        GIVEN,
        CREDIT_NOTE,
        _booking("b1", 5, AFTER),
        _booking("b2", 5, AFTER, day=11),
    ]
    assert {"b1": 5, "b2": 1} == _taken(_record(*facts))
    assert {"b2": 5} == _taken(_record(*facts, cancelled))


def test_a_removal_learned_late_displaces_who_booked_since() -> None:
    """A removal that arrives after a booking made since takes the credits from it."""
    record = _record(GIVEN, _booking("b1", 8, AFTER), WITHDRAWAL)
    assert {} == _taken(record)
    assert Buckets(10, 0, 0, 0, 0, 10) == record.grants["g1"].buckets


def test_removing_again_changes_nothing() -> None:
    """A grant removed whole has nothing left to remove."""
    once = _record(GIVEN, _booking("b1", 8, BEFORE), WITHDRAWAL)
    again = a_removal("g1", occurred="2026-03-05 10:00")
    twice = _record(GIVEN, _booking("b1", 8, BEFORE), WITHDRAWAL, again)
    assert once.grants["g1"].buckets == twice.grants["g1"].buckets


def test_an_unlimited_grant_is_removed_whole() -> None:
    """Who books after the removal of an unlimited grant finds nothing in it."""
    unlimited = replace(GIVEN, quantity=None)
    record = _record(
        unlimited, _booking("b1", 8, BEFORE), WITHDRAWAL, _booking("b2", 8, AFTER, day=11)
    )
    assert {"b1": 8} == _taken(record)


def test_what_was_removed_expires_no_more() -> None:
    """At its end only what is neither taken nor removed expires."""
    ending = replace(GIVEN, valid_to=time_passed("2026-03-20 00:00").occurred_at)
    record = _record(
        ending, CREDIT_NOTE, _booking("b1", 1, BEFORE), time_passed("2026-03-20 00:00")
    )
    assert Buckets(10, 0, 0, 1, 5, 4) == record.grants["g1"].buckets


def test_what_rolled_over_can_be_removed() -> None:
    """Of three credits that rolled over two are removed, and one is left to who books then."""
    record = _rolled_over(a_removal(ROLLED, 2, unit="credit", occurred="2026-04-02 09:00"))
    assert Buckets(10, 1, 0, 0, 7, 2) == record.grants[ROLLED].buckets
    late = a_booking("b1", a_line(starts="2026-04-10 10:00", costs={"credit": 3}), occurred=LATE)
    post(record, [late])
    assert {"b1": 1} == _taken(record)


def test_what_was_removed_before_the_rollover_leaves_the_cap_whole() -> None:
    """Two of ten were removed in time: three of the other eight roll over."""
    record = _rolled_over(a_removal(ROLLED, 2, unit="credit", occurred="2026-03-05 09:00"))
    assert Buckets(10, 3, 0, 0, 5, 2) == record.grants[ROLLED].buckets


def test_a_credit_note_leaves_a_later_upgrade_alone() -> None:
    """Two of ten credits were returned; the plan's next version is unlimited and stays so."""
    name = "plan/hot-desk/base/2026-03-01"
    record = _record(
        a_renewal(an_allotment(10, unit="credit")),
        a_removal(name, 2, unit="credit", occurred="2026-03-05 09:00"),
        a_renewal(an_allotment(None, unit="credit"), version=2),
        _booking("b1", 50, AFTER),
    )
    assert {"b1": 50} == _taken(record)


def test_a_plan_grant_is_removed_by_its_name() -> None:
    """What a plan issued for a period can be removed as any other grant."""
    name = "plan/hot-desk/base/2026-03-01"
    record = a_record(a_renewal(), a_removal(name, occurred="2026-03-05 09:00"))
    assert Buckets(5000, 0, 0, 0, 0, 5000) == record.grants[name].buckets


def test_a_removal_in_use_is_refused_with_the_bookings_in_the_way() -> None:
    """Coins that an active booking uses cannot be taken back, and the answer names the booking."""
    record = AccountRecord(ACCOUNT, a_book())
    *_, refused = post(record, [COINS_GIVEN, a_booking("b1", occurred=BEFORE), TAKEN_BACK])
    rejected = [a.content for a in refused.announcements]
    in_the_way = (("b1", 1),)
    expected = RequestRejected("grant_removal", "grant_in_use", "g1", in_the_way)
    assert [expected] == rejected
    assert 0 == record.grants["g1"].buckets.removed


def test_a_booking_made_free_releases_coins_for_their_removal() -> None:
    """Once the booking costs nothing the removal works, in whatever state things were left."""
    free = a_booking("b1", a_line(costs={"coin": 0}), revision=2, occurred=AFTER, booked=BEFORE)
    again = replace(TAKEN_BACK, occurred_at=time_passed("2026-03-06 12:00").occurred_at)
    record = AccountRecord(ACCOUNT, a_book())
    post(record, [COINS_GIVEN, a_booking("b1", occurred=BEFORE), TAKEN_BACK, free, again])
    assert Buckets(5000, 0, 0, 0, 0, 5000) == record.grants["g1"].buckets


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_no_order_of_removing_and_cancelling_leaves_coins_stuck(order: tuple[int, ...]) -> None:
    """Whatever came first, one more removal after the cancellation takes back all there is."""
    facts: list[Fact] = [
        COINS_GIVEN,
        a_booking("b1", occurred=BEFORE),
        TAKEN_BACK,
        a_cancellation("b1", revision=2, occurred=AFTER),
    ]
    again = replace(TAKEN_BACK, occurred_at=time_passed("2026-03-06 12:00").occurred_at)
    record = AccountRecord(ACCOUNT, a_book())
    post(record, [*(facts[place] for place in order), again])
    assert Buckets(5000, 0, 0, 0, 0, 5000) == record.grants["g1"].buckets


def test_a_booking_that_has_ended_is_not_in_the_way() -> None:
    """What was used stays used, and the rest can be taken back."""
    later = replace(TAKEN_BACK, occurred_at=time_passed("2026-03-11 12:00").occurred_at)
    record = AccountRecord(ACCOUNT, a_book())
    post(record, [COINS_GIVEN, a_booking("b1", occurred=BEFORE), later])
    assert Buckets(5000, 0, 0, 1000, 0, 4000) == record.grants["g1"].buckets


def test_a_refused_removal_stays_refused() -> None:
    """The answer is a fact: the booking may be cancelled later, the removal is asked for anew."""
    cancelled = a_cancellation("b1", revision=2, occurred=AFTER)
    record = AccountRecord(ACCOUNT, a_book())
    booking = a_booking("b1", occurred=BEFORE)
    post(record, [COINS_GIVEN, booking, TAKEN_BACK, cancelled, TAKEN_BACK])
    assert Buckets(5000, 5000) == record.grants["g1"].buckets


def _rolled_over(removal: Fact) -> AccountRecord:
    """Let ten credits of March roll over for a month, three of them at most."""
    rollover = Rollover(Span(1, "months"), 3)
    renewal = a_renewal(an_allotment(10, unit="credit", rollover=rollover))
    return _record(renewal, time_passed("2026-04-01 00:00"), removal)


def _record(*facts: Fact) -> AccountRecord:
    return a_record(*facts, book=a_book(policy="packs"))


def _booking(booking_id: str, credits_needed: int, booked: str, *, day: int = 10) -> Fact:
    return a_booking(booking_id, _line(credits_needed, day), occurred=booked)


def _line(credits_needed: int, day: int) -> Line:
    return a_line(starts=f"2026-03-{day} 10:00", costs={"credit": credits_needed})


def _taken(record: AccountRecord) -> dict[str, int]:
    """Sum up takes by booking."""
    takes: dict[str, list[Take]] = {}
    for (booking_id, _), charge in record.charges.items():
        takes.setdefault(booking_id, []).extend(charge.coverage.takes)
    return {b: sum(take.quantity for take in taken) for b, taken in takes.items() if taken}
