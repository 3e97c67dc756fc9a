"""Rollover and accumulation: what is left of a period, for how long, and what pays first."""

from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import pytest

from booking_credits.ledger.facts import AccountDescribed, Fact, Rollover, Span
from builders import (
    TENANT,
    a_book,
    a_booking,
    a_line,
    a_pack,
    a_record,
    a_renewal,
    a_standing_allotment,
    an_account,
    an_allotment,
    an_approval,
    at,
)
from ledger.living import EntryRow, EventRow, Told, events_of, live, posted

Posted: TypeAlias = tuple[str, list[EntryRow]]

PACKS = a_book(policy="packs")
MARCH, APRIL = "plan/hot-desk/base/2026-03-01", "plan/hot-desk/base/2026-04-01"
TEN_DAYS, A_MONTH = Span(10, "days"), Span(1, "months")
USED = a_booking("used", a_line(starts="2026-03-10 10:00", costs={"credit": 2}))
RENEWED_IN_APRIL = a_renewal(
    an_allotment(10, unit="credit"), period="2026-04-01", occurred="2026-04-01 00:00"
)
END = "2026-05-01 00:00"


def _renewed(cap: int | None, span: Span) -> Fact:
    return a_renewal(an_allotment(10, unit="credit", rollover=Rollover(span, cap)))


def _booked(starts: str = "2026-04-05 10:00", occurred: str = "2026-03-01 09:00") -> Fact:
    line = a_line(starts=starts, costs={"credit": 5}, price=500)
    return a_booking("later", line, occurred=occurred)


@pytest.mark.parametrize(
    ("rollover", "lost"),
    [
        pytest.param(None, [("2026-04-01 00:00", 8)], id="none"),
        pytest.param((3, TEN_DAYS), [("2026-04-01 00:00", 5), ("2026-04-11 00:00", 3)], id="cap"),
        pytest.param((30, TEN_DAYS), [("2026-04-11 00:00", 8)], id="cap above the rest"),
        pytest.param((0, TEN_DAYS), [("2026-04-01 00:00", 8)], id="cap of nothing"),
        pytest.param((None, TEN_DAYS), [("2026-04-11 00:00", 8)], id="no cap"),
        pytest.param((None, A_MONTH), [("2026-05-01 00:00", 8)], id="a month"),
    ],
)
def test_what_is_left_is_lost_in_its_time(
    rollover: tuple[int | None, Span] | None, lost: list[tuple[str, int]]
) -> None:
    """Beyond the cap at the grant's own end, the rest at the longer one."""
    renewed = _renewed(*rollover) if rollover else a_renewal(an_allotment(10, unit="credit"))
    used = [
        ("2026-03-01 00:00", [(MARCH, "granted", "available", 10, None)]),
        ("2026-03-01 09:00", [(MARCH, "available", "held", 2, "used")]),
        ("2026-03-10 10:00", [(MARCH, "held", "drawn", 2, "used")]),
    ]
    expired = [(i, [(MARCH, "available", "expired", quantity, None)]) for i, quantity in lost]
    assert [*used, *expired] == _posted(renewed, USED)


def test_a_rest_is_used_before_the_fresh_grant() -> None:
    """As it ends first, and also where both end at once."""
    may = "2026-05-01 00:00"
    assert [
        (
            "2026-04-02 09:00",
            [(MARCH, "available", "held", 3, "later"), (APRIL, "available", "held", 2, "later")],
        ),
        (
            "2026-04-05 10:00",
            [(MARCH, "held", "drawn", 3, "later"), (APRIL, "held", "drawn", 2, "later")],
        ),
        (may, [(APRIL, "available", "expired", 8, None)]),
    ] == _posted(_renewed(3, TEN_DAYS), RENEWED_IN_APRIL, _booked(occurred="2026-04-02 09:00"))[-3:]
    assert [
        ("2026-04-02 09:00", [(MARCH, "available", "held", 5, "later")]),
        ("2026-04-05 10:00", [(MARCH, "held", "drawn", 5, "later")]),
        (
            may,
            [(MARCH, "available", "expired", 5, None), (APRIL, "available", "expired", 10, None)],
        ),
    ] == _posted(_renewed(None, A_MONTH), RENEWED_IN_APRIL, _booked(occurred="2026-04-02 09:00"))[
        -3:
    ]


def test_a_line_beyond_the_end_takes_at_most_the_cap() -> None:
    """Booked long before, it holds three of its five; what others leave is lost at the end."""
    assert [
        ("2026-03-01 00:00", [(MARCH, "granted", "available", 10, None)]),
        ("2026-03-01 09:00", [(MARCH, "available", "held", 3, "later")]),
        ("2026-04-01 00:00", [(MARCH, "available", "expired", 7, None)]),
        ("2026-04-05 10:00", [(MARCH, "held", "drawn", 3, "later")]),
    ] == _posted(_renewed(3, TEN_DAYS), _booked())
    assert [
        [("balance", "credit")],
        [("balance", "credit"), ("decided", "later", 1)],
        [("balance", "credit")],
        [("balance", "credit"), ("detected", "later", 200)],
    ] == _told(_renewed(3, TEN_DAYS), _booked())


def test_a_line_takes_of_the_cap_that_another_gave_back() -> None:
    """From one that was booked later and needs no cap, as nothing else is left of the grant."""
    renewed = a_renewal(an_allotment(200, rollover=Rollover(A_MONTH, 50)))
    early = _coins("early", "2026-04-04 10:00", 50, booked="2026-02-01 09:00")
    capped = _coins("capped", "2026-04-06 10:00", 50, booked="2026-02-02 09:00")
    later = _coins("later", "2026-03-29 10:00", 150, booked="2026-02-03 09:00")
    moved = _coins("early", "2026-03-08 10:00", 50, booked="2026-02-01 09:00", revision=2)
    record = a_record(renewed, early, capped, later, moved)
    assert {"early": 50, "capped": 50, "later": 100} == {
        booking_id: sum(take.quantity for take in charge.coverage.takes)
        for (booking_id, _), charge in record.charges.items()
    }


def _coins(booking_id: str, starts: str, cost: int, *, booked: str, revision: int = 1) -> Fact:
    line = a_line(starts=starts, costs={"coin": cost})
    return a_booking(booking_id, line, revision=revision, occurred=booked, booked=booked)


def test_what_rolled_over_ends_with_its_length() -> None:
    """A line after the longer end finds nothing of it, and is owed."""
    after = _booked("2026-04-12 10:00")
    assert [
        ("2026-03-01 00:00", [(MARCH, "granted", "available", 10, None)]),
        ("2026-04-01 00:00", [(MARCH, "available", "expired", 7, None)]),
        ("2026-04-11 00:00", [(MARCH, "available", "expired", 3, None)]),
    ] == _posted(_renewed(3, TEN_DAYS), after)
    assert [("detected", "later", 500)] == _told(_renewed(3, TEN_DAYS), after)[-1]


@pytest.mark.parametrize(
    "told",
    [
        an_account(
            anchor="2026-01-31",
            since="2026-01-31",
            allotments=[a_standing_allotment(5, unit="credit", rollover=Rollover(A_MONTH, None))],
        ),
        a_renewal(
            an_allotment(5, unit="credit", rollover=Rollover(A_MONTH, None)), period="2026-01-31"
        ),
        a_renewal(
            an_allotment(5, unit="credit", rollover=Rollover(A_MONTH, None)),
            period="2026-01-31",
            ends="2026-02-28",
        ),
        a_pack(
            "licence",
            5,
            lifetime=A_MONTH,
            bought="2026-01-31 00:00",
            rollover=Rollover(A_MONTH, None),
        ),
        a_pack("licence", 5, bought="2026-01-31 00:00", rollover=Rollover(A_MONTH, None)),
    ],
    ids=["allotment", "renewal", "stated end", "pack", "pack of a licence"],
)
def test_months_of_rollover_are_computed_from_the_anchor_day(told: Fact) -> None:
    """From 31 January to 28 February and a month more is to 31 March."""
    account = an_account(anchor="2026-01-31", since="2026-01-31")
    facts = (
        [told] if isinstance(told, AccountDescribed) else [account, told, an_approval("licence")]
    )
    record = a_record(*facts, book=PACKS)
    ends = {
        grant_id: (held.grant.rolls_at, held.grant.to_at)
        for grant_id, held in record.grants.items()
        if held.grant.from_at == at("2026-01-31 00:00")
    }
    assert [(at("2026-02-28 00:00"), at("2026-03-31 00:00"))] == [*ends.values()]


def test_a_pack_rolls_on_a_licence() -> None:
    """Of a month's pack of five, two may be used in the month after."""
    rollover = Rollover(A_MONTH, 2)
    pack = a_pack("licence", 5, lifetime=A_MONTH, starts_on="2026-03-01", rollover=rollover)
    assert [
        ("2026-03-02 09:00", [("licence", "granted", "available", 5, None)]),
        ("2026-03-03 09:00", [("licence", "available", "held", 2, "later")]),
        ("2026-04-01 00:00", [("licence", "available", "expired", 3, None)]),
        ("2026-04-05 10:00", [("licence", "held", "drawn", 2, "later")]),
    ] == _posted(pack, an_approval("licence"), _booked(occurred="2026-03-03 09:00"))


def test_a_year_accumulates() -> None:
    """Given once, for the year; what is left in December is lost with the year."""
    year = "allotment/allowance/credit/2026-01-01"
    assert [
        ("2026-10-01 00:00", [(year, "granted", "available", 50, None)]),
        ("2026-11-05 00:00", [(year, "available", "held", 30, "party")]),
        ("2026-12-20 19:00", [(year, "held", "drawn", 30, "party")]),
        (
            "2027-01-01 00:00",
            [
                (year, "available", "expired", 20, None),
                ("allotment/allowance/credit/2027-01-01", "granted", "available", 50, None),
            ],
        ),
    ] == _accumulated(30, issue="cycle")


def test_what_is_issued_by_the_month_lasts_to_the_end_of_the_year() -> None:
    """A party in December finds October's and November's, and brings December's with it."""
    october, november, december, january = (
        f"allotment/allowance/credit/month/{month}-01"
        for month in ("2026-10", "2026-11", "2026-12", "2027-01")
    )
    assert [
        ("2026-10-01 00:00", [(october, "granted", "available", 50, None)]),
        ("2026-11-01 00:00", [(november, "granted", "available", 50, None)]),
        (
            "2026-11-05 00:00",
            [
                (october, "available", "held", 50, "party"),
                (november, "available", "held", 50, "party"),
                (december, "granted", "available", 50, None),
                (december, "available", "held", 20, "party"),
            ],
        ),
        (
            "2026-12-20 19:00",
            [
                (october, "held", "drawn", 50, "party"),
                (november, "held", "drawn", 50, "party"),
                (december, "held", "drawn", 20, "party"),
            ],
        ),
        (
            "2027-01-01 00:00",
            [
                (december, "available", "expired", 30, None),
                (january, "granted", "available", 50, None),
            ],
        ),
    ] == _accumulated(120, issue="month")


def _accumulated(credits_of_party: int, *, issue: str) -> list[Posted]:
    """Open an account billed by the year in October, and hold a party at the end of it."""
    book = a_book(replace(TENANT, issue=issue), policy="tenant")  # type: ignore[arg-type]
    account = an_account(
        cycle="year",
        since="2026-10-01",
        occurred="2026-10-01 00:00",
        policy="tenant",
        allotments=[a_standing_allotment(50)],
    )
    line = a_line(starts="2026-12-20 18:00", costs={"credit": credits_of_party})
    party = a_booking("party", line, occurred="2026-11-05 00:00")
    return _as_text(posted(live(book, [account, party], at("2027-01-02 00:00"))))


def _posted(*told: Told) -> list[Posted]:
    return _as_text(posted(live(PACKS, told, at(END))))


def _told(*told: Told) -> list[list[EventRow]]:
    outcomes = live(PACKS, told, at(END)).postings.outcomes
    return [events_of(outcome) for outcome in outcomes if outcome.announcements]


def _as_text(rows: list[tuple[datetime, list[EntryRow]]]) -> list[Posted]:
    return [(f"{instant:%Y-%m-%d %H:%M}", entries) for instant, entries in rows]
