"""Answers: what is declined and why, that it stays so, and what was never asked about."""

from dataclasses import replace

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import CoverageDecided
from booking_credits.ledger.answers import answer_of
from booking_credits.ledger.charges import NOTHING, WHOLE, Charge
from booking_credits.ledger.cover import cover
from booking_credits.ledger.facts import CreditsGranted, Fact, Fallback, Line
from booking_credits.ledger.outcomes import Outcome
from builders import (
    ACCOUNT,
    COINS,
    PACKS,
    TENANT,
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    a_renewal,
    a_start,
    an_account,
    an_allotment,
    at,
    post,
    time_passed,
)

ONLY_CREDITS = a_book(replace(TENANT, shortfall="deny"), policy="tenant")
COINS_ONLY = a_book(replace(COINS, shortfall="deny"))
PACKS_BOOK = a_book(replace(PACKS, shortfall="on_account"), policy="packs")
BILLED = a_book(COINS, TENANT, policy="tenant")


def test_b_example_1_the_fourth_booking_is_declined() -> None:
    """B: 500 credits are used up by three; where only credits may pay, a fourth is not made."""
    record = _december()
    decided = _ask(record, a_booking("D", _room(100, "2026-12-20 10:00")))
    assert (True, ()) == (decided.is_declined, decided.lines)
    (short,) = decided.left_short
    assert ("D", 1) == short.charge.key
    assert [("exhausted", ("plan/hot-desk/base/2026-12-01",))] == [
        (refusal.reason, refusal.grant_ids) for refusal in short.refusals
    ]
    assert ("D", 1) not in record.charges
    post(record, [time_passed("2027-01-01 00:00")])
    assert {} == record.obligations


def test_b_a_declined_booking_stays_declined() -> None:
    """B: credits that come later do not bring it about; who still wants it asks again."""
    record = _december()
    refused = a_booking("D", _room(100, "2026-12-20 10:00"))
    post(record, [refused, _credits(100)])
    assert ("D", 1) not in record.charges
    assert "duplicate" == admit(record.facts_of(refused.subject), refused)
    decided = _ask(record, a_booking("D", _room(100, "2026-12-20 10:00"), revision=2))
    assert (False, 1) == (decided.is_declined, len(decided.lines))
    assert NOTHING == record.charges["D", 1].coverage.uncovered


def test_a_declined_revision_leaves_the_state_before_it() -> None:
    """Two hours would be too much; the one hour that was booked stands, and is told."""
    record = a_record(_credits(3), a_booking("A", _room(3)), book=ONLY_CREDITS)
    decided = _ask(record, a_booking("A", _room(6), revision=2))
    assert (True, 2) == (decided.is_declined, decided.revision)
    assert [(("credit", 3),)] == [line.charge.line.costs for line in decided.lines]
    assert [(1, 2)] == [line.charge.coverage.uncovered for line in decided.left_short]
    assert (1, NOTHING) == (
        record.charges["A", 1].standing.revision,
        record.charges["A", 1].coverage.uncovered,
    )


def test_a_booking_that_was_declined_can_be_cancelled_and_started() -> None:
    """Neither finds a line, and nobody is stuck."""
    record = a_record(a_booking("A", _room(3)), book=ONLY_CREDITS)
    post(record, [a_start("A"), a_cancellation("A")])
    assert {} == record.charges
    assert "accepted" == admit(record.facts_of("booking/A"), a_booking("A", revision=3))


def test_a_cancellation_is_never_declined() -> None:
    """Also one that is told late, and leaves what was accepted since without its credits."""
    record = a_record(
        a_grant("bonus", 1000),
        a_booking("A", a_line(starts="2026-03-10 10:00"), occurred="2026-03-01 09:00"),
        a_booking(
            "A",
            a_line(starts="2026-03-12 10:00", costs={"coin": 2000}),
            revision=3,
            occurred="2026-03-11 09:00",
            booked="2026-03-01 09:00",
        ),
        a_cancellation("A", revision=2, occurred="2026-03-02 09:00"),
        book=COINS_ONLY,
    )
    assert {None} == {answer_of(fact) for fact in record.facts["booking/A"]}
    assert [at("2026-03-12 10:00")] == [c.line.starts_at for c in record.charges.values()]


def test_who_enlarges_a_booking_may_not_take_what_another_can_only_pay_by_credits() -> None:
    """Coins go by the order of booking, so the older one could; it is told what is in the way."""
    facts: list[Fact] = [a_booking("older", _meeting(3)), a_booking("younger", _meeting(4))]
    record = a_record(a_grant("bonus", 7), *facts, book=COINS_ONLY)
    decided = _ask(record, a_booking("older", _meeting(4), revision=2))
    assert [("younger", 1)] == [line.charge.key for line in decided.left_short]
    assert [3, 4] == [charge.coverage.takes[0].quantity for charge in _charges(record)]


def test_who_may_be_billed_takes_what_another_can_only_pay_by_credits() -> None:
    """Nothing speaks against it; the rest of the other is owed in the ordinary way."""
    record = a_record(
        a_grant("bonus", 7),
        a_booking("older", _meeting(3), fallback="card"),
        a_booking("younger", _meeting(4)),
        a_booking("older", _meeting(7), fallback="card", revision=2),
        time_passed("2026-03-11 00:00"),
        book=COINS_ONLY,
    )
    assert WHOLE == record.charges["younger", 1].coverage.uncovered
    assert ["invoice"] == _channels_owed(record)


@pytest.mark.parametrize(("fallback", "stands"), [("deny", 0), ("card", 1), (None, 1)])
def test_the_booking_s_own_word_goes_before_the_policy(
    fallback: Fallback | None, stands: int
) -> None:
    """A policy that bills says nothing of a booking that would rather not be made."""
    record = a_record(a_booking("A", _room(3), fallback=fallback), book=BILLED)
    assert stands == len(record.charges)


def test_what_credits_may_not_pay_is_never_declined() -> None:
    """Normal billing takes it: no shortfall of credits."""
    discounted = replace(a_line(), discounted=True)
    policy = replace(COINS, shortfall="deny", discounts_combine=False)
    assert 1 == len(a_record(a_booking("A", discounted), book=a_book(policy)).charges)


def test_a_line_that_was_short_before_may_stay_as_short() -> None:
    """A revision is declined only for what it makes worse."""
    facts: list[Fact] = [
        a_grant("bonus", 300),
        a_booking("A", _meeting(600), fallback="card"),
        a_booking("A", replace(_meeting(600), resource="treehouse"), revision=2),
    ]
    record = a_record(*facts, book=COINS_ONLY)
    assert ("treehouse", (1, 2)) == (
        record.charges["A", 1].line.resource,
        record.charges["A", 1].coverage.uncovered,
    )


def test_c_without_credits_a_booking_is_for_those_on_account() -> None:
    """C: a member on account books without any valid credits; any other is declined."""
    booking = a_booking("A", _room(2))
    other = a_record(booking, book=PACKS_BOOK)
    member = a_record(an_account(on_account=True), booking, book=PACKS_BOOK)
    assert (0, 1) == (len(other.charges), len(member.charges))
    post(member, [time_passed("2026-03-11 00:00")])
    assert ["on_account"] == _channels_owed(member)


def test_c_credits_that_pay_a_part_are_enough_to_book() -> None:
    """C: what they leave is billed, on account where the member is set to it."""
    facts: list[Fact] = [_credits(1), a_booking("A", _room(2)), time_passed("2026-03-11 00:00")]
    assert ["invoice"] == _channels_owed(a_record(*facts, book=PACKS_BOOK))
    on_account = a_record(an_account(on_account=True), *facts, book=PACKS_BOOK)
    assert ["on_account"] == _channels_owed(on_account)


def test_c_a_booking_left_without_credits_later_is_invoiced() -> None:
    """C: an earlier meeting takes the credits that an accepted one held; that stays accepted."""
    record = a_record(_credits(2), a_booking("later", _room(2)), book=PACKS_BOOK)
    decided = _ask(record, a_booking("sooner", _room(2, "2026-03-09 10:00")))
    assert not decided.is_declined
    post(record, [time_passed("2026-03-11 00:00")])
    assert ["invoice"] == _channels_owed(record)


def test_setting_an_account_on_account_later_moves_what_it_owes() -> None:
    """The obligation of one channel is reversed, and opened in the other."""
    facts: list[Fact] = [_credits(1), a_booking("A", _room(2)), time_passed("2026-03-11 00:00")]
    record = a_record(*facts, an_account(on_account=True), book=PACKS_BOOK)
    assert ["on_account"] == _channels_owed(record)


def test_an_answer_once_given_is_not_given_anew() -> None:
    """In another order the credits would have come first; what was said is said."""
    asked = a_booking("A", _room(3))
    record = AccountRecord(ACCOUNT, ONLY_CREDITS)
    told = [outcome.fact for outcome in post(record, [asked, _credits(3)])]
    assert ["declined", None] == [answer_of(fact) for fact in told]
    again = AccountRecord(ACCOUNT, ONLY_CREDITS)
    post(again, reversed(told), is_answered=True)
    assert {} == record.charges == again.charges == cover(told, ONLY_CREDITS).charges


def test_what_was_accepted_stays_accepted_in_any_order() -> None:
    """Replayed before the credits that it had, a booking is not asked about again."""
    record = AccountRecord(ACCOUNT, ONLY_CREDITS)
    told = [outcome.fact for outcome in post(record, [_credits(3), a_booking("A", _room(3))])]
    again = AccountRecord(ACCOUNT, ONLY_CREDITS)
    post(again, reversed(told), is_answered=True)
    assert record.charges == again.charges != {}


def _december() -> AccountRecord:
    """Let three reservations use up the 500 credits of December."""
    return a_record(
        a_renewal(an_allotment(500, unit="credit"), period="2026-12-01"),
        a_booking("A", _room(200, "2026-12-03 10:00")),
        a_booking("B", _room(150, "2026-12-10 10:00")),
        a_booking("C", _room(150, "2026-12-17 10:00")),
        book=ONLY_CREDITS,
    )


def _room(credits_needed: int, starts: str = "2026-03-10 10:00") -> Line:
    return a_line(starts=starts, costs={"credit": credits_needed}, price=1000)


def _meeting(coins: int) -> Line:
    return a_line(costs={"coin": coins})


def _credits(quantity: int) -> CreditsGranted:
    return a_grant("pack", quantity, unit="credit")


def _ask(record: AccountRecord, fact: Fact) -> CoverageDecided:
    """Put a fact on record and return what was decided of its booking."""
    (outcome,) = post(record, [fact])
    return _decision(outcome)


def _decision(outcome: Outcome) -> CoverageDecided:
    decided = [a.content for a in outcome.announcements if isinstance(a.content, CoverageDecided)]
    return next(d for d in decided if f"booking/{d.booking_id}" == outcome.fact.subject)


def _charges(record: AccountRecord) -> list[Charge]:
    return sorted(record.charges.values(), key=lambda charge: charge.rank)


def _channels_owed(record: AccountRecord) -> list[str]:
    held = [o for obligations in record.obligations.values() for o in obligations]
    return [obligation.key.channel for obligation in held if obligation.is_open]
