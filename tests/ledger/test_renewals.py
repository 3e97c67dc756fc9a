"""Renewals of a plan, late, early, doubled, contradicting, replaced: what each posts and tells."""

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import PeriodStatement, StatedOverage
from booking_credits.ledger.facts import Fact, Rollover, Span
from builders import (
    a_book,
    a_booking,
    a_closing,
    a_line,
    a_record,
    a_renewal,
    a_standing_allotment,
    an_account,
    an_allotment,
    post,
    time_passed,
)
from ledger.living import EntryRow, EventRow, entries_of, events_of

MARCH = "plan/hot-desk/base/2026-03-01"
APRIL = "plan/hot-desk/base/2026-04-01"
FEBRUARY = "plan/hot-desk/base/2026-02-01"
FIFTY = an_allotment(5000)
STANDUP = a_booking("standup", a_line(starts="2026-03-10 10:00", costs={"coin": 1000}, price=1000))
ALLOTTED = an_account(
    since="2026-03-01",
    policy="tenant",
    allotments=[a_standing_allotment(500, plan_line=("hot-desk", "base"))],
)
WORKSHOP = a_booking("workshop", a_line(costs={"credit": 200}, price=1000))
ISSUED = (MARCH, "granted", "available", 5000, None)
HELD = (MARCH, "available", "held", 1000, "standup")
COVERED = ("decided", "standup", 0)
UNCOVERED = ("decided", "standup", 1)
BALANCE = ("balance", "coin")


def test_on_time() -> None:
    """What is waited for: the whole quantity is issued, and a booking that waited holds of it."""
    assert (
        [ISSUED, HELD],
        [BALANCE, COVERED],
    ) == _posted(STANDUP, a_renewal(FIFTY))


def test_late_by_hours() -> None:
    """Nobody used the room meanwhile, so it is as if the renewal had been on time."""
    now = time_passed("2026-03-01 06:00")
    assert ([ISSUED, HELD], [BALANCE, COVERED]) == _posted(STANDUP, now, a_renewal(FIFTY))


def test_late_by_weeks() -> None:
    """The charge that was owed meanwhile is paid after all, and owed no more."""
    now = time_passed("2026-03-22 00:00")
    late = a_renewal(FIFTY, occurred="2026-03-22 08:00")
    assert (
        [ISSUED, (MARCH, "available", "drawn", 1000, "standup")],
        [BALANCE, ("reversed", "standup", -1000), COVERED],
    ) == _posted(STANDUP, now, late)


def test_late_by_more_than_its_period() -> None:
    """Its own time's bookings are still paid; what nobody took is issued and gone at once."""
    now = time_passed("2026-04-02 00:00")
    late = a_renewal(FIFTY, occurred="2026-04-02 08:00")
    assert (
        [
            (MARCH, "granted", "expired", 5000, None),
            (MARCH, "expired", "drawn", 1000, "standup"),
        ],
        [BALANCE, ("reversed", "standup", -1000), COVERED],
    ) == _posted(STANDUP, now, late)


def test_late_until_its_period_was_closed() -> None:
    """What was short is paid after all, and the open period's statement tells it as adjusted."""
    now: list[Fact] = [STANDUP, time_passed("2026-04-01 00:00"), a_closing("2026-04-01 00:00")]
    late = a_renewal(FIFTY, occurred="2026-04-06 08:00")
    assert (
        [
            (MARCH, "granted", "expired", 5000, None),
            (MARCH, "expired", "drawn", 1000, "standup"),
        ],
        [BALANCE, ("reversed", "standup", -1000), COVERED],
    ) == _posted(*now, late)

    [closed] = post(_record(*now, late), [a_closing("2026-05-01 00:00")])
    [statement] = [announcement.content for announcement in closed.announcements]
    assert isinstance(statement, PeriodStatement)
    assert (StatedOverage("EUR", "invoice", 0, -1000),) == statement.overages
    # Issued and gone at once: nothing that could still be used.
    [coins] = statement.units
    assert (0, 0) == (coins.adjusted, coins.closing)


def test_early() -> None:
    """What begins next month can already hold next month's booking, and pays no other."""
    today = time_passed("2026-02-20 00:00")
    february = a_booking("retro", a_line(starts="2026-02-25 10:00"))
    early = a_renewal(FIFTY, occurred="2026-02-20 08:00")
    assert ([ISSUED, HELD], [BALANCE, COVERED]) == _posted(STANDUP, february, today, early)


def test_doubled() -> None:
    """The same again is no news, whenever it was sent and whatever came in between."""
    again = a_renewal(FIFTY, occurred="2026-03-05 00:00")
    record = _record(a_renewal(FIFTY), STANDUP, time_passed("2026-03-10 10:00"))
    assert "duplicate" == admit(record.facts_of(again.subject), again)


def test_conflicting() -> None:
    """Other content under the same version is set aside, and what was issued stands."""
    other = a_renewal(an_allotment(4000))
    record = _record(a_renewal(FIFTY))
    assert "renewal_conflict" == admit(record.facts_of(other.subject), other)


def test_a_higher_version_raises() -> None:
    """The larger quantity is issued in addition, and whoever was short takes of it."""
    raised = a_renewal(an_allotment(5600), version=2)
    big = a_booking("big", a_line(costs={"coin": 5500}, price=5500))
    assert (
        [
            (MARCH, "granted", "available", 600, None),
            (MARCH, "available", "held", 500, "big"),
        ],
        [BALANCE, ("decided", "big", 0)],
    ) == _posted(a_renewal(FIFTY), big, raised)


def test_a_higher_version_lowers() -> None:
    """Only what is still there is taken back as long as that is enough."""
    lowered = a_renewal(an_allotment(1200), version=2)
    assert (
        [(MARCH, "available", "granted", 3800, None)],
        [BALANCE],
    ) == _posted(a_renewal(FIFTY), STANDUP, lowered)


def test_a_higher_version_lowers_below_what_was_taken() -> None:
    """The last charges in the order lose what is no longer there; where it is due, it is owed."""
    retro = a_booking("retro", a_line(starts="2026-03-11 10:00", costs={"coin": 1000}, price=1000))
    lowered = a_renewal(an_allotment(1500), version=2, occurred="2026-03-12 00:00")
    assert (
        [
            (MARCH, "drawn", "available", 500, "retro"),
            (MARCH, "available", "granted", 3500, None),
        ],
        [BALANCE, ("detected", "retro", 500), ("decided", "retro", 1)],
    ) == _posted(a_renewal(FIFTY), STANDUP, retro, time_passed("2026-03-12 00:00"), lowered)


def test_a_lower_version_comes_late() -> None:
    """What was replaced before it was learned changes nothing."""
    assert ([], []) == _posted(a_renewal(an_allotment(4000), version=2), STANDUP, a_renewal(FIFTY))


def test_a_skipped_period() -> None:
    """A period that comes after its successor is issued for its own time, and so is spent."""
    now = time_passed("2026-04-02 00:00")
    april = a_renewal(FIFTY, period="2026-04-01")
    assert (
        [
            (MARCH, "granted", "expired", 5000, None),
            (MARCH, "expired", "drawn", 1000, "standup"),
        ],
        [BALANCE, ("reversed", "standup", -1000), COVERED],
    ) == _posted(april, STANDUP, now, a_renewal(FIFTY))
    assert ([(FEBRUARY, "granted", "expired", 5000, None)], [BALANCE]) == _posted(
        april, STANDUP, now, a_renewal(FIFTY), a_renewal(FIFTY, period="2026-02-01")
    )


@pytest.mark.parametrize(
    ("quantity", "paid", "short"), [(700, 200, 0), (500, 200, 0), (150, 150, 1)]
)
def test_the_clock_issued_what_billing_renews(quantity: int, paid: int, short: int) -> None:
    """The clock's grant goes, and its line is paid by what was billed, as far as that will do."""
    own = "allotment/allowance/credit/2026-03-01"
    billed = a_renewal(an_allotment(quantity, unit="credit"), occurred="2026-03-20 00:00")
    assert (
        [
            (own, "drawn", "available", 200, "workshop"),
            (own, "available", "granted", 500, None),
            (MARCH, "granted", "available", quantity, None),
            (MARCH, "available", "drawn", paid, "workshop"),
        ],
        [("balance", "credit"), ("decided", "workshop", short)],
    ) == _posted(ALLOTTED, WORKSHOP, time_passed("2026-03-19 00:00"), billed)


def test_the_clock_leaves_alone_what_billing_renewed() -> None:
    """As the period begins nothing is issued for it; one that nobody renewed is the clock's."""
    billed = a_renewal(an_allotment(700, unit="credit"), period="2026-04-01")
    march, may = (f"allotment/allowance/credit/2026-{month}-01" for month in ("03", "05"))
    told: list[Fact] = [ALLOTTED, billed]
    assert ([(march, "available", "expired", 500, None)], [("balance", "credit")]) == _posted(
        *told, time_passed("2026-04-01 00:00")
    )
    assert (
        [
            (may, "granted", "available", 500, None),
            (APRIL, "available", "expired", 700, None),
        ],
        [("balance", "credit")],
    ) == _posted(*told, time_passed("2026-04-01 00:00"), time_passed("2026-05-01 00:00"))


def test_the_services_own_issue_is_replaced() -> None:
    """What the clock issued has version nought: the period's renewal replaces it, never adds."""
    own = a_renewal(FIFTY, version=0)
    billed = a_renewal(an_allotment(6000))
    assert ([(MARCH, "granted", "available", 1000, None)], [BALANCE]) == _posted(
        own, STANDUP, billed
    )


def test_the_services_own_issue_comes_second() -> None:
    """Where the renewal was there first, the clock's issue changes nothing."""
    own = a_renewal(FIFTY, version=0)
    billed = a_renewal(an_allotment(6000))
    assert ([], []) == _posted(billed, STANDUP, own)


def _record(*facts: Fact) -> AccountRecord:
    return a_record(*facts, book=a_book(policy="packs"))


def _posted(*facts: Fact) -> tuple[list[EntryRow], list[EventRow]]:
    """Return the entries and the events of the last fact."""
    [outcome] = post(_record(*facts[:-1]), facts[-1:])
    return entries_of(outcome), events_of(outcome)


def test_a_higher_version_caps_what_rolls_over() -> None:
    """What lines took of it beyond its own end, while there was no cap, counts towards the cap."""
    span = Span(10, "days")
    late = a_booking("late", a_line(starts="2026-04-05 10:00", costs={"coin": 500}))
    record = a_record(
        a_renewal(an_allotment(800, rollover=Rollover(span, None))),
        late,
        a_renewal(an_allotment(800, rollover=Rollover(span, 300)), version=2),
        time_passed("2026-04-02 00:00"),
    )
    buckets = record.balances["coin"]
    assert (300, 0, 500) == (buckets.held + buckets.drawn, buckets.available, buckets.expired)
