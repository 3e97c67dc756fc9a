"""Which facts are news, which repeat and which contradict what is on record."""

import pytest

from booking_credits.ledger.admission import Admission, admit
from booking_credits.ledger.facts import Fact
from builders import (
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_pack,
    a_renewal,
    a_start,
    an_account,
    an_allotment,
    an_approval,
    time_passed,
)

BASE, EXTRA = an_allotment(plan_line="base"), an_allotment(plan_line="extra")


@pytest.mark.parametrize(
    "fact",
    [
        a_booking(),
        a_cancellation(),
        a_start(),
        a_grant(),
        a_renewal(),
        a_pack(),
        an_approval(),
        an_account(),
        time_passed("2026-03-01 00:00"),
    ],
)
def test_a_fact_is_news_once(fact: Fact) -> None:
    """Whatever a fact is, it is accepted once and a duplicate from then on."""
    assert "accepted" == admit([], fact)
    assert "duplicate" == admit([fact], fact)


@pytest.mark.parametrize(
    ("known", "fact", "expected"),
    [
        (a_booking(), a_booking("standup", a_line(minutes=90)), "revision_conflict"),
        (a_booking(), a_cancellation(revision=1), "revision_conflict"),
        (a_booking(revision=2), a_booking(revision=1), "accepted"),
        (a_start(), a_start(occurred="2026-03-10 09:55"), "accepted"),
        (a_start(), a_booking(), "accepted"),
        (a_grant(), a_grant(quantity=6000), "grant_conflict"),
        (a_grant(), a_grant(granted="2026-01-02 00:00"), "grant_conflict"),
        (a_pack(), a_pack(quantity=6), "grant_conflict"),
        (a_pack("welcome"), a_grant("welcome"), "grant_conflict"),
        (an_approval(), a_pack(), "accepted"),
        (a_pack(), an_approval(), "accepted"),
        (an_approval(), an_approval(occurred="2026-03-05 09:00"), "duplicate"),
        (an_account(), an_account(zone="Europe/Sofia"), "accepted"),
    ],
)
def test_a_subject_holds_each_thing_once(known: Fact, fact: Fact, expected: Admission) -> None:
    """An equal revision or grant with other content is a conflict; anything else is news."""
    assert expected == admit([known], fact)


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (a_renewal(occurred="2026-03-05 00:00"), "duplicate"),
        (a_renewal(an_allotment(6000)), "renewal_conflict"),
        (a_renewal(ends="2026-03-20"), "renewal_conflict"),
        (a_renewal(an_allotment(6000), version=2), "accepted"),
        (a_renewal(an_allotment(6000), version=0), "accepted"),
        (a_renewal(an_allotment(6000, unit="credit"), version=2), "renewal_conflict"),
        (a_renewal(EXTRA), "accepted"),
        (a_renewal(BASE, EXTRA), "accepted"),
        (a_renewal(an_allotment(6000), EXTRA), "renewal_conflict"),
    ],
)
def test_renewals_are_told_apart_by_plan_line_and_version(fact: Fact, expected: Admission) -> None:
    """A version that repeats what is known is a duplicate, whenever it was sent."""
    assert expected == admit([a_renewal()], fact)


def test_a_plan_line_that_was_stated_twice_hides_no_other() -> None:
    """Two facts that state one plan line do not make a third fact's other line known."""
    third = an_allotment(plan_line="third")
    known = [a_renewal(BASE), a_renewal(BASE, EXTRA)]
    assert "accepted" == admit(known, a_renewal(BASE, third))


@pytest.mark.parametrize(
    ("instant", "expected"),
    [("2026-03-09 23:59", "duplicate"), ("2026-03-10 00:01", "accepted")],
)
def test_time_passes_in_one_direction(instant: str, expected: Admission) -> None:
    """An instant before the latest one has happened already."""
    known = [time_passed("2026-03-10 00:00"), time_passed("2026-03-01 00:00")]
    assert expected == admit(known, time_passed(instant))
