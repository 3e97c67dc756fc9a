"""Reading: what a record says becomes a fact, and what says nothing a dead letter."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_credits.inbox.reading import read_fact, read_record
from booking_credits.ledger.allotments import Allotment, StandingAllotment
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    BookingStarted,
    Correction,
    CreditsGranted,
    Fact,
    GrantRemoved,
    Line,
    Money,
    PackApproved,
    PackPurchased,
    PlanRenewed,
    Scope,
    Span,
    TimePassed,
)
from booking_credits.ledger.policies import Unit
from booking_credits.posting.batch import CLOCK_SOURCE, Arrival, DeadLetter, Origin
from booking_credits_contracts import RECEIVED, write_headers
from builders import a_book, at
from ledger.histories import histories
from postgres.arrivals import arrival, as_published

BOOK = a_book()
RECEIVED_AT = at("2026-03-01 09:01")
OCCURRED_AT = at("2026-03-01 09:00")

Json = dict[str, Any]

LINE: Json = {
    "line": 1,
    "starts_at": "2026-03-10T11:00:00+01:00",
    "ends_at": "2026-03-10T12:00:00+01:00",
    "resource": "fishbowl",
    "costs": {"minute": "60", "coin": "12.5"},
}
LINE_WITHOUT_COSTS: Json = {name: said for name, said in LINE.items() if name != "costs"}
DEAREST: Json = {"amount_minor": 10**15, "currency": "JPY"}
BOOKING: Json = {
    "account_id": "mina-and-sons",
    "booking_id": "standup",
    "revision": 3,
    "booked_at": "2026-02-28T09:00:00Z",
    "lines": [LINE],
}
GRANT: Json = {
    "account_id": "mina-and-sons",
    "grant_id": "welcome",
    "unit": "coin",
    "quantity": "50",
    "actor": "petra",
    "reason": "welcome",
}
PACK: Json = {
    "account_id": "mina-and-sons",
    "pack_id": "ten",
    "unit": "credit",
    "quantity": "10",
    "sold_via": "online",
}
APPROVAL: Json = {
    "account_id": "mina-and-sons",
    "pack_id": "ten",
    "document": "charge_sheet",
    "reference": "sheet-4",
}
REMOVAL: Json = {
    "account_id": "mina-and-sons",
    "grant_id": "welcome",
    "actor": "petra",
    "reason": "a mistake",
}
ACCOUNT: Json = {
    "account_id": "mina-and-sons",
    "from_date": "2026-03-01",
    "zone": "Europe/Berlin",
    "cycle": "month",
    "anchor_date": "2026-01-31",
}
RENEWAL: Json = {
    "account_id": "mina-and-sons",
    "plan": "hot-desk",
    "period_start": "2026-03-01",
    "allotments": [{"plan_line": "base", "unit": "credit", "quantity": "unlimited"}],
}


@pytest.mark.parametrize(
    ("event_type", "data", "fact"),
    [
        pytest.param(
            "booking-created",
            BOOKING,
            BookingRevised(
                "standup",
                3,
                OCCURRED_AT,
                at("2026-02-28 09:00"),
                (
                    Line(
                        1,
                        at("2026-03-10 10:00"),
                        at("2026-03-10 11:00"),
                        "fishbowl",
                        None,
                        None,
                        (("coin", 1250), ("minute", 60)),
                        None,
                    ),
                ),
            ),
            id="booking-created",
        ),
        pytest.param(
            "booking-updated",
            BOOKING
            | {
                "fallback": "card",
                "correction": {"actor": "petra", "reason": "made free"},
                "lines": [
                    LINE
                    | {
                        "location": "harbour",
                        "product_group": "rooms",
                        "costs": {},
                        "price": {"amount_minor": 1000, "currency": "EUR"},
                        "payable_by_credits": False,
                        "discounted": True,
                        "online_plan": True,
                    }
                ],
            },
            BookingRevised(
                "standup",
                3,
                OCCURRED_AT,
                at("2026-02-28 09:00"),
                (
                    Line(
                        1,
                        at("2026-03-10 10:00"),
                        at("2026-03-10 11:00"),
                        "fishbowl",
                        "harbour",
                        "rooms",
                        (),
                        Money(1000, "EUR"),
                        payable_by_credits=False,
                        discounted=True,
                        online_plan=True,
                    ),
                ),
                "card",
                Correction("petra", "made free"),
            ),
            id="booking-updated",
        ),
        pytest.param(
            "booking-cancelled",
            {"account_id": "mina-and-sons", "booking_id": "standup", "revision": 4},
            BookingRevised("standup", 4, OCCURRED_AT, None, ()),
            id="booking-cancelled",
        ),
        pytest.param(
            "booking-started",
            {"account_id": "mina-and-sons", "booking_id": "standup", "line": 2},
            BookingStarted("standup", 2, OCCURRED_AT),
            id="booking-started",
        ),
        pytest.param(
            "billing-plan-renewed",
            RENEWAL | {"period_end": "2026-04-01", "version": 2},
            PlanRenewed(
                "hot-desk",
                date(2026, 3, 1),
                date(2026, 4, 1),
                2,
                (Allotment("base", "credit", None),),
                OCCURRED_AT,
            ),
            id="billing-plan-renewed",
        ),
        pytest.param(
            "credits-granted",
            GRANT
            | {
                "valid_from": "2026-03-01T00:00:00Z",
                "valid_to": "2026-04-01T00:00:00Z",
                "backdated": True,
                "scope": {"resources": ["treehouse", "fishbowl", "fishbowl"]},
                "priority": 1,
                "source": "adjustment",
                "paid": True,
                "member_id": "mina",
                "reference": "INV-1",
            },
            CreditsGranted(
                "welcome",
                "coin",
                5000,
                OCCURRED_AT,
                at("2026-03-01 00:00"),
                at("2026-04-01 00:00"),
                backdated=True,
                scope=Scope(resources=("fishbowl", "treehouse")),
                priority=1,
                source="adjustment",
                paid=True,
                member_id="mina",
                actor="petra",
                reason="welcome",
                reference="INV-1",
            ),
            id="credits-granted",
        ),
        pytest.param(
            "credit-pack-purchased",
            PACK,
            PackPurchased("ten", "credit", 10, OCCURRED_AT, sold_via="online"),
            id="credit-pack-purchased-least",
        ),
        pytest.param(
            "credit-pack-purchased",
            PACK
            | {
                "quantity": "unlimited",
                "lifetime": {"count": 6, "unit": "months"},
                "starts_on": "2026-04-01",
                "price": {"amount_minor": 9000, "currency": "EUR"},
                "sold_via": "licence",
                "licence": "licence-9",
                "scope": {"locations": ["harbour"]},
                "priority": 50,
                "member_id": "mina",
            },
            PackPurchased(
                "ten",
                "credit",
                None,
                OCCURRED_AT,
                Span(6, "months"),
                date(2026, 4, 1),
                Scope(locations=("harbour",)),
                50,
                Money(9000, "EUR"),
                "licence",
                "licence-9",
                "mina",
            ),
            id="credit-pack-purchased",
        ),
        pytest.param(
            "credit-pack-approved",
            APPROVAL,
            PackApproved("ten", "charge_sheet", "sheet-4", OCCURRED_AT),
            id="credit-pack-approved",
        ),
        pytest.param(
            "credits-granted",
            GRANT | {"recurrence": "monthly", "end_date": "2026-12-31"},
            CreditsGranted(
                "welcome",
                "coin",
                5000,
                OCCURRED_AT,
                actor="petra",
                reason="welcome",
                recurrence="monthly",
                end_date=date(2026, 12, 31),
            ),
            id="credits-granted-monthly",
        ),
        pytest.param(
            "account-opened",
            ACCOUNT
            | {
                "allotments": [
                    {"name": "a", "unit": "coin", "quantity": "5"},
                    {
                        "name": "b",
                        "unit": "credit",
                        "quantity": "unlimited",
                        "scope": {"resources": ["fishbowl"]},
                        "priority": 1,
                        "plan": "resident",
                        "plan_line": "base",
                    },
                ]
            },
            AccountDescribed(
                date(2026, 3, 1),
                "Europe/Berlin",
                "month",
                date(2026, 1, 31),
                None,
                None,
                False,
                OCCURRED_AT,
                (
                    StandingAllotment("a", "coin", 500),
                    StandingAllotment(
                        *("b", "credit", None, Scope(resources=("fishbowl",)), 1),
                        ("resident", "base"),
                    ),
                ),
            ),
            id="account-opened-with-allotments",
        ),
        pytest.param(
            "grant-removed",
            REMOVAL,
            GrantRemoved("welcome", None, None, OCCURRED_AT, "petra", "a mistake"),
            id="grant-removed-whole",
        ),
        pytest.param(
            "grant-removed",
            REMOVAL | {"grant_id": "plan/a/b/2026-03-01", "unit": "coin", "quantity": "12.5"},
            GrantRemoved("plan/a/b/2026-03-01", "coin", 1250, OCCURRED_AT, "petra", "a mistake"),
            id="grant-removed",
        ),
        pytest.param(
            "account-changed",
            ACCOUNT | {"policy": "packs", "location": "harbour", "on_account": True},
            AccountDescribed(
                date(2026, 3, 1),
                "Europe/Berlin",
                "month",
                date(2026, 1, 31),
                "packs",
                "harbour",
                True,
                OCCURRED_AT,
            ),
            id="account-changed",
        ),
    ],
)
def test_an_event_becomes_the_fact_that_it_tells(event_type: str, data: Json, fact: Fact) -> None:
    """Decimals become steps of their unit, instants UTC, and what is left out its default."""
    read = _arrival(event_type, data)

    assert fact == read.fact
    assert ("mina-and-sons", event_type, "/bookings", "evt-1", RECEIVED_AT) == (
        read.account_id,
        read.type,
        read.source,
        read.event_id,
        read.recorded_at,
    )


@pytest.mark.parametrize("left_out", [{}, {"costs": None}])
@pytest.mark.parametrize(
    ("amount_minor", "currency", "coins"),
    [
        (1000, "EUR", 400),
        (1001, "EUR", 401),
        (0, "EUR", 0),
        (1000, "USD", 1000),
        (1000, "JPY", 100_000),
        (1000, "KWD", 100),
        (1001, "KWD", 101),
    ],
)
def test_a_line_without_costs_costs_its_price_in_coins(
    left_out: Json, amount_minor: int, currency: str, coins: int
) -> None:
    """At the coin's worth in the currency, 1 where none is stated, rounded up to its step."""
    price = {"amount_minor": amount_minor, "currency": currency}
    (line,) = _lines_of(LINE_WITHOUT_COSTS | left_out | {"price": price})
    assert ((("coin", coins),), Money(amount_minor, currency)) == (line.costs, line.price)


@pytest.mark.parametrize(
    "line",
    [
        LINE_WITHOUT_COSTS,
        LINE_WITHOUT_COSTS | {"costs": {}, "price": {"amount_minor": 1000, "currency": "EUR"}},
    ],
)
def test_a_line_that_says_nothing_of_its_costs_or_price_has_no_costs(line: Json) -> None:
    """Nor has one that says that there are no costs, whatever its price."""
    assert [()] == [read.costs for read in _lines_of(line)]


@pytest.mark.parametrize(
    ("event_type", "data", "reason"),
    [
        pytest.param("credits-granted", GRANT | {"unit": "hug"}, "unknown_unit", id="unit"),
        pytest.param(
            "credits-granted",
            GRANT | {"unit": "hug", "quantity": "unlimited"},
            "unknown_unit",
            id="unit-of-unlimited",
        ),
        pytest.param(
            "booking-created",
            BOOKING | {"lines": [LINE | {"costs": {"hug": "1"}}]},
            "unknown_unit",
            id="unit-of-a-cost",
        ),
        pytest.param(
            "credits-granted", GRANT | {"quantity": "0.001"}, "too_precise", id="too-precise"
        ),
        pytest.param(
            "booking-created",
            BOOKING | {"lines": [LINE | {"costs": {"minute": "0.5"}}]},
            "too_precise",
            id="too-precise-a-cost",
        ),
        pytest.param(
            "booking-created",
            BOOKING | {"lines": [LINE_WITHOUT_COSTS | {"price": DEAREST}]},
            "out_of_range",
            id="out-of-range-a-price",
        ),
        pytest.param(
            "credits-granted",
            GRANT | {"quantity": "999999999999999"},
            "out_of_range",
            id="out-of-range",
        ),
        pytest.param(
            "account-opened", ACCOUNT | {"policy": "anarchy"}, "unknown_policy", id="policy"
        ),
        pytest.param(
            "credits-granted",
            GRANT | {"grant_id": "plan/hot-desk/base/2026-03-01"},
            "reserved_id",
            id="reserved-id",
        ),
        pytest.param(
            "credit-pack-approved",
            APPROVAL | {"pack_id": "plan/hot-desk/base/2026-03-01"},
            "reserved_id",
            id="reserved-id-of-a-pack",
        ),
        pytest.param("booking-created", {"account_id": "a"}, "schema", id="schema"),
        pytest.param("booking-dreamt", BOOKING, "unknown_type", id="unknown-type"),
        pytest.param("time-passed", {}, "unknown_type", id="time-is-not-published"),
    ],
)
def test_what_cannot_be_a_fact_becomes_a_dead_letter(
    event_type: str, data: Json, reason: str
) -> None:
    """The letter gives the reason, and what is known of the event."""
    origin = _record(event_type, data)
    letter = read_record(origin, BOOK, RECEIVED_AT)

    assert isinstance(letter, DeadLetter)
    assert (reason, origin, RECEIVED_AT) == (letter.reason, letter.origin, letter.received_at)
    assert (event_type, "/bookings", "evt-1", "mina-and-sons") == (
        letter.type,
        letter.source,
        letter.event_id,
        letter.account_id,
    )


def test_no_publisher_speaks_for_the_clock() -> None:
    """An event under the clock's source could take the id of an instant that is yet to pass."""
    tick_id = "mina-and-sons/2026-03-10T10:00:00+00:00"
    headers = write_headers(
        id=tick_id, source=CLOCK_SOURCE, type="booking-created", time=OCCURRED_AT
    )
    value = json.dumps(BOOKING).encode()
    letter = read_record(
        Origin("bookings", 0, 7, None, None, value, tuple(headers)), BOOK, RECEIVED_AT
    )

    assert isinstance(letter, DeadLetter)
    assert ("reserved_source", tick_id) == (letter.reason, letter.event_id)


def test_a_zero_after_the_units_last_decimal_is_not_too_precise() -> None:
    """Only decimals that say something count."""
    read = _arrival("credits-granted", GRANT | {"quantity": "50.250000"})

    assert isinstance(read.fact, CreditsGranted)
    assert 5025 == read.fact.quantity


def test_a_dead_letter_never_quotes_the_message() -> None:
    """Whatever a publisher wrote stays in the record: the reason and detail go to logs."""
    secret = "hunter2"
    for data in (
        GRANT | {"quantity": secret},
        GRANT | {"unit": secret},
        GRANT | {"grant_id": f"plan/{secret}"},
        GRANT | {"scope": {secret: [secret]}},
        ACCOUNT | {"policy": secret},
    ):
        event_type = "account-opened" if "zone" in data else "credits-granted"
        letter = read_record(_record(event_type, data), BOOK, RECEIVED_AT)
        assert isinstance(letter, DeadLetter)
        assert secret not in letter.detail


def test_headers_that_cannot_be_kept_as_text_are_left_out_of_a_dead_letter() -> None:
    """The columns beside the record hold plain, short text or nothing."""
    headers = (("ce_id", b"\xff"), ("ce_type", b"a\x00b"), ("ce_source", None), ("ce_time", b"x"))
    letter = read_record(Origin("t", 0, 0, None, b"k" * 300, b"{}", headers), BOOK, RECEIVED_AT)

    assert isinstance(letter, DeadLetter)
    assert (None, None, None, None) == (
        letter.type,
        letter.source,
        letter.event_id,
        letter.account_id,
    )


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary() | st.text().map(str.encode),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["ce_id", "ce_type", "ce_time", "content-type", "ce_specversion", "x"]),
            st.none() | st.binary(max_size=20) | st.sampled_from([t.encode() for t in RECEIVED]),
        )
    ),
)
def test_whatever_bytes_come_reading_raises_nothing(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    """Any record at all is read, or becomes a dead letter."""
    letter = read_record(Origin("t", 0, 0, None, key, value, tuple(headers)), BOOK, RECEIVED_AT)

    assert isinstance(letter, DeadLetter)


@given(data=st.data())
def test_whatever_json_comes_reading_raises_nothing(data: st.DataObject) -> None:
    """A field may hold anything JSON can say."""
    event_type, whole = data.draw(
        st.sampled_from(
            [
                ("booking-created", BOOKING),
                ("credits-granted", GRANT),
                ("account-opened", ACCOUNT),
                ("billing-plan-renewed", RENEWAL),
                ("credit-pack-purchased", PACK),
            ]
        )
    )
    field = data.draw(st.sampled_from(sorted(whole)))
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
    read = read_record(_record(event_type, whole | {field: data.draw(anything)}), BOOK, RECEIVED_AT)

    assert isinstance(read, Arrival | DeadLetter)


@given(facts=histories())
def test_a_fact_on_record_reads_as_it_arrived(facts: list[Fact]) -> None:
    """What is stored of an event is enough to read its fact again."""
    for fact in facts:
        came = arrival(as_published(fact))
        assert came.fact == read_fact(came.type, came.fact.occurred_at, came.payload, BOOK)


def test_an_instant_that_passed_is_read_from_its_time_alone() -> None:
    """The clock's facts carry no data."""
    assert TimePassed(OCCURRED_AT) == read_fact("time-passed", OCCURRED_AT, "{}", BOOK)


def test_white_space_and_defaults_are_no_content() -> None:
    """The same data, written otherwise, has the same hash and payload."""
    spoken_out = GRANT | {"paid": False, "scope": {"resources": None}, "valid_from": None}
    usual = _arrival("credits-granted", GRANT)
    for value in (
        json.dumps(GRANT, indent=4),
        json.dumps(spoken_out),
        json.dumps(GRANT | {"a_later_field": 1}),
        json.dumps(dict(reversed(GRANT.items()))),
    ):
        other = _arrival("credits-granted", json.loads(value), value)
        assert (usual.payload, usual.payload_hash) == (other.payload, other.payload_hash)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("credits-granted", GRANT | {"quantity": "51"}, OCCURRED_AT), id="data"),
        pytest.param(("credits-granted", GRANT, at("2026-03-01 09:01")), id="time"),
    ],
)
def test_what_says_something_else_has_another_hash(other: tuple[str, Json, datetime]) -> None:
    """The hash is over type, time and data."""
    usual = _arrival("credits-granted", GRANT)
    event_type, data, occurred_at = other
    read = read_record(_record(event_type, data, occurred_at=occurred_at), BOOK, RECEIVED_AT)

    assert isinstance(read, Arrival)
    assert usual.payload_hash != read.payload_hash


def test_the_type_is_part_of_the_content() -> None:
    """A booking made and a booking updated are not the same event."""
    made, updated = (_arrival(name, BOOKING) for name in ("booking-created", "booking-updated"))

    assert made.payload == updated.payload
    assert made.payload_hash != updated.payload_hash


def test_a_structured_event_is_the_same_as_a_binary_one() -> None:
    """How an event travelled is no content."""
    structured = {
        "specversion": "1.0",
        "id": "evt-1",
        "source": "/bookings",
        "type": "credits-granted",
        "time": OCCURRED_AT.isoformat(),
        "data": GRANT,
    }
    headers = (("content-type", b"application/cloudevents+json"),)
    value = json.dumps(structured).encode()
    read = read_record(Origin("t", 0, 0, None, None, value, headers), BOOK, RECEIVED_AT)
    usual = _arrival("credits-granted", GRANT)

    assert isinstance(read, Arrival)
    assert (usual.fact, usual.payload_hash) == (read.fact, read.payload_hash)


def _record(
    event_type: str, data: Json, value: str | None = None, occurred_at: datetime = OCCURRED_AT
) -> Origin:
    headers = write_headers(id="evt-1", source="/bookings", type=event_type, time=occurred_at)
    text = json.dumps(data) if value is None else value
    sent_at = datetime(2026, 3, 1, tzinfo=UTC)
    return Origin("bookings", 0, 7, sent_at, b"mina-and-sons", text.encode(), tuple(headers))


def _lines_of(line: Json) -> tuple[Line, ...]:
    """Read a booking of one line where a coin is worth two and a half euros."""
    coin = Unit("coin", "money", 2, (("EUR", 250),))
    book = replace(BOOK, units=BOOK.units | {"coin": coin})
    read = read_record(_record("booking-created", BOOKING | {"lines": [line]}), book, RECEIVED_AT)
    assert isinstance(read, Arrival)
    assert isinstance(read.fact, BookingRevised)
    assert read.fact == read_fact(read.type, OCCURRED_AT, read.payload, book)
    return read.fact.lines


def _arrival(event_type: str, data: Json, value: str | None = None) -> Arrival:
    read = read_record(_record(event_type, data, value), BOOK, RECEIVED_AT)
    assert isinstance(read, Arrival), (read.reason, read.detail)
    return read
