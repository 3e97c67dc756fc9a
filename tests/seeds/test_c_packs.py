"""C: what the description of credit packs promises, beyond the examples of the ledger's tests."""

from dataclasses import replace

import pytest

from booking_credits.ledger.charges import NOTHING, WHOLE, Fraction
from booking_credits.ledger.facts import (
    Document,
    Fact,
    Line,
    PackApproved,
    Rollover,
    SaleChannel,
    Scope,
    Span,
)
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_line,
    a_pack,
    a_record,
    a_removal,
    a_renewal,
    an_account,
    an_allotment,
    an_approval,
    at,
    post,
    time_passed,
)
from seeds.figures import owed, owed_minor, remaining, uncovered, used

BOOK = a_book(policy="packs")
ONE_MONTH = Span(1, "months")
ROOMS = Scope(product_groups=("rooms",))


@pytest.mark.parametrize("sold_via", ["point_of_sale", "online", "licence", "charge_sheet"])
def test_packs_are_sold_in_four_ways(sold_via: SaleChannel) -> None:
    """Whichever way a pack came, its credits pay."""
    pack = replace(a_pack(), sold_via=sold_via)
    record = a_record(pack, an_approval(), _books("A", 2), book=BOOK)
    assert (NOTHING, 3) == (uncovered(record, "A"), remaining(record, "credit"))


@pytest.mark.parametrize(("group", "expected"), [("rooms", NOTHING), ("desks", WHOLE)])
def test_packs_pay_the_product_groups_they_are_for(group: str, expected: Fraction) -> None:
    """Rooms, desks and other products: a pack for rooms pays no desk."""
    line = a_line(costs={"credit": 2}, product_group=group)
    record = a_record(a_pack(scope=ROOMS), an_approval(), a_booking("A", line), book=BOOK)
    assert expected == uncovered(record, "A")


@pytest.mark.parametrize("price", [None, 0, 9900])
def test_a_pack_counts_once_it_is_approved_even_if_it_is_free(price: int | None) -> None:
    """Until then it is there and pays nothing; then it pays what was booked meanwhile."""
    record = a_record(a_pack(price=price), _books("A", 2), book=BOOK)
    assert (WHOLE, True) == (uncovered(record, "A"), "credit" not in record.balances)
    post(record, [an_approval()])
    assert (NOTHING, 3) == (uncovered(record, "A"), remaining(record, "credit"))


@pytest.mark.parametrize("document", ["invoice", "charge_sheet"])
def test_an_invoice_or_a_charge_sheet_approves_a_pack(document: Document) -> None:
    """Either document will do."""
    approval = PackApproved("pack", document, "no-1", at("2026-03-02 09:00"))
    record = a_record(a_pack(), approval, book=BOOK)
    assert 5 == remaining(record, "credit")


def test_a_licences_credits_expire_and_new_ones_come() -> None:
    """With a lifetime of a month, each billing period ends with its own credits."""
    facts: list[Fact] = [
        a_pack("march", starts_on="2026-03-01", lifetime=ONE_MONTH, bought="2026-03-01 00:00"),
        an_approval("march"),
        _books("A", 2),
        time_passed("2026-04-01 00:00"),
        a_pack("april", starts_on="2026-04-01", lifetime=ONE_MONTH, bought="2026-04-01 00:00"),
        an_approval("april"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (5, 3) == (remaining(record, "credit"), record.balances["credit"].expired)


def test_a_licences_credits_roll_where_the_pack_has_no_lifetime() -> None:
    """Without a lifetime the old rest stays beside the new credits."""
    facts: list[Fact] = [
        a_pack("march", bought="2026-03-01 00:00"),
        an_approval("march"),
        _books("A", 2),
        time_passed("2026-04-01 00:00"),
        a_pack("april", bought="2026-04-01 00:00"),
        an_approval("april"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (8, 0) == (remaining(record, "credit"), record.balances["credit"].expired)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [("2026-04-30 23:00", NOTHING), ("2026-05-01 00:00", WHOLE)],
)
def test_a_licences_credits_roll_for_a_time_that_is_set(starts: str, expected: Fraction) -> None:
    """March's credits that roll for a month pay through April, and then no more."""
    rollover = Rollover(ONE_MONTH, None)
    licence = a_renewal(
        an_allotment(5, unit="credit", rollover=rollover), plan="licence", period="2026-03-01"
    )
    booking = a_booking("A", _room(2, starts), fallback="invoice")
    record = a_record(licence, time_passed("2026-04-01 00:00"), booking, book=BOOK)
    assert expected == uncovered(record, "A")


@pytest.mark.parametrize(
    ("lifetime", "last_day"),
    [
        (Span(1, "days"), "2026-03-01"),
        (Span(90, "days"), "2026-05-29"),
        (ONE_MONTH, "2026-03-31"),
        (Span(12, "months"), "2027-02-28"),
    ],
)
def test_a_lifetime_is_any_number_of_days_or_months(lifetime: Span, last_day: str) -> None:
    """A pack of 1 March pays through its last day; unused credits are gone the next."""
    facts: list[Fact] = [
        a_pack(starts_on="2026-03-01", lifetime=lifetime, bought="2026-03-01 00:00"),
        an_approval(),
        a_booking("A", _room(2, f"{last_day} 23:59")),
        time_passed(f"{last_day} 23:59"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (NOTHING, 3) == (uncovered(record, "A"), remaining(record, "credit"))
    post(record, [time_passed("2027-03-01 00:00")])
    assert (0, 3) == (remaining(record, "credit"), record.balances["credit"].expired)


def test_an_open_ended_pack_pays_until_it_is_used_up() -> None:
    """Years later four of its five credits are used, and then the last."""
    facts: list[Fact] = [
        a_pack(),
        an_approval(),
        time_passed("2030-01-01 00:00"),
        a_booking("A", _room(4, "2030-06-01 10:00")),
        a_booking("B", _room(2, "2031-06-01 10:00")),
    ]
    record = a_record(*facts, book=BOOK)
    assert (NOTHING, (1, 2)) == (uncovered(record, "A"), uncovered(record, "B"))


def test_credits_used_do_not_reflect_a_booking_without_credits() -> None:
    """A booking made when nothing is valid uses nothing, until a pack that covers it is bought."""
    booking = a_booking("A", _room(2), fallback="on_account")
    record = a_record(an_account(on_account=True, policy="packs"), booking, book=BOOK)
    assert {} == record.balances
    post(record, [a_pack(bought="2026-03-05 09:00"), an_approval(occurred="2026-03-05 09:05")])
    assert (2, 3) == (used(record, "credit"), remaining(record, "credit"))


@pytest.mark.parametrize(
    ("bought", "owed_cents"), [("2026-03-10 09:59", 0), ("2026-03-10 10:01", 4000)]
)
def test_a_pack_bought_after_the_meeting_does_not_pay_it(bought: str, owed_cents: int) -> None:
    """Once the meeting's time has passed without a pack, it is an overage and stays one."""
    facts: list[Fact] = [
        an_account(on_account=True, policy="packs"),
        a_booking("A", _room(2, price=4000), fallback="on_account"),
        a_pack(bought=bought),
        an_approval(occurred="2026-03-11 09:00"),
        time_passed("2026-03-12 00:00"),
    ]
    assert owed_cents == owed_minor(a_record(*facts, book=BOOK))


def test_what_exceeds_the_credits_bought_is_charged_in_the_period_of_the_booking() -> None:
    """Seven credits are booked of five: two of the last three are owed, for March."""
    facts: list[Fact] = [
        a_pack(),
        an_approval(),
        a_booking("A", _room(4, "2026-03-10 10:00", price=4000)),
        a_booking("B", _room(3, "2026-03-20 10:00", price=3000)),
        time_passed("2026-04-20 00:00"),
    ]
    assert [("B", 2000, "2026-03-01")] == [
        (o.key.booking_id, o.total_minor, o.key.period_start.isoformat())
        for o in owed(a_record(*facts, book=BOOK))
    ]


def test_a_pack_comes_with_an_online_plan_that_credits_do_not_pay() -> None:
    """The plan's own booking is paid in cash; the pack that came with it pays others."""
    pack = replace(a_pack(), sold_via="online")
    plan = a_booking("plan", a_line(costs={"credit": 2}, online_plan=True))
    record = a_record(pack, an_approval(), plan, _books("A", 2), book=BOOK)
    assert (False, True) == (record.charges["plan", 1].eligible, record.charges["A", 1].eligible)
    assert 2 == used(record, "credit")


def test_a_credit_note_takes_credits_back() -> None:
    """Of five credits three were too many: two stay, and an accepted booking keeps its own."""
    facts: list[Fact] = [
        a_pack(),
        an_approval(),
        _books("A", 1),
        a_removal("pack", 3, unit="credit", occurred="2026-03-04 09:00"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (1, 1, 3) == (
        used(record, "credit"),
        remaining(record, "credit"),
        record.balances["credit"].removed,
    )
    post(record, [a_booking("B", _room(2, "2026-03-20 10:00"), occurred="2026-03-05 09:00")])
    assert (1, 2) == uncovered(record, "B")


@pytest.mark.parametrize("notice", ["2026-03-01 10:00", "2026-03-10 09:59"])
def test_no_fee_is_kept_of_a_cancelled_booking(notice: str) -> None:
    """However short the notice: every credit comes back, and nothing is owed."""
    facts: list[Fact] = [
        a_pack(),
        an_approval(),
        a_booking("A", _room(4, price=4000), occurred="2026-03-01 09:30"),
        a_cancellation("A", occurred=notice),
        time_passed("2026-04-20 00:00"),
    ]
    record = a_record(*facts, book=BOOK)
    assert (5, []) == (remaining(record, "credit"), owed(record))


def test_a_started_booking_is_refunded_by_a_charge_sheet() -> None:
    """A free pack on a charge sheet makes up for what the cancellation does not return."""
    facts: list[Fact] = [
        a_pack(),
        an_approval(),
        _books("A", 2),
        a_cancellation("A", occurred="2026-03-10 10:30"),
        a_pack("goodwill", 2, price=0, bought="2026-03-11 09:00"),
        PackApproved("goodwill", "charge_sheet", "sheet-7", at("2026-03-11 09:05")),
    ]
    record = a_record(*facts, book=BOOK)
    assert (2, 5) == (used(record, "credit"), remaining(record, "credit"))


def _room(credits_needed: int, starts: str = "2026-03-10 10:00", *, price: int = 1000) -> Line:
    return a_line(starts=starts, costs={"credit": credits_needed}, price=price)


def _books(name: str, credits_needed: int) -> Fact:
    return a_booking(name, _room(credits_needed))
