"""What a record that is loaded piece by piece must ask for."""

from typing import Any

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.announcements import CoverageDecided
from booking_credits.ledger.charges import Take
from booking_credits.ledger.facts import Fact
from booking_credits.ledger.needs import WantingAbove
from builders import (
    a_booking,
    a_cancellation,
    a_grant,
    a_line,
    a_record,
    a_renewal,
    an_account,
    an_allotment,
    post,
    time_passed,
)
from ledger.loading import Loader


def test_a_longer_window_asks_anew_who_wants_the_grant() -> None:
    """A plan renewed for longer pays a line that its first version could not, in one batch."""
    store = a_record(a_booking("retro", a_line(starts="2026-03-10 10:00")))
    loader = Loader(store, chunk=1)
    loader.post(a_renewal(ends="2026-03-05", version=1))
    loader.post(a_renewal(ends="2026-03-20", version=2))
    grant_id = next(iter(loader.record.grants))
    assert (Take(grant_id, 1000),) == loader.record.charges["retro", 1].coverage.takes


def test_a_restated_grant_hides_no_older_one() -> None:
    """The grant that ended last is named as expired even where another's end has changed."""
    store = a_record(
        a_renewal(plan="winter", period="2026-03-01", ends="2026-03-03"),
        a_renewal(an_allotment(1), plan="spring", period="2026-03-01", ends="2026-03-04"),
    )
    facts: list[Fact] = [
        a_renewal(an_allotment(1), plan="spring", ends="2026-03-20", version=2),
        a_booking("retro", a_line(starts="2026-03-10 10:00")),
    ]
    assert _decisions(store, facts, batch=1) == _decisions(store, facts, batch=2)
    reasons = [r.reason for r in _decisions(store, facts, batch=2)[-1].lines[0].refusals]
    assert ["expired", "exhausted"] == reasons


def test_a_booking_in_a_credit_account_loads_no_other() -> None:
    """A grant with something left pays a new line without a look at any other line."""
    bookings = [a_booking(f"b{number}") for number in range(3)]
    loader = Loader(a_record(a_grant(quantity=9000), *bookings), chunk=1)
    loader.post(a_booking("one more"))
    assert 0 == loader.charges_loaded


def test_giving_back_to_a_grant_with_a_rest_loads_no_other() -> None:
    """A cancellation frees nothing that anyone was refused, so nobody is asked."""
    bookings = [a_booking(f"b{number}") for number in range(3)]
    loader = Loader(a_record(a_grant(quantity=9000), *bookings), chunk=1)
    loader.post(a_cancellation("b1"))
    assert 1 == loader.charges_loaded


def test_credits_of_a_later_unit_wake_no_line_that_an_earlier_one_pays() -> None:
    """Coins that come free load none of the lines that minutes pay in full."""
    costs = {"coin": 1000, "minute": 60}
    store = a_record(
        a_grant("time", 6000, unit="minute"),
        a_grant("coins", 1000),
        a_booking("lunch", occurred="2026-02-01 09:00"),
        *[a_booking(f"b{number}", a_line(costs=costs)) for number in range(5)],
    )
    loader = Loader(store, chunk=2)
    loader.post(a_cancellation("lunch"))
    assert 1 == loader.charges_loaded


@pytest.mark.parametrize("policy", ["coins", "tenant"])
def test_who_was_short_before_a_grant_begins_is_not_asked_for(policy: str) -> None:
    """Last month's lines want nothing of this month's credits, whichever order they come in."""
    costs = {"coin": 1000, "credit": 1}
    store = a_record(
        an_account(policy=policy),
        a_booking("last month", a_line(starts="2026-02-10 10:00", costs=costs)),
    )
    loader = Loader(store, chunk=1)
    loader.post(a_grant("this month's", valid_from="2026-03-01"))
    loader.post(a_grant("last month's", valid_from="2026-02-01"))
    wanting = [need.grant.grant_id for need in loader.asked if isinstance(need, WantingAbove)]
    assert ["last month's"] == wanting


def test_an_instant_loads_only_what_it_changes() -> None:
    """Time that passes touches the lines that start by then, and none that start later."""
    store = a_record(
        a_booking("today", a_line(starts="2026-03-10 10:00")),
        a_booking("tomorrow", a_line(starts="2026-03-11 10:00")),
    )
    loader = Loader(store, chunk=1)
    outcome = loader.post(time_passed("2026-03-10 12:00"))
    assert outcome is not None
    assert [("today", 1)] == list(outcome.charges)
    assert 1 == loader.charges_loaded


def _decisions(store: AccountRecord, facts: list[Fact], batch: int) -> list[Any]:
    """Post facts in batches to a copy of the store, and return what was decided."""
    copy = a_record(*[fact for known in store.facts.values() for fact in known])
    contents: list[object] = []
    for start in range(0, len(facts), batch):
        loader = Loader(copy, chunk=1)
        outcomes = [loader.post(fact) for fact in facts[start : start + batch]]
        post(copy, facts[start : start + batch])
        contents += [a.content for outcome in outcomes if outcome for a in outcome.announcements]
    return [content for content in contents if isinstance(content, CoverageDecided)]
