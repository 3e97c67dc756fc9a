"""Which lines of a booking stand, by its revisions and starts."""

from itertools import permutations
from typing import Any

import pytest

from booking_credits.ledger.bookings import StandingLine, standing_lines
from booking_credits.ledger.facts import BookingFact, Line
from builders import a_booking, a_cancellation, a_line, a_start, at

BEFORE, AT_START, AFTER = "2026-03-10 09:00", "2026-03-10 10:00", "2026-03-10 10:30"
MOVED = a_line(starts="2026-03-11 10:00")


def test_the_latest_revision_stands() -> None:
    """A revision replaces the state before it."""
    later = a_booking("standup", MOVED, revision=2)
    assert MOVED == _the_line(a_booking(), later).line


def test_revisions_are_read_in_their_order() -> None:
    """It makes no difference in which order a booking's facts arrive."""
    facts: list[BookingFact] = [
        a_booking(),
        a_booking("standup", MOVED, revision=2, occurred="2026-03-09 09:00"),
        a_cancellation(revision=3, occurred="2026-03-11 11:00"),
        a_start(occurred="2026-03-11 09:50"),
    ]
    expected = standing_lines(facts)
    assert [expected] * 24 == [standing_lines(order) for order in permutations(facts)]


@pytest.mark.parametrize(("occurred", "stands"), [(BEFORE, False), (AT_START, True), (AFTER, True)])
def test_a_cancellation_counts_before_the_start(occurred: str, *, stands: bool) -> None:
    """A line can be cancelled until it starts."""
    standing = standing_lines([a_booking(), a_cancellation(occurred=occurred)])
    assert stands == bool(standing)


def test_a_correction_cancels_a_used_line() -> None:
    """Staff may cancel what has started."""
    correction = a_cancellation(occurred=AFTER, corrected_by="petra")
    assert {} == standing_lines([a_booking(), correction])


def test_only_the_lines_that_started_are_kept() -> None:
    """A cancellation between two occurrences drops the second."""
    twice = a_booking("standup", a_line(1), a_line(2, starts="2026-03-17 10:00"))
    assert [1] == list(standing_lines([twice, a_cancellation(occurred=AFTER)]))


@pytest.mark.parametrize(
    "after",
    [
        a_line(starts="2026-03-11 10:00"),
        a_line(minutes=30),
        a_line(minutes=90),
        a_line(resource="treehouse"),
        a_line(location="mill"),
        a_line(costs={"coin": 999}),
        a_line(costs={"credit": 9000}),
        a_line(costs={}),
        a_line(price=999),
        a_line(price=None),
        a_line(currency="USD"),
        a_line(payable_by_credits=False),
        a_line(discounted=True),
        a_line(online_plan=True),
        a_line(product_group="catering"),
    ],
)
def test_a_started_line_is_neither_moved_nor_cheapened(after: Line) -> None:
    """Such a revision leaves the line wholly as it was; before the start it replaces it."""
    expected = a_line()
    assert expected == _the_line(a_booking(), _revision(after, AFTER)).line
    assert after == _the_line(a_booking(), _revision(after, BEFORE)).line


@pytest.mark.parametrize(
    "after",
    [a_line(costs={"coin": 1500}), a_line(costs={"coin": 1000, "credit": 1}), a_line(price=1500)],
)
def test_a_started_line_may_cost_more(after: Line) -> None:
    """Extending a meeting while it runs is paid for."""
    assert after == _the_line(a_booking(), _revision(after, AFTER)).line


def test_a_line_that_is_kept_keeps_its_fallback() -> None:
    """A refused revision changes nothing of the line, not even how it would be paid."""
    refused = a_booking("standup", a_line(price=1), revision=2, occurred=AFTER, fallback="card")
    assert _the_line(a_booking(), refused).fallback is None


def test_an_early_start_closes_the_way_back() -> None:
    """Who begins early can no longer cancel, though the service start is still to come."""
    facts = (a_booking(), a_start(occurred="2026-03-10 09:30"))
    cancelled = a_cancellation(occurred="2026-03-10 09:45")
    assert [1] == list(standing_lines([*facts, cancelled]))


def test_a_start_of_one_line_starts_no_other() -> None:
    """A booking-started may name its line."""
    twice = a_booking("standup", a_line(1), a_line(2, starts="2026-03-17 10:00"))
    standing = standing_lines([twice, a_start(line_no=1)])
    assert [at("2026-03-10 09:50"), None] == [line.started_at for line in standing.values()]


def test_a_correction_that_moves_a_line_forgets_its_start() -> None:
    """A start counts for the line as it stood when it occurred."""
    moved = a_booking("standup", MOVED, revision=2, occurred=AFTER, corrected_by="petra")
    assert _the_line(a_booking(), a_start(), moved).started_at is None


def test_a_cancelled_booking_can_be_brought_back() -> None:
    """A later revision brings a cancelled booking back, booked when it was first made."""
    back = a_booking(revision=3, occurred="2026-03-05 09:00")
    assert at("2026-03-01 09:00") == _the_line(a_booking(), a_cancellation(), back).booked_at


def test_a_booking_without_a_revision_has_no_lines() -> None:
    """A start that arrives before its booking waits, and so does a cancellation."""
    assert {} == standing_lines([a_start()])
    assert {} == standing_lines([a_cancellation()])


def _revision(line: Line, occurred: str) -> Any:
    return a_booking("standup", line, revision=2, occurred=occurred)


def _the_line(*facts: BookingFact) -> StandingLine:
    """Return the only line that stands."""
    (standing,) = standing_lines(facts).values()
    return standing
