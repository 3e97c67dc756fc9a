"""Expiry: what nobody has taken is lost as its grant ends, and found again where it was used."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

import pytest

from booking_credits.ledger.facts import BookingRevised, Fact
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_line,
    a_removal,
    a_renewal,
    a_start,
    an_allotment,
    at,
)
from ledger.living import EntryRow, EventRow, Told, entries_of, events_of, live

Happened: TypeAlias = tuple[str, list[EntryRow], list[EventRow]]

MARCH = "plan/hot-desk/base/2026-03-01"
BALANCE: EventRow = ("balance", "credit")
LATE = "2026-04-05 00:00"


def _booked(
    booking_id: str, credits_: int, starts: str, *, occurred: str = "2026-03-01 09:00"
) -> BookingRevised:
    line = a_line(starts=starts, costs={"credit": credits_}, price=100 * credits_)
    return a_booking(booking_id, line, occurred=occurred)


RENEWED = a_renewal(an_allotment(10, unit="credit"))
USED = _booked("used", 2, "2026-03-10 10:00")
LEARNED_LATE = _booked("late", 4, "2026-03-20 10:00", occurred="2026-03-19 00:00")


@pytest.mark.parametrize(
    ("policy", "told", "expired"),
    [
        pytest.param("packs", [], 10, id="nothing taken"),
        pytest.param("packs", [USED], 8, id="drawn at the start"),
        pytest.param("tenant", [USED], 8, id="drawn at the end"),
        pytest.param("coins", [USED], 8, id="drawn as it is booked"),
        pytest.param(
            "tenant", [_booked("night", 3, "2026-03-31 23:30")], 7, id="held past its end"
        ),
        pytest.param(
            "packs", [_booked("april", 3, "2026-04-01 00:00")], 10, id="begins as it ends"
        ),
        pytest.param(
            "packs",
            [
                _booked("april", 3, "2026-04-01 09:00"),
                a_start("april", occurred="2026-03-31 23:50"),
            ],
            10,
            id="begun early, in another's window",
        ),
        pytest.param("packs", [_booked("all", 10, "2026-03-10 10:00")], 0, id="all of it taken"),
    ],
)
def test_only_what_is_neither_held_nor_drawn_expires(
    policy: str, told: Sequence[Fact], expired: int
) -> None:
    """At the grant's end, and once."""
    rows: list[EntryRow] = [(MARCH, "available", "expired", expired, None)] if expired else []
    happened = _lived(RENEWED, *told, policy=policy)
    lost = [(i, entries) for i, entries, _ in happened if _are_of_expiry(entries)]
    assert ([("2026-04-01 00:00", rows)] if expired else []) == lost
    told_first = [events[0] for _, entries, events in happened if _are_of_expiry(entries)]
    assert ([BALANCE] if expired else []) == told_first


def test_what_is_held_past_the_end_is_drawn_in_its_time() -> None:
    """Expiry does not touch it."""
    night = _booked("night", 3, "2026-03-31 23:30")
    assert [
        ("2026-04-01 00:00", [(MARCH, "available", "expired", 7, None)], [BALANCE]),
        ("2026-04-01 00:30", [(MARCH, "held", "drawn", 3, "night")], [BALANCE]),
    ] == _lived(RENEWED, night, policy="tenant")[-2:]


@pytest.mark.parametrize(
    ("late", "entries", "events"),
    [
        pytest.param(
            LEARNED_LATE,
            [(MARCH, "expired", "drawn", 4, "late")],
            [BALANCE, ("decided", "late", 0)],
            id="a booking",
        ),
        pytest.param(
            _booked("late", 14, "2026-03-20 10:00", occurred="2026-03-19 00:00"),
            [(MARCH, "expired", "drawn", 8, "late")],
            [BALANCE, ("detected", "late", 600), ("decided", "late", 1)],
            id="a booking of more than there was",
        ),
        pytest.param(
            _booked("late", 4, "2026-04-01 00:00", occurred="2026-03-19 00:00"),
            [],
            [("detected", "late", 400), ("decided", "late", 1)],
            id="a booking after the end",
        ),
        pytest.param(
            a_cancellation("used", occurred="2026-03-09 00:00"),
            [(MARCH, "drawn", "expired", 2, "used")],
            [BALANCE, ("decided", "used", 0)],
            id="a cancellation in time",
        ),
        pytest.param(
            a_cancellation("used", occurred="2026-03-11 00:00"),
            [],
            [("decided", "used", 0)],
            id="a cancellation after the start",
        ),
        pytest.param(
            a_removal(MARCH, occurred="2026-03-20 00:00"),
            [(MARCH, "expired", "removed", 8, None)],
            [BALANCE],
            id="a removal",
        ),
        pytest.param(
            a_renewal(an_allotment(13, unit="credit"), version=2),
            [(MARCH, "granted", "expired", 3, None)],
            [BALANCE],
            id="a higher version of more",
        ),
        pytest.param(
            a_renewal(an_allotment(10, unit="credit"), version=2, ends="2026-05-01"),
            [(MARCH, "expired", "available", 8, None)],
            [BALANCE],
            id="a higher version that ends later",
        ),
    ],
)
def test_a_late_fact_undoes_exactly_what_it_shows_to_be_used(
    late: Fact, entries: list[EntryRow], events: list[EventRow]
) -> None:
    """Learned after the end, it finds what it would have found in time, and no more."""
    until = at("2026-04-10 00:00")
    record = live(a_book(policy="packs"), [RENEWED, USED, (LATE, late)], until)
    last = record.postings.outcomes[-1]
    assert (late, entries, events) == (last.fact, entries_of(last), events_of(last))


def test_what_was_found_again_is_lost_again() -> None:
    """Where the booking that was learned late is called off, everything is as before."""
    called_off = a_cancellation("late", occurred="2026-03-19 12:00")
    found, lost = _lived(RENEWED, USED, (LATE, LEARNED_LATE), (LATE, called_off))[-2:]
    assert [(MARCH, "expired", "drawn", 4, "late")] == found[1]
    assert [(MARCH, "drawn", "expired", 4, "late")] == lost[1]


def _lived(*told: Told, policy: str = "packs") -> list[Happened]:
    outcomes = live(a_book(policy=policy), told, at("2026-04-10 00:00")).postings.outcomes
    return [(_text(o.fact.occurred_at), entries_of(o), events_of(o)) for o in outcomes if o.entries]


def _are_of_expiry(entries: list[EntryRow]) -> bool:
    return any(target == "expired" for _, _, target, _, _ in entries)


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M}"
