"""What one fact changes, and what is told about it."""

from booking_credits.ledger.announcements import CoverageDecided, OverageDetected
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.outcomes import Outcome
from builders import (
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    post,
    time_passed,
)


def test_a_late_revision_is_answered_with_the_latest() -> None:
    """A booking that was cancelled stays so when its creation arrives at last."""
    decided = _decisions(a_cancellation(revision=3), a_booking(revision=1))
    assert [("standup", 3, 0)] == decided


def test_who_is_displaced_is_told() -> None:
    """An older booking that is learned late takes its credits, and both hear of it."""
    younger = a_booking("younger", occurred="2026-03-02 09:00")
    older = a_booking("older", occurred="2026-03-01 09:00")
    assert [("older", 1, 1), ("younger", 1, 1)] == _decisions(
        a_grant(quantity=1000), younger, older
    )


def test_a_fact_that_changes_nothing_tells_nothing() -> None:
    """An instant at which nothing is due moves the present alone."""
    outcome = _last(a_booking(), time_passed("2026-03-02 00:00"))
    assert ((), {}, ()) == (outcome.entries, outcome.charges, outcome.announcements)


def test_a_line_in_another_period_is_owed_there() -> None:
    """What was owed in March is reversed in March, and owed in April."""
    moved = a_booking(
        "standup",
        a_line(starts="2026-04-10 10:00"),
        revision=2,
        occurred="2026-05-01 09:00",
        corrected_by="petra",
    )
    outcome = _last(a_booking(), time_passed("2026-05-01 00:00"), moved)
    overages = [a.content for a in outcome.announcements if isinstance(a.content, OverageDetected)]
    assert [("reversed", 3, -1000), ("detected", 4, 1000)] == [
        (o.status, o.obligation.key.period_start.month, o.change_minor) for o in overages
    ]


def test_a_line_without_a_price_is_unpriced() -> None:
    """Nobody knows what it comes to, so it is never zero."""
    outcome = _last(a_booking("standup", a_line(price=None)), time_passed("2026-03-10 10:00"))
    overages = [a.content for a in outcome.announcements if isinstance(a.content, OverageDetected)]
    assert [("unpriced", None)] == [(o.status, o.obligation.key.currency) for o in overages]


def _decisions(*facts: Fact) -> list[tuple[str, int, int]]:
    """Return booking, revision and number of lines of what the last fact decides."""
    contents = [announcement.content for announcement in _last(*facts).announcements]
    return [
        (content.booking_id, content.revision, len(content.lines))
        for content in contents
        if isinstance(content, CoverageDecided)
    ]


def _last(*facts: Fact) -> Outcome:
    return post(a_record(), facts)[-1]
