"""What grants come of facts, and the order in which they pay."""

from dataclasses import replace

import pytest

from booking_credits.ledger.burn_order import burn_key
from booking_credits.ledger.calendars import Timeline
from booking_credits.ledger.facts import AccountDescribed, GrantFact, Rollover, Scope, Span
from booking_credits.ledger.grants import Grant, grants_of
from booking_credits.ledger.policies import GrantOrder
from builders import (
    ANYWHERE,
    a_book,
    a_grant,
    a_line,
    a_pack,
    a_renewal,
    an_account,
    an_allotment,
    an_approval,
    at,
)

USUAL = Grant(
    grant_id="m",
    unit="coin",
    quantity=1000,
    from_at=at("2026-03-01 00:00"),
    to_at=at("2026-04-01 00:00"),
    scope=ANYWHERE,
    priority=100,
    paid=False,
    source="manual",
)
_EAST = ("Europe/Berlin", "Australia/Sydney")
_WEST = ("Australia/Sydney", "Europe/Berlin")
BERLIN = "Europe/Berlin"
URGENT = replace(USUAL, priority=50)
UNLIMITED = replace(USUAL, quantity=None)
SOON = replace(USUAL, to_at=at("2026-03-15 00:00"))
OPEN_ENDED = replace(USUAL, to_at=None)
FISHBOWL = replace(USUAL, scope=Scope(resources=("fishbowl",)))
TWO_ROOMS = replace(USUAL, scope=Scope(resources=("fishbowl", "treehouse")))
ROOMS = replace(USUAL, scope=Scope(product_groups=("rooms",)))
HARBOUR = replace(USUAL, scope=Scope(locations=("harbour",)))
PAID = replace(USUAL, paid=True)
EARLIER = replace(USUAL, from_at=at("2026-02-01 00:00"))
FIRST_ID = replace(USUAL, grant_id="a")


NARROWEST_FIRST = [FISHBOWL, TWO_ROOMS, ROOMS, HARBOUR]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (
            "expiry_first",
            [URGENT, UNLIMITED, SOON, *NARROWEST_FIRST, EARLIER, FIRST_ID, USUAL, PAID, OPEN_ENDED],
        ),
        (
            "specific_first",
            [URGENT, UNLIMITED, *NARROWEST_FIRST, SOON, EARLIER, FIRST_ID, USUAL, PAID, OPEN_ENDED],
        ),
        (
            "paid_last",
            [URGENT, UNLIMITED, SOON, *NARROWEST_FIRST, EARLIER, FIRST_ID, USUAL, OPEN_ENDED, PAID],
        ),
    ],
)
def test_grants_pay_in_order(order: GrantOrder, expected: list[Grant]) -> None:
    """Each preset ranks priority first, finite after unlimited, and the rest in its own way."""
    assert expected == sorted(set(expected), key=lambda grant: burn_key(grant, order))


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-02-28 23:59", False),
        ("2026-03-01 00:00", True),
        ("2026-03-31 23:59", True),
        ("2026-04-01 00:00", False),
    ],
)
def test_a_window_is_half_open(instant: str, *, expected: bool) -> None:
    """A grant pays from its first instant on, and no more at its end."""
    assert expected == USUAL.is_valid_at(at(instant))


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(), True),
        (Scope(resources=("treehouse", "fishbowl")), True),
        (Scope(resources=("treehouse",)), False),
        (Scope(resources=("fishbowl",), locations=("mill",)), False),
        (Scope(product_groups=("rooms",), locations=("harbour",)), True),
    ],
)
def test_every_dimension_of_a_scope_must_contain_the_line(scope: Scope, *, expected: bool) -> None:
    """A dimension that is not named contains everything."""
    assert expected == scope.contains(a_line())


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (a_grant(granted="2026-03-05 12:00"), "2026-03-05 12:00"),
        (a_grant(granted="2026-03-05 12:00", valid_from="2026-04-01 00:00"), "2026-04-01 00:00"),
        (a_grant(granted="2026-03-05 12:00", valid_from="2026-03-01 00:00"), "2026-03-05 12:00"),
        (
            a_grant(granted="2026-03-05 12:00", valid_from="2026-03-01 00:00", backdated=True),
            "2026-03-01 00:00",
        ),
    ],
)
def test_a_manual_grant_counts_from_when_it_was_granted(fact: GrantFact, expected: str) -> None:
    """It does not reach back unless it is backdated."""
    assert at(expected) == _only(fact).from_at


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (a_grant(granted="2026-03-05 12:00"), "2027-03-06 00:00"),
        (a_grant(granted="2028-02-29 12:00"), "2029-03-01 00:00"),
        (a_grant(granted="2026-03-05 12:00", valid_to="2026-05-01 00:00"), "2026-05-01 00:00"),
        (a_grant(granted="2026-03-05 12:00", valid_to="2029-05-01 00:00"), "2027-03-06 00:00"),
    ],
)
def test_coins_given_once_end_after_twelve_months(fact: GrantFact, expected: str) -> None:
    """They end at the end of that local day, or earlier where someone said so."""
    assert at(expected) == _only(fact).to_at


def test_twelve_months_end_with_the_local_day() -> None:
    """The day on which coins end is one of the account's zone."""
    account = an_account(zone="America/New_York")
    ends = _only(a_grant(granted="2026-03-05 02:00"), account).to_at
    assert at("2027-03-05 00:00", "America/New_York") == ends


def test_other_policies_leave_the_end_open() -> None:
    """Where the policy says nothing of months, a grant without an end has none."""
    assert _only(a_grant(), an_account(policy="packs")).to_at is None


@pytest.mark.parametrize(
    ("lifetime", "starts_on", "end"),
    [
        (Span(1, "months"), "2026-01-01", "2026-02-01"),
        (Span(1, "months"), "2026-01-31", "2026-02-28"),
        (Span(12, "months"), "2024-02-29", "2025-02-28"),
        (Span(1, "days"), "2026-03-29", "2026-03-30"),
        (Span(30, "days"), None, "2026-04-04"),
    ],
)
def test_a_pack_lives_whole_local_days(lifetime: Span, starts_on: str | None, end: str) -> None:
    """They are counted from the pack's first day, which is that of the purchase unless it says."""
    pack = a_pack(bought=at("2026-03-05 01:00", BERLIN), lifetime=lifetime, starts_on=starts_on)
    assert at(f"{end} 00:00", BERLIN) == _only(pack, an_account(zone=BERLIN)).to_at


@pytest.mark.parametrize(
    ("lifetime", "rolls_at", "ends"),
    [
        (None, "2026-04-01", "2026-06-01"),
        (Span(10, "days"), "2026-03-11", "2026-05-11"),
    ],
)
def test_a_pack_on_a_licence_may_roll_over(lifetime: Span | None, rolls_at: str, ends: str) -> None:
    """From the end of its lifetime or, without one, of the billing period in which it begins."""
    rollover = Rollover(Span(2, "months"), 3)
    pack = _only(a_pack(starts_on="2026-03-01", lifetime=lifetime, rollover=rollover))
    assert [at(f"{day} 00:00") for day in (rolls_at, ends)] == [pack.rolls_at, pack.to_at]
    assert 3 == pack.roll_cap


def test_a_pack_without_a_lifetime_is_open_ended() -> None:
    """It can be used until nothing is left."""
    assert _only(a_pack()).to_at is None


@pytest.mark.parametrize(
    ("starts_on", "expected"),
    [
        (None, "2026-03-05 12:00"),
        ("2026-03-05", "2026-03-05 12:00"),
        ("2026-04-01", "2026-04-01 00:00"),
    ],
)
def test_a_pack_counts_from_its_purchase(starts_on: str | None, expected: str) -> None:
    """However late it is approved, and not before its first day."""
    purchase = a_pack(bought="2026-03-05 12:00", starts_on=starts_on)
    approval = an_approval(occurred="2026-06-01 09:00")
    for order in ((purchase, approval), (approval, purchase)):
        (grant,) = grants_of(order, Timeline((), a_book())).values()
        assert (at(expected), False) == (grant.from_at, grant.pending)


def test_a_pack_without_its_approval_is_pending() -> None:
    """It is known, and nothing of it has been issued."""
    grant = _only(a_pack(quantity=None))
    assert (True, 0) == (grant.pending, grant.issued)


def test_an_approval_alone_is_no_grant() -> None:
    """It waits for its purchase."""
    assert {} == grants_of([an_approval()], Timeline((), a_book()))


@pytest.mark.parametrize(("price", "paid"), [(None, False), (0, False), (1, True)])
def test_a_pack_may_be_free(price: int | None, *, paid: bool) -> None:
    """Free credits are used before those that cost something."""
    assert paid == _only(a_pack(price=price)).paid


@pytest.mark.parametrize(
    ("fact", "start", "end"),
    [
        (a_renewal(), "2026-03-01", "2026-04-01"),
        (a_renewal(ends="2026-03-20"), "2026-03-01", "2026-03-20"),
        (a_renewal(period="2026-03-10"), "2026-03-10", "2026-04-01"),
        (a_renewal(occurred="2026-05-01 00:00"), "2026-03-01", "2026-04-01"),
    ],
)
def test_a_plan_pays_for_its_period(fact: GrantFact, start: str, end: str) -> None:
    """It counts from the period's local start, however late the renewal is, to its stated end."""
    account = an_account(zone="Europe/Sofia")
    grant = _only(fact, account)
    expected = [at(f"{day} 00:00", "Europe/Sofia") for day in (start, end)]
    assert expected == [grant.from_at, grant.to_at]


@pytest.mark.parametrize(
    ("zones", "since", "period", "window"),
    [
        (_EAST, "2026-01-15", "2026-02-01", ("2026-01-31 23:00", "2026-02-28 13:00")),
        (_EAST, "2026-02-01", "2026-02-01", ("2026-01-31 23:00", "2026-02-28 13:00")),
        (_WEST, "2026-01-15", "2026-02-01", ("2026-01-31 13:00", "2026-02-28 23:00")),
        (_WEST, "2026-02-01", "2026-02-01", ("2026-01-31 13:00", "2026-02-28 23:00")),
    ],
)
def test_a_plan_pays_for_the_period_of_its_name_where_the_zone_changes(
    zones: tuple[str, str], since: str, period: str, window: tuple[str, str]
) -> None:
    """The new zone's first period is paid whole, though its day began sooner or later."""
    before, after = zones
    accounts = (an_account(zone=before), an_account(since=since, zone=after))
    grant = _only(a_renewal(period=period), *accounts)
    assert [at(instant) for instant in window] == [grant.from_at, grant.to_at]


def test_the_highest_version_of_a_plan_line_decides() -> None:
    """Versions may arrive in any order; a line that a later one leaves out stays."""
    first = a_renewal(an_allotment(1), an_allotment(2, plan_line="extra"), version=1)
    second = a_renewal(an_allotment(10), version=2)
    for order in ((first, second), (second, first)):
        found = grants_of(order, Timeline((), a_book())).values()
        assert {10, 2} == {grant.quantity for grant in found}


def _only(fact: GrantFact, *accounts: AccountDescribed) -> Grant:
    """Return the one grant of a fact."""
    (grant,) = grants_of([fact], Timeline(accounts, a_book())).values()
    return grant
