"""Rendering: what is announced keeps the published contract, adds up, and fits its parts."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import Announcement, RequestRejected
from booking_credits.ledger.facts import Fact, Scope
from booking_credits.ledger.policies import PolicyBook
from booking_credits.ledger.settlement import settle
from booking_credits.outbox.rendering import PART_LIMIT_BYTES, decimal_text, obligation_id, render
from booking_credits.posting.post import Rendered
from booking_credits_contracts import PUBLISHED
from builders import (
    ACCOUNT,
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_start,
    an_account,
    time_passed,
)
from ledger.histories import books, histories
from postgres.arrivals import arrival, as_published


@given(book=books, facts=histories())
def test_whatever_is_announced_keeps_the_contract(book: PolicyBook, facts: list[Fact]) -> None:
    """Every event of a generated history is one that the strict published models accept."""
    for rendered in _rendered([as_published(fact) for fact in facts], book):
        PUBLISHED[rendered.type].model_validate_json(rendered.payload)


@given(book=books, facts=histories())
def test_rendering_again_repeats_every_byte(book: PolicyBook, facts: list[Fact]) -> None:
    """The same facts give the same ids and the same text."""
    published = [as_published(fact) for fact in facts]

    assert _rendered(published, book) == _rendered(published, book)


def test_a_balance_changed_says_where_the_coins_went() -> None:
    """Buckets and entries are decimals of the unit, and the cause is the event that told it."""
    _, booked = _events(a_grant(quantity=5000), a_booking())[:2]

    assert ("available", "drawn", "10.00") == (
        booked["entries"][0]["from"],
        booked["entries"][0]["to"],
        booked["entries"][0]["quantity"],
    )
    assert ("50.00", "40.00", "10.00") == (
        booked["before"]["available"],
        booked["after"]["available"],
        booked["after"]["drawn"],
    )
    assert (2, "booking-created", "/tests") == (
        booked["cause"]["fact"],
        booked["cause"]["type"],
        booked["cause"]["source"],
    )


@pytest.mark.parametrize(
    ("facts", "booking_status", "line_status", "state"),
    [
        pytest.param([a_grant(), a_booking()], "covered", "covered", "drawn", id="covered"),
        pytest.param(
            [a_grant(quantity=400), a_booking()], "partly", "partly", "drawn", id="partly"
        ),
        pytest.param([a_booking()], "uncovered", "uncovered", "held", id="uncovered"),
        pytest.param(
            [a_grant(), a_booking("standup", a_line(payable_by_credits=False))],
            "not_eligible",
            "not_eligible",
            "held",
            id="not-eligible",
        ),
        pytest.param(
            [an_account(policy="packs"), a_grant(quantity=5000), a_booking()],
            "covered",
            "covered",
            "held",
            id="held",
        ),
        pytest.param(
            [a_booking("standup", a_line(costs={"coin": 0}))],
            "covered",
            "covered",
            "held",
            id="free",
        ),
    ],
)
def test_a_booking_is_said_to_be_paid_as_it_is(
    facts: list[Fact], booking_status: str, line_status: str, state: str
) -> None:
    """The booking's status sums up those of its lines; a line is held until its draw point."""
    decided = _events(*facts)[-1]

    assert booking_status == decided["status"]
    assert [(line_status, state)] == [(line["status"], line["state"]) for line in decided["lines"]]


def test_a_cancelled_booking_has_no_lines() -> None:
    """A cancellation is decided too."""
    decided = _events(a_booking(), a_cancellation())[-1]

    assert ("cancelled", 2, []) == (decided["status"], decided["revision"], decided["lines"])


def test_an_ineligible_line_takes_nothing_from_its_booking() -> None:
    """Lines that credits may not pay are left out of a booking's status, if there are others."""
    lines = [a_line(1), a_line(2, online_plan=True)]
    decided = _events(a_grant(), a_booking("standup", *lines))[-1]

    assert "covered" == decided["status"]
    assert [{"amount_minor": 0, "currency": "EUR"}, None] == [
        line["cash"] for line in decided["lines"]
    ]


def test_a_partly_covered_line_says_what_is_missing_in_every_unit() -> None:
    """The uncovered part is given in each unit that could pay it, and in cash."""
    line = a_line(costs={"coin": 1000, "minute": 60}, price=1000)
    decided = _events(
        a_grant("hours", 20, unit="minute"), a_grant("coins", 100), a_booking("standup", line)
    )[-1]

    [rendered] = decided["lines"]
    assert [
        {"grant_id": "hours", "unit": "minute", "quantity": "20"},
        {"grant_id": "coins", "unit": "coin", "quantity": "1.00"},
    ] == rendered["takes"]
    assert {"coin": "10.00", "minute": "60"} == rendered["costs"]
    assert {"coin": "5.67", "minute": "34"} == rendered["uncovered"]
    assert {"amount_minor": 567, "currency": "EUR"} == rendered["cash"]


def test_a_take_of_a_grant_that_stays_as_it_was_names_its_unit() -> None:
    """A decision also lists lines that the fact left alone, with their units."""
    costs = {"coin": 500, "minute": 30}
    first = a_line(1, costs=costs)
    second = a_line(2, costs=costs, starts="2026-03-11 10:00")
    decided = _events(
        a_grant("hours", 30, unit="minute"),
        a_booking("standup", first),
        a_booking("standup", first, second, revision=2),
    )[-1]

    assert [[{"grant_id": "hours", "unit": "minute", "quantity": "30"}], []] == [
        line["takes"] for line in decided["lines"]
    ]


def test_an_unpriced_overage_has_neither_currency_nor_total() -> None:
    """Where there is no price, nothing is said of money."""
    events = _events(a_booking("standup", a_line(price=None)), a_start())
    [overage] = [event for event in events if "obligation_id" in event]

    assert ("unpriced", None, None, None) == (
        overage["status"],
        overage["currency"],
        overage["change_minor"],
        overage["total_minor"],
    )


def test_an_obligation_keeps_its_id_through_its_revisions() -> None:
    """What is owed for a line and period is one obligation, until it is reversed and after."""
    events = _events(
        a_booking(), time_passed("2026-03-10 10:00"), a_grant(quantity=300), a_grant("more", 700)
    )
    overages = [event for event in events if "obligation_id" in event]

    assert ["detected", "adjusted", "reversed"] == [event["status"] for event in overages]
    assert [1000, -300, -700] == [event["change_minor"] for event in overages]
    assert 1 == len({event["obligation_id"] for event in overages})


def test_obligations_that_differ_have_ids_that_differ() -> None:
    """Each part of an obligation's identity counts."""
    record = _record(a_booking(), time_passed("2026-03-10 10:00"))
    [[obligation]] = record.obligations.values()
    key = obligation.key
    others = [
        replace(key, booking_id="standup 1"),
        replace(key, line_no=2),
        replace(key, period_start=obligation.period_end),
        replace(key, currency=None),
        replace(key, channel="card"),
    ]
    ids = {obligation_id(ACCOUNT, replace(obligation, key=other)) for other in [key, *others]}

    assert 6 == len(ids | {obligation_id(ACCOUNT, obligation)})


def test_a_large_balance_comes_in_parts_that_hold_all_its_entries() -> None:
    """A late grant that pays many lines: every part repeats the balance and has some entries."""
    lines = [a_line(number, costs={"coin": 1}) for number in range(1, 501)]
    bookings = [a_booking(f"{number}" * 120, *lines) for number in range(1, 4)]

    parts = _rendered([*bookings, a_grant("g" * 120)])
    events = _check_parts([part for part in parts if part.type == "balance-changed"])

    entries = [entry for event in events for entry in event["entries"]]
    assert list(range(1, 1502)) == [entry["entry"] for entry in entries]
    assert {"35.00"} == {event["after"]["available"] for event in events}


def test_a_large_decision_comes_in_parts_that_hold_all_its_lines() -> None:
    """Many lines, each with long reasons: every part has some of them, in order."""
    lines = [a_line(number) for number in range(1, 501)]
    attic = Scope(locations=("attic",))
    elsewhere = [a_grant(f"{number}" * 120, scope=attic) for number in range(5)]

    parts = _rendered([*elsewhere, a_booking("standup", *lines)])
    events = _check_parts([part for part in parts if part.type == "coverage-decided"])

    assert list(range(1, 501)) == [line["line"] for event in events for line in event["lines"]]
    assert {"uncovered"} == {event["status"] for event in events}


def test_a_large_refusal_of_a_booking_comes_in_parts_that_name_all_its_lines() -> None:
    """Every part says that the revision was declined, and some of the lines it was declined for."""
    attic = Scope(locations=("attic",))
    elsewhere = [a_grant(f"{number}" * 120, scope=attic) for number in range(5)]
    lines = [a_line(number) for number in range(1, 501)]

    parts = _rendered([*elsewhere, a_booking("standup", *lines, fallback="deny")])
    events = _check_parts([part for part in parts if part.type == "coverage-decided"])

    assert list(range(1, 501)) == [line["line"] for e in events for line in e["left_short"]]
    assert {("declined", "10.00", 0)} == {
        (e["status"], line["uncovered"]["coin"], len(e["lines"]))
        for e in events
        for line in e["left_short"]
    }


def test_a_large_rejection_comes_in_parts_that_name_all_that_is_in_the_way() -> None:
    """What was asked for stands in every part, and every line in one."""
    lines = [("b" * 120 + f"{number}", 1) for number in range(2500)]
    rejected = RequestRejected("grant_removal", "grant_in_use", "bonus", tuple(lines))

    asked = as_published(a_grant())
    outcome = settle(AccountRecord(ACCOUNT, a_book()), asked)
    outcome = replace(outcome, announcements=(Announcement(1, 0, rejected),))
    events = _check_parts(render(arrival(asked), outcome, {}))

    named = [(line["booking_id"], line["line"]) for e in events for line in e["in_the_way"]]
    assert lines == named
    assert {("grant_removal", "grant_in_use", "bonus")} == {
        (event["request"], event["reason"], event["grant_id"]) for event in events
    }


def _check_parts(parts: list[Rendered]) -> list[dict[str, Any]]:
    """Check what holds of the parts of any one event, and return what they say."""
    for part in parts:
        PUBLISHED[part.type].model_validate_json(part.payload)
    events = [json.loads(part.payload) for part in parts]
    numbers = range(1, len(parts) + 1)
    assert len(parts) > 1
    assert 1 == len({part.sequence for part in parts})
    assert len(parts) == len({part.event_id for part in parts})
    assert max(len(part.payload.encode()) for part in parts) <= PART_LIMIT_BYTES
    assert [(number, len(parts)) for number in numbers] == [
        (event["part"], event["parts"]) for event in events
    ]
    return events


@pytest.mark.parametrize(
    ("steps", "scale", "text"),
    [
        (0, 0, "0"),
        (7, 0, "7"),
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (1250, 2, "12.50"),
        (1, 6, "0.000001"),
    ],
)
def test_steps_are_written_with_all_places_of_their_unit(steps: int, scale: int, text: str) -> None:
    """A quantity always has as many decimals as its unit."""
    assert text == decimal_text(steps, scale)


def _record(*facts: Fact) -> AccountRecord:
    record = AccountRecord(ACCOUNT, a_book())
    for fact in facts:
        record.accept(settle(record, fact))
    return record


def _rendered(facts: Iterable[Fact], book: PolicyBook | None = None) -> list[Rendered]:
    record = AccountRecord(ACCOUNT, book or a_book())
    rendered: list[Rendered] = []
    for fact in facts:
        if admit(record.facts_of(fact.subject), fact) != "accepted":
            continue
        outcome = settle(record, fact)
        rendered += render(arrival(fact), outcome, record.grants)
        record.accept(outcome)
    return rendered


def _events(*facts: Fact) -> list[dict[str, Any]]:
    return [json.loads(part.payload) for part in _rendered(facts)]
