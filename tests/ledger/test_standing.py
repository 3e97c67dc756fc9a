"""Standing grants: which grants of their periods are there, and what each is like."""

from dataclasses import replace

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.allotments import OpeningBalance
from booking_credits.ledger.announcements import RequestRejected
from booking_credits.ledger.facts import AccountDescribed, Cycle, Fact, Line, Rollover, Span
from booking_credits.ledger.policies import Rhythm
from builders import (
    ACCOUNT,
    COINS,
    TENANT,
    a_book,
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    a_removal,
    a_renewal,
    a_standing_allotment,
    an_account,
    an_allotment,
    at,
    on,
    post,
    time_passed,
)

BERLIN = "Europe/Berlin"
MARCH, APRIL = "allotment/allowance/credit/2026-03-01", "allotment/allowance/credit/2026-04-01"
IN_APRIL = a_booking("easter", a_line(starts="2026-04-05 10:00", costs={"credit": 5}))


def _asked_for_a_part_of_march(booked: Line) -> AccountRecord:
    """Give coins monthly, book a line, and ask in March for a part of them where use refuses."""
    coins = a_grant("coins", 3000, granted="2026-01-01 00:00", monthly=True)
    booking = a_booking("booked", booked, occurred="2026-03-01 09:00")
    book = a_book(replace(COINS, removal_in_use="refuse"))
    record = a_record(coins, booking, time_passed("2026-03-05 00:00"), book=book)
    post(record, [a_removal("coins", 500, occurred="2026-03-05 09:00")])
    return record


def _opened(*quantities: int | None, since: str = "2026-03-10", **terms: str) -> AccountDescribed:
    allotments = [a_standing_allotment(quantity) for quantity in quantities]
    return an_account(since=since, policy="tenant", allotments=allotments, **terms)  # type: ignore[arg-type]


def _windows(record: AccountRecord) -> dict[str, list[object]]:
    return {i: [r.grant.from_at, r.grant.to_at] for i, r in record.grants.items()}


def test_the_running_period_gives_its_whole_quantity_at_once() -> None:
    """An account opened in mid cycle has all of it, for what starts from its opening on."""
    record = a_record(_opened(500))
    assert {MARCH: [at("2026-03-10 00:00"), at("2026-04-01 00:00")]} == _windows(record)
    assert 500 == record.balances["credit"].available


def test_the_clock_brings_the_grant_of_a_period_that_begins() -> None:
    """Unused is lost, and skipped periods are issued with their true windows."""
    record = a_record(_opened(500))
    (outcome,) = post(record, [time_passed("2026-05-01 00:00")])
    assert [APRIL, "allotment/allowance/credit/2026-05-01"] == sorted(
        record.grants.keys() - {MARCH}
    )
    assert [at("2026-04-01 00:00"), at("2026-05-01 00:00")] == _windows(record)[APRIL]
    assert (500, 1000) == (
        record.balances["credit"].available,
        record.balances["credit"].expired,
    )
    assert at("2026-06-01 00:00") == outcome.next_start


def test_a_booking_for_next_period_finds_that_periods_grant() -> None:
    """And where it goes, the grant goes with it; nobody can see that it was there."""
    record = a_record(_opened(500), IN_APRIL)
    assert {MARCH, APRIL} == record.grants.keys()
    assert 5 == record.grants[APRIL].buckets.held

    post(record, [a_cancellation("easter")])
    assert {MARCH} == record.grants.keys()
    assert 500 == record.balances["credit"].granted


def test_a_grant_stays_while_another_line_falls_into_its_window() -> None:
    """The last of them takes it along."""
    record = a_record(_opened(500), IN_APRIL)
    later = a_booking("later", a_line(starts="2026-04-20 10:00", costs={"credit": 5}))
    post(record, [later, a_cancellation("easter")])
    assert {MARCH, APRIL} == record.grants.keys()


def test_a_period_that_has_begun_keeps_its_grant() -> None:
    """Whatever its lines do."""
    record = a_record(_opened(500), IN_APRIL, time_passed("2026-04-01 00:00"))
    post(record, [a_cancellation("easter")])
    assert {MARCH, APRIL} == record.grants.keys()


@pytest.mark.parametrize(("quantity", "expected"), [(800, (500, 800)), (None, (500, None))])
def test_another_quantity_holds_from_the_next_period_on(
    quantity: int | None, expected: tuple[int | None, int | None]
) -> None:
    """The running period keeps what it was given."""
    record = a_record(
        _opened(500), _opened(quantity, since="2026-03-20"), time_passed("2026-04-01 00:00")
    )
    assert expected == tuple(record.grants[i].grant.quantity for i in (MARCH, APRIL))


def test_what_is_allotted_no_more_ends_with_the_running_period() -> None:
    """An account that is described without it has it until the period's end."""
    record = a_record(_opened(500), _opened(since="2026-03-20"), time_passed("2026-06-01 00:00"))
    assert {MARCH} == record.grants.keys()


def test_an_annual_cycle_gives_once_for_the_year() -> None:
    """So it accumulates: what January leaves is there in December."""
    record = a_record(_opened(500, cycle="year"), time_passed("2026-12-01 00:00"))
    window = [at("2026-03-10 00:00"), at("2027-01-01 00:00")]
    assert {"allotment/allowance/credit/2026-01-01": window} == _windows(record)


def test_a_policy_may_issue_by_the_month_what_lasts_for_the_year() -> None:
    """Each can be used until the year ends; a booking in December finds those to come, too."""
    book = a_book(replace(TENANT, issue="month"), policy="tenant")
    christmas = a_booking("party", a_line(starts="2026-12-20 18:00", costs={"credit": 700}))
    record = a_record(_opened(50, cycle="year"), time_passed("2026-04-02 00:00"), book=book)
    months = ("2026-03-01", "2026-04-01")
    assert {
        "allotment/allowance/credit/month/" + month: [start, at("2027-01-01 00:00")]
        for month, start in zip(
            months, (at("2026-03-10 00:00"), at("2026-04-01 00:00")), strict=True
        )
    } == _windows(record)

    post(record, [christmas])
    assert 500 == record.balances["credit"].held


def _moved(issue: Rhythm, later: Rhythm, cycle: Cycle, *facts: Fact) -> AccountRecord:
    """Move an account of 500 an issue in mid March to a policy that issues in another rhythm."""
    before = replace(TENANT, issue=issue)
    after = replace(TENANT, name="otherwise", issue=later)
    account = _opened(500, since="2026-03-01", cycle=cycle)
    moved = replace(account, from_date=on("2026-03-15"), policy="otherwise")
    return a_record(account, moved, *facts, book=a_book(before, after, policy="tenant"))


def test_a_policy_that_issues_otherwise_does_not_issue_the_running_period_twice() -> None:
    """March was given 500; by the month the next 500 come with April."""
    record = _moved("cycle", "month", "month", time_passed("2026-03-16 00:00"))
    assert {MARCH: [at("2026-03-01 00:00"), at("2026-04-01 00:00")]} == _windows(record)
    (outcome,) = post(record, [time_passed("2026-04-01 00:00")])
    assert {MARCH, "allotment/allowance/credit/month/2026-04-01"} == record.grants.keys()
    assert at("2026-05-01 00:00") == outcome.next_start


def test_another_rhythm_begins_with_the_next_billing_period() -> None:
    """Whoever had a month's part of the year goes on so until the year ends, and the reverse."""
    ends = time_passed("2027-01-02 00:00")
    by_month = _moved("month", "cycle", "year", ends).grants
    months = [f"allotment/allowance/credit/month/2026-{month:02d}-01" for month in range(3, 13)]
    assert {*months, "allotment/allowance/credit/2027-01-01"} == by_month.keys()
    by_year = _moved("cycle", "month", "year", ends).grants
    year, january = "credit/2026-01-01", "credit/month/2027-01-01"
    assert {f"allotment/allowance/{name}" for name in (year, january)} == by_year.keys()


def test_where_the_cycle_changes_the_running_grant_keeps_its_end() -> None:
    """The next one begins there, whole."""
    record = a_record(
        _opened(500),
        _opened(500, since="2026-03-20", cycle="quarter"),
        time_passed("2026-07-01 00:00"),
    )
    assert {
        MARCH: [at("2026-03-10 00:00"), at("2026-04-01 00:00")],
        APRIL: [at("2026-04-01 00:00"), at("2026-07-01 00:00")],
        "allotment/allowance/credit/2026-07-01": [at("2026-07-01 00:00"), at("2026-10-01 00:00")],
    } == _windows(record)


def test_monthly_coins_end_with_the_local_day_of_their_end() -> None:
    """The end date cuts the last month; the months are the account's, whatever its cycle."""
    account = an_account(zone=BERLIN, cycle="quarter")
    coins = a_grant("coins", granted="2026-03-10 12:00", monthly=True, ends_on="2026-04-15")
    record = a_record(account, coins, time_passed("2026-08-01 00:00"))
    assert {
        "standing/coins/2026-03-01": [at("2026-03-10 12:00"), at("2026-04-01 00:00", BERLIN)],
        "standing/coins/2026-04-01": [
            at("2026-04-01 00:00", BERLIN),
            at("2026-04-16 00:00", BERLIN),
        ],
    } == _windows(record)


@pytest.mark.parametrize("renewal_first", [True, False])
def test_a_renewal_replaces_what_is_allotted_for_its_period(*, renewal_first: bool) -> None:
    """Both may run, in whatever order one learns of them."""
    allotment = a_standing_allotment(500, plan_line=("hot-desk", "base"))
    facts: list[Fact] = [
        an_account(since="2026-03-01", policy="tenant", allotments=[allotment]),
        a_renewal(an_allotment(700, unit="credit"), period="2026-03-01"),
    ]
    if renewal_first:
        facts.reverse()
    record = a_record(*facts)
    assert {"plan/hot-desk/base/2026-03-01"} == record.grants.keys()
    assert 700 == record.balances["credit"].granted


def test_removing_what_is_given_monthly_ends_it() -> None:
    """The running month's grant is removed as any other, and later ones do not come into being."""
    coins = a_grant("coins", 5000, granted="2026-03-01 00:00", monthly=True)
    removal = a_removal("coins", occurred="2026-03-20 09:00")
    before = a_booking("before", occurred="2026-03-05 09:00")
    after = a_booking("after", occurred="2026-03-21 09:00")
    told: list[Fact] = [coins, before, removal, after]
    for facts in (told, told[::-1]):
        record = a_record(*facts, time_passed("2026-05-01 00:00"))
        assert {"standing/coins/2026-03-01"} == record.grants.keys()
        buckets = record.balances["coin"]
        assert (1000, 4000) == (buckets.held + buckets.drawn, buckets.removed)


def test_what_is_given_monthly_is_not_taken_back_from_under_a_booking() -> None:
    """Where the policy refuses that, a booking for next month is in the way, too."""
    coins = a_grant("coins", 5000, granted="2026-03-01 00:00", monthly=True)
    april = a_booking("april", a_line(starts="2026-04-10 10:00"), occurred="2026-03-05 09:00")
    record = a_record(coins, april, book=a_book(replace(COINS, removal_in_use="refuse")))
    (outcome,) = post(record, [a_removal("coins", occurred="2026-03-20 09:00")])
    (rejected,) = [a.content for a in outcome.announcements]
    assert isinstance(rejected, RequestRejected)
    assert (("april", 1),) == rejected.in_the_way
    assert 1000 == record.grants["standing/coins/2026-04-01"].buckets.drawn


def test_a_part_of_what_is_given_monthly_is_taken_from_the_running_month_alone() -> None:
    """So who uses another month's is not in the way."""
    record = _asked_for_a_part_of_march(a_line(starts="2026-04-10 10:00"))
    march, later = (record.grants[f"standing/coins/2026-{month}-01"] for month in ("03", "04"))
    assert (2500, 500) == (march.buckets.available, march.buckets.removed)
    assert (2000, 1000, 0) == (
        later.buckets.available,
        later.buckets.drawn,
        later.buckets.removed,
    )


def test_a_part_of_what_is_given_monthly_is_not_taken_from_under_a_booking() -> None:
    """A booking of the running month is in the way."""
    record = _asked_for_a_part_of_march(a_line(starts="2026-03-10 10:00"))
    assert 0 == record.grants["standing/coins/2026-03-01"].buckets.removed


def test_a_periods_grant_may_be_removed_in_part() -> None:
    """Under its own id; the next period has its whole quantity again."""
    removal = a_removal(MARCH, 200, unit="credit", occurred="2026-03-20 09:00")
    record = a_record(_opened(500), removal, time_passed("2026-04-01 00:00"))
    assert (200, 300) == (
        record.grants[MARCH].buckets.removed,
        record.grants[MARCH].buckets.expired,
    )
    assert 500 == record.balances["credit"].available


def test_what_an_allotment_leaves_may_roll_over() -> None:
    """It pays first in the next period, up to the cap."""
    rollover = Rollover(Span(1, "months"), 100)
    account = an_account(policy="tenant", allotments=[a_standing_allotment(500, rollover=rollover)])
    january = "allotment/allowance/credit/2026-01-01"
    late = a_booking("late", a_line(starts="2026-02-10 10:00", costs={"credit": 150}))
    record = a_record(account, late, time_passed("2026-02-20 00:00"))
    assert {
        january: 100,
        "allotment/allowance/credit/2026-02-01": 50,
    } == {take.grant_id: take.quantity for take in record.charges["late", 1].coverage.takes}
    assert 400 == record.grants[january].buckets.expired


def test_an_account_brings_its_opening_balance_along_once() -> None:
    """From the day of its opening on, and however often it is described for that day again."""
    opened = an_account(since="2026-03-10", brings=[OpeningBalance("coin", 2500)])
    again = an_account(since="2026-03-10", cycle="quarter", occurred="2026-03-11 09:00")
    record = a_record(opened, again)
    assert {
        "opening/coin/2026-03-10": [at("2026-03-10 00:00"), at("2027-03-11 00:00")]
    } == _windows(record)
    assert 2500 == record.balances["coin"].available


@pytest.mark.parametrize("stated", [None, "2026-06-01 00:00", "2028-01-01 00:00"])
def test_an_opening_balance_ends_as_credits_given_once_do(stated: str | None) -> None:
    """Twelve months after the opening where policy says so, or earlier if that is stated."""
    ends = None if stated is None else at(stated)
    brought = a_record(an_account(brings=[OpeningBalance("coin", 2500, valid_to=ends)]))
    given = a_record(an_account(), a_grant("gift", source="opening_balance", valid_to=stated))
    assert [list(_windows(given)["gift"])] == list(_windows(brought).values())


def test_an_opening_balance_without_an_end_stays_where_policy_sets_none() -> None:
    """Only policies that end what is given once end it."""
    record = a_record(an_account(policy="tenant", brings=[OpeningBalance("credit", 20)]))
    assert [[at("2026-01-01 00:00"), None]] == list(_windows(record).values())


def test_a_standing_grant_comes_from_where_its_rule_comes() -> None:
    """An allotment from a plan, what is given monthly from whoever gave it."""
    coins = a_grant("coins", granted="2026-03-10 12:00", monthly=True)
    bonus = a_grant("bonus", granted="2026-03-10 12:00", monthly=True, source="adjustment")
    record = a_record(_opened(500), coins, bonus)
    assert {"allotment": "plan", "coins": "manual", "bonus": "adjustment"} == {
        "allotment": record.grants[MARCH].grant.source,
        "coins": record.grants["standing/coins/2026-03-01"].grant.source,
        "bonus": record.grants["standing/bonus/2026-03-01"].grant.source,
    }


def test_an_account_that_was_opened_late_has_the_grants_it_would_have_had() -> None:
    """What the present has passed already is issued with the fact."""
    opened, passed = _opened(500), time_passed("2026-05-02 00:00")
    assert _windows(a_record(opened, passed)) == _windows(a_record(passed, opened))


def test_the_next_start_is_that_of_the_first_grant_to_come() -> None:
    """The clock has to know it from every fact but those about bookings."""
    record = AccountRecord(ACCOUNT, a_book())
    coins = a_grant("coins", granted="2026-03-10 12:00", monthly=True)
    opened, given = post(record, [_opened(500, cycle="year"), coins])
    assert at("2027-01-01 00:00") == opened.next_start
    assert at("2026-04-01 00:00") == given.next_start
