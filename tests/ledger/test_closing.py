"""Closing: what a closed line keeps, what may still change it, and what comes after it."""

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.facts import Fact, PeriodClosed
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_closing,
    a_grant,
    a_line,
    a_record,
    a_removal,
    a_renewal,
    an_allotment,
    post,
)

BOOK = a_book(policy="packs")
PACK = a_grant("pack", 10, granted="2026-01-01 00:00")
MARCH = a_closing("2026-04-01 00:00")


def _booked(booking_id: str, starts: str, coins: int) -> Fact:
    return a_booking(
        booking_id, a_line(starts=starts, costs={"coin": coins}), occurred="2026-02-01 00:00"
    )


FIRST = _booked("first", "2026-03-10 10:00", 6)


def test_a_closing_lists_the_lines_it_closes() -> None:
    """Every line that starts before the end and is not closed yet, with its takes."""
    later = _booked("later", "2026-04-02 10:00", 2)
    record = a_record(PACK, FIRST, later, book=BOOK)
    assert [("first", (("pack", 6),))] == _closed_by(record, MARCH)
    late = _booked("late", "2026-03-05 10:00", 1)
    post(record, [late])
    closed = _closed_by(record, a_closing("2026-05-01 00:00"))
    assert [("late", (("pack", 1),)), ("later", (("pack", 2),))] == closed


def test_a_closed_line_keeps_its_takes_against_an_earlier_one() -> None:
    """A line learned after the close comes before it in the order and finds what is left."""
    earlier = _booked("earlier", "2026-03-05 10:00", 8)
    assert {"first": 6, "earlier": 4} == _taken(PACK, FIRST, MARCH, earlier)
    assert {"first": 2, "earlier": 8} == _taken(PACK, FIRST, earlier)


def test_a_closed_line_that_was_cancelled_in_time_gives_back() -> None:
    """Its own late facts still change it, and what it gives back is there for others."""
    earlier = _booked("earlier", "2026-03-05 10:00", 8)
    called_off = a_cancellation("first", occurred="2026-03-09 10:00")
    assert {"earlier": 8} == _taken(PACK, FIRST, MARCH, earlier, called_off)


def test_what_a_closed_line_lacks_may_still_be_paid() -> None:
    """Its uncovered part is paid by what arrives late."""
    large = _booked("large", "2026-03-10 10:00", 15)
    late = a_grant("late", 3, granted="2026-01-01 00:00")
    assert {"large": 10} == _taken(PACK, large, MARCH)
    assert {"large": 13} == _taken(PACK, large, MARCH, late)


def test_a_removal_does_not_take_from_a_closed_line() -> None:
    """What was removed before a closed line was booked is taken from nobody but the others."""
    removed = a_removal("pack", occurred="2026-01-02 00:00")
    assert {} == _taken(PACK, FIRST, removed)
    assert {"first": 6} == _taken(PACK, FIRST, MARCH, removed)


def test_a_renewal_is_never_lower_than_what_closed_lines_took() -> None:
    """A higher version that allots less leaves the closed line what it has."""
    renewed = a_renewal(an_allotment(8), period="2026-03-01", version=1)
    lowered = a_renewal(an_allotment(2), period="2026-03-01", version=2)
    record = a_record(renewed, FIRST, MARCH, lowered, book=BOOK)
    [grant] = record.grants.values()
    assert (6, 0) == (grant.buckets.granted, grant.buckets.available)


def _closed_by(record: AccountRecord, closing: PeriodClosed) -> list[tuple[str, object]]:
    [outcome] = post(record, [closing])
    assert isinstance(outcome.fact, PeriodClosed)
    return [(line.booking_id, line.takes) for line in outcome.fact.lines or ()]


def _taken(*facts: Fact) -> dict[str, int]:
    """Say how much each booking takes."""
    record = AccountRecord(ACCOUNT, BOOK)
    post(record, facts)
    taken = {
        key[0]: sum(take.quantity for take in charge.coverage.takes)
        for key, charge in record.charges.items()
    }
    return {booking_id: quantity for booking_id, quantity in taken.items() if quantity}
