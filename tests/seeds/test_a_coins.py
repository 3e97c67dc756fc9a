"""A: what the description of booking coins promises, beyond the examples of the ledger's tests."""

import json
from importlib import resources
from pathlib import Path

import pytest

import booking_credits
from booking_credits.inbox.facts import read_fact
from booking_credits.ledger.charges import NOTHING, WHOLE
from booking_credits.ledger.facts import Fact, Scope
from booking_credits.policy_file import read_policies
from builders import (
    a_book,
    a_booking,
    a_grant,
    a_line,
    a_record,
    a_removal,
    a_renewal,
    an_allotment,
    at,
    time_passed,
)
from enquiries.asking import ask_json
from postgres.arrivals import post as post_all
from seeds.figures import owed, owed_minor, remaining, uncovered, used

BOOK = a_book(policy="coins")
TREEHOUSE = Scope(resources=("treehouse",))


def test_a_booking_that_coins_pay_is_not_invoiced() -> None:
    """Who has coins books without a charge for each booking."""
    record = a_record(a_grant(), a_booking(), time_passed("2026-04-01 00:00"), book=BOOK)
    assert [] == owed(record)


@pytest.mark.parametrize(
    ("worth", "currency", "owed_minor_units"),
    [
        ("", "EUR", 600),
        ('worth = { EUR = "0.50", USD = "2.50" }', "EUR", 800),
        ('worth = { EUR = "0.50", USD = "2.50" }', "USD", 0),
        ('worth = { EUR = "0.50", USD = "2.50" }', "GBP", 600),
    ],
)
def test_a_coin_may_be_worth_another_amount(
    worth: str, currency: str, owed_minor_units: int
) -> None:
    """Of a price of ten, four coins pay four, or two at a half each, or all at two and a half."""
    shipped = resources.files(booking_credits).joinpath("policies.toml").read_text()
    usual = 'coin = { kind = "money", scale = 2 }'
    assert usual in shipped
    stated = f"{usual.removesuffix(' }')}{worth and f', {worth}'} }}"
    book = read_policies(shipped.replace(usual, stated), "policies.toml")
    booked = read_fact("booking-created", at("2026-03-02 09:00"), _priced(1000, currency), book)

    record = a_record(a_grant(quantity=400), booked, time_passed("2026-03-10 10:00"), book=book)
    assert owed_minor_units == owed_minor(record)


def test_coins_work_beside_hours() -> None:
    """Hours pay first what they can; coins pay the rest of the same booking."""
    line = a_line(minutes=120, costs={"minute": 120, "coin": 4000}, price=4000)
    hour = a_grant("hour", 60, unit="minute")
    record = a_record(hour, a_grant("coins", 5000), a_booking("standup", line), book=BOOK)
    assert NOTHING == uncovered(record, "standup")
    assert (60, 2000) == (used(record, "minute"), used(record, "coin"))


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ("2026-03-14 23:00", WHOLE),
        ("2026-03-15 00:00", NOTHING),
        ("2026-03-31 23:59", NOTHING),
        ("2026-04-01 00:00", WHOLE),
    ],
)
def test_coins_are_given_from_one_date_to_another(starts: str, expected: tuple[int, int]) -> None:
    """They pay bookings from the start date on, and none from the end on."""
    coins = a_grant(valid_from="2026-03-15 00:00", valid_to="2026-04-01 00:00")
    record = a_record(coins, a_booking("standup", a_line(starts=starts)), book=BOOK)
    assert expected == uncovered(record, "standup")


def test_coins_given_once_are_not_reset() -> None:
    """What one month leaves of them is there in the next, until they are used up."""
    facts: list[Fact] = [
        a_grant(quantity=2000, granted="2026-03-05 12:00"),
        a_booking("march"),
        time_passed("2026-05-01 00:00"),
        a_booking("may", a_line(starts="2026-05-10 10:00"), occurred="2026-05-02 09:00"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (2000, 0) == (used(record, "coin"), remaining(record, "coin"))
    assert NOTHING == uncovered(record, "may")


def test_coins_given_once_that_are_left_expire_after_twelve_months() -> None:
    """At the end of the day, twelve months on, what is neither held nor drawn is lost."""
    facts: list[Fact] = [a_grant(quantity=2000, granted="2026-03-05 12:00"), a_booking()]
    record = a_record(*facts, time_passed("2027-03-05 23:59"), book=BOOK)
    assert 1000 == remaining(record, "coin")
    record = a_record(*facts, time_passed("2027-03-06 00:00"), book=BOOK)
    assert (0, 1000) == (remaining(record, "coin"), record.balances["coin"].expired)


def test_monthly_coins_begin_anew_by_themselves() -> None:
    """What March leaves is lost, and April has its own without anyone doing anything."""
    monthly = a_grant("coins", 5000, granted="2026-03-01 00:00", monthly=True)
    record = a_record(monthly, a_booking(), time_passed("2026-04-01 00:00"), book=BOOK)
    assert (1000, 5000, 4000) == (
        used(record, "coin"),
        remaining(record, "coin"),
        record.balances["coin"].expired,
    )


def test_an_end_date_stops_monthly_coins() -> None:
    """Coins that end with April pay on its last day, and there are none for May."""
    monthly = a_grant("coins", 5000, granted="2026-03-01 00:00", monthly=True, ends_on="2026-04-30")
    facts: list[Fact] = [
        monthly,
        a_booking("april", a_line(starts="2026-04-30 23:00")),
        a_booking("may", a_line(starts="2026-05-01 00:00")),
        time_passed("2026-05-01 00:00"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (NOTHING, WHOLE) == (uncovered(record, "april"), uncovered(record, "may"))
    assert 0 == remaining(record, "coin")


def test_a_plan_gives_its_coins_by_itself() -> None:
    """A renewal of the billing plan is all that it takes."""
    record = a_record(a_renewal(an_allotment(5000)), a_booking(), book=BOOK)
    assert (1000, 4000) == (used(record, "coin"), remaining(record, "coin"))


def test_a_plans_coins_pay_the_resources_that_were_selected() -> None:
    """Coins of a plan for the treehouse do not pay the fishbowl."""
    facts: list[Fact] = [
        a_renewal(an_allotment(5000, scope=TREEHOUSE)),
        a_booking("up", a_line(resource="treehouse")),
        a_booking("down", a_line(resource="fishbowl")),
    ]
    record = a_record(*facts, book=BOOK)
    assert (NOTHING, WHOLE) == (uncovered(record, "up"), uncovered(record, "down"))


def test_who_gave_coins_stays_on_record() -> None:
    """An administrator gives coins by name and with a reason, which the fact keeps."""
    (fact,) = a_record(a_grant(granted="2026-03-05 12:00"), book=BOOK).facts_of("grant/welcome")
    assert ("petra", at("2026-03-05 12:00")) == (getattr(fact, "actor", None), fact.occurred_at)


async def test_the_log_shows_when_and_by_whom(database: str, tmp_path: Path) -> None:
    """The instant at which coins were issued stands beside who issued them."""
    renewed = a_renewal(period="2026-03-01", occurred="2026-03-02 08:00")
    await post_all(database, [a_grant(granted="2026-03-05 12:00"), renewed])
    log = await ask_json(database, "log", "mina-and-sons", folder=tmp_path)
    assert [
        ("2026-03-05T12:00:00Z", "issued", "50.00", "petra"),
        ("2026-03-02T08:00:00Z", "issued", "50.00", "plan hot-desk"),
    ] == [(entry["at"], entry["what"], entry["quantity"], entry["by"]) for entry in log["entries"]]


def test_an_allocation_can_be_deleted() -> None:
    """What nobody has booked with is removed, and pays no booking made afterwards."""
    facts: list[Fact] = [
        a_grant(granted="2026-03-01 09:00"),
        a_removal("welcome", occurred="2026-03-02 09:00"),
        a_booking(occurred="2026-03-02 09:05"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (0, 5000) == (remaining(record, "coin"), record.balances["coin"].removed)
    assert WHOLE == uncovered(record, "standup")


async def test_removed_coins_can_still_be_shown(database: str, tmp_path: Path) -> None:
    """They are hidden until they are asked for, and then say who removed them, when and why."""
    removal = a_removal("welcome", occurred="2026-03-02 09:00")
    await post_all(database, [a_grant(granted="2026-03-01 09:00"), removal])
    shown = await ask_json(database, "grants", "mina-and-sons", folder=tmp_path)
    every = await ask_json(database, "grants", "mina-and-sons", "--removed", folder=tmp_path)
    assert [] == shown["grants"]
    ((removed,),) = [grant["removals"] for grant in every["grants"]]
    assert ("petra", "2026-03-02T09:00:00Z", "given by mistake") == (
        removed["by"],
        removed["at"],
        removed["reason"],
    )


def _priced(amount_minor: int, currency: str) -> str:
    """Write a booking whose line says its price and not what it costs in credits."""
    line = {
        "line": 1,
        "starts_at": "2026-03-10T10:00:00Z",
        "ends_at": "2026-03-10T11:00:00Z",
        "resource": "fishbowl",
        "price": {"amount_minor": amount_minor, "currency": currency},
    }
    booking = {"booking_id": "standup", "revision": 1, "booked_at": "2026-03-02T09:00:00Z"}
    return json.dumps(booking | {"lines": [line]})
