"""Closing again: what a closed line has given back for good, and when it is open again."""

from itertools import islice, permutations

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.cover import cover
from booking_credits.ledger.facts import BookingRevised, Fact, PeriodClosed
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_closing,
    a_grant,
    a_line,
    a_record,
    a_start,
    post,
)
from ledger.loading import Loader

BOOK = a_book(policy="packs")
PACK = a_grant("pack", 6, granted="2026-01-01 00:00")
MARCH, APRIL, MAY = (a_closing(f"2026-{month}-01 00:00") for month in ("04", "05", "06"))
CANCELLED = a_cancellation("first", occurred="2026-03-09 10:00")


def _booked(booking_id: str, starts: str, coins: int = 6, revision: int = 1) -> BookingRevised:
    """Book for coins; a later revision is a correction."""
    return a_booking(
        booking_id,
        a_line(starts=starts, costs={"coin": coins}, price=coins),
        revision=revision,
        occurred="2026-02-01 00:00" if revision == 1 else "2026-04-06 00:00",
        booked="2026-02-01 00:00",
        corrected_by=None if revision == 1 else "petra",
    )


FIRST, OTHER = _booked("first", "2026-03-10 10:00"), _booked("other", "2026-04-10 10:00")
BACK = _booked("first", "2026-03-10 10:00", revision=3)


def test_what_a_closed_line_gave_back_is_not_given_twice() -> None:
    """Whoever has it by now, and was closed, keeps it when the first one comes back."""
    record = a_record(PACK, FIRST, MARCH, CANCELLED, OTHER, APRIL, BACK, book=BOOK)
    assert {"first": {}, "other": {"pack": 6}} == _taken(record)
    assert 6 == record.grants["pack"].buckets.granted


def test_a_closed_line_that_comes_back_is_paid_in_its_place() -> None:
    """It is open again: in its order it comes before the other, which is open, too."""
    record = a_record(PACK, FIRST, MARCH, CANCELLED, OTHER, BACK, book=BOOK)
    assert {"first": {"pack": 6}, "other": {}} == _taken(record)
    assert record.charges["first", 1].closed is None
    post(record, [_booked("earlier", "2026-03-05 10:00", 4)])
    assert {"earlier": {"pack": 4}, "first": {"pack": 2}, "other": {}} == _taken(record)


def test_a_closed_line_that_needs_more_again_keeps_what_it_needed_least() -> None:
    """What it gave back when it was cheaper may be another's by now."""
    cheap = _booked("first", "2026-03-10 10:00", 2, revision=2)
    record = a_record(PACK, FIRST, MARCH, cheap, OTHER, APRIL, book=BOOK)
    assert {"first": {"pack": 2}, "other": {"pack": 4}} == _taken(record)
    post(record, [BACK])
    assert {"first": {"pack": 2}, "other": {"pack": 4}} == _taken(record)


def test_a_closed_line_that_moves_to_an_open_period_is_closed_with_that() -> None:
    """Nothing is kept of the period that it left; the last close that lists it counts."""
    moved = _booked("first", "2026-04-10 10:00", revision=2)
    record = a_record(PACK, FIRST, MARCH, moved, book=BOOK)
    assert record.charges["first", 1].closed is None
    assert ["first"] == _listed(record, APRIL)
    post(record, [_booked("late", "2026-04-05 10:00")])
    assert {"first": {"pack": 6}, "late": {}} == _taken(record)
    assert ["late"] == _listed(record, MAY)


def test_a_number_that_is_used_again_later_is_open() -> None:
    """A cancelled line's number may come back as another line, in a period yet to be closed."""
    again = _booked("first", "2026-04-10 10:00", revision=3)
    record = a_record(PACK, FIRST, MARCH, CANCELLED, again, book=BOOK)
    assert record.charges["first", 1].closed is None
    assert ["first"] == _listed(record, APRIL)


def test_a_revision_told_late_says_what_was_given_back() -> None:
    """The line stands as it did before, and keeps no more than it needed in between."""
    record = a_record(PACK, FIRST, MARCH, BACK, _booked("early", "2026-03-05 10:00"), book=BOOK)
    assert {"early": {}, "first": {"pack": 6}} == _taken(record)
    post(record, [_booked("first", "2026-03-10 10:00", 2, revision=2)])
    assert {"early": {"pack": 4}, "first": {"pack": 2}} == _taken(record)


def test_in_every_order_the_same_is_kept() -> None:
    """Revisions count by their numbers and closings by their ends, whatever came first."""
    lived = a_record(PACK, FIRST, MARCH, CANCELLED, OTHER, BACK, APRIL, book=BOOK)
    told = [fact for facts in lived.facts.values() for fact in facts]
    expected = cover(told, BOOK).charges
    assert expected == lived.charges
    for order in islice(permutations(told), 0, None, 11):
        record = AccountRecord(ACCOUNT, BOOK)
        post(record, order, is_answered=True)
        assert expected == record.charges


def test_a_record_that_is_loaded_in_parts_knows_what_was_given_back() -> None:
    """It asks for the booking's facts; they say how the line stood in between."""
    cheap = _booked("first", "2026-03-10 10:00", 2, revision=2)
    early = _booked("early", "2026-03-05 10:00", 5)
    facts: list[Fact] = [PACK, FIRST, MARCH, cheap, OTHER, BACK, early, a_start("first"), APRIL]
    whole, store = a_record(*facts, book=BOOK), AccountRecord(ACCOUNT, BOOK)
    for fact in facts:
        outcome = Loader(store, 1).post(fact)
        if outcome is not None:
            store.accept(outcome)
    assert {"early": {"pack": 4}, "first": {"pack": 2}, "other": {}} == _taken(whole)
    assert whole.charges == store.charges


def _listed(record: AccountRecord, closing: PeriodClosed) -> list[str]:
    [outcome] = post(record, [closing])
    assert isinstance(outcome.fact, PeriodClosed)
    return [line.booking_id for line in outcome.fact.lines or ()]


def _taken(record: AccountRecord) -> dict[str, dict[str, int]]:
    return {
        key[0]: {take.grant_id: take.quantity for take in charge.coverage.takes}
        for key, charge in sorted(record.charges.items())
    }
