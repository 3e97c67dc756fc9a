"""Closing: what a closed line keeps, what may still change it, and what each of it posts."""

from typing import TypeAlias

import pytest

from booking_credits.ledger.account import AccountRecord
from booking_credits.ledger.admission import admit
from booking_credits.ledger.announcements import OverageDetected, PeriodStatement
from booking_credits.ledger.buckets import Bucket
from booking_credits.ledger.closing import ClosedLine
from booking_credits.ledger.facts import (
    AccountDescribed,
    BookingRevised,
    CreditsGranted,
    Fact,
    PeriodClosed,
    Rollover,
    Scope,
    Span,
)
from builders import (
    a_book,
    a_booking,
    a_cancellation,
    a_closing,
    a_grant,
    a_line,
    a_record,
    a_removal,
    a_renewal,
    a_standing_allotment,
    an_account,
    an_allotment,
    post,
    time_passed,
)

EntryRow: TypeAlias = tuple[str, Bucket, Bucket, int, str | None]

BOOK = a_book(policy="packs")
MARCH_ENDS, APRIL_ENDS = "2026-04-01 00:00", "2026-05-01 00:00"
MARCH, APRIL = a_closing(MARCH_ENDS), a_closing(APRIL_ENDS)
PLAN = "plan/hot-desk/base/2026-03-01"
ALLOWANCE = "allotment/allowance/coin/2026-03-01"


def _booked(
    booking_id: str, starts: str, coins: int, room: str = "fishbowl", revision: int = 1
) -> BookingRevised:
    """Book for coins, a cent each; a later revision is a correction."""
    return a_booking(
        booking_id,
        a_line(starts=starts, costs={"coin": coins}, price=coins, resource=room),
        revision=revision,
        occurred="2026-02-01 00:00" if revision == 1 else "2026-04-06 00:00",
        booked="2026-02-01 00:00",
        corrected_by=None if revision == 1 else "petra",
    )


def _given(
    grant_id: str, quantity: int, until: str | None = None, room: str = ""
) -> CreditsGranted:
    scope = Scope(resources=(room,)) if room else Scope()
    since = "2026-01-01 00:00"
    return a_grant(grant_id, quantity, granted=since, valid_to=until, scope=scope)


PACK = _given("pack", 10)
FIRST = _booked("first", "2026-03-10 10:00", 6)
LARGE = _booked("large", "2026-03-10 10:00", 15)
EARLIER = _booked("earlier", "2026-03-05 10:00", 8)


def _closed(*facts: Fact) -> list[Fact]:
    """Let March pass after some facts, and be closed."""
    return [*facts, time_passed("2026-03-31 00:00"), time_passed(MARCH_ENDS), MARCH]


def test_a_closing_lists_the_lines_it_closes() -> None:
    """Every line that starts before the end and is not closed yet, with its takes."""
    later = _booked("later", "2026-04-02 10:00", 2)
    record = a_record(PACK, FIRST, later, book=BOOK)
    assert [("first", {"pack": 6})] == _listed(record, MARCH)
    post(record, [_booked("late", "2026-03-05 10:00", 1)])
    assert [("late", {"pack": 1}), ("later", {"pack": 2})] == _listed(record, APRIL)


def test_a_closing_itself_posts_nothing_but_its_statement() -> None:
    """It is a fact that lists; what the lines take stays where it is."""
    record = a_record(PACK, FIRST, LARGE, time_passed(MARCH_ENDS), book=BOOK)
    [outcome] = post(record, [MARCH])
    assert () == outcome.entries
    assert [PeriodStatement] == [type(told.content) for told in outcome.announcements]


def test_a_closing_that_was_told_before_is_a_duplicate() -> None:
    """Whoever posts it again, before or after others."""
    record = a_record(*_closed(PACK, FIRST), book=BOOK)
    assert "duplicate" == admit(record.facts_of("closing"), MARCH)


@pytest.mark.parametrize(
    ("known", "late", "entries", "taken", "change"),
    [
        pytest.param(
            _closed(PACK, FIRST),
            EARLIER,
            [("pack", "available", "drawn", 4, "earlier")],
            {"earlier": {"pack": 4}, "first": {"pack": 6}},
            -4,
            id="an earlier line finds what is left",
        ),
        pytest.param(
            _closed(PACK, FIRST),
            a_cancellation("first", occurred="2026-03-09 10:00"),
            [("pack", "drawn", "available", 6, "first")],
            {},
            6,
            id="cancelled before its start",
        ),
        pytest.param(
            [*_closed(PACK, FIRST), EARLIER],
            a_cancellation("first", occurred="2026-03-09 10:00"),
            [
                ("pack", "drawn", "available", 6, "first"),
                ("pack", "available", "drawn", 4, "earlier"),
            ],
            {"earlier": {"pack": 8}},
            -2,
            id="what is given back pays who lacked it",
        ),
        pytest.param(
            _closed(PACK, FIRST),
            a_cancellation("first", occurred="2026-03-10 11:00"),
            [],
            {"first": {"pack": 6}},
            0,
            id="cancelled after its start",
        ),
        pytest.param(
            _closed(PACK, FIRST),
            _booked("first", "2026-03-10 10:00", 4, revision=2),
            [("pack", "drawn", "available", 2, "first")],
            {"first": {"pack": 4}},
            2,
            id="corrected to less",
        ),
        pytest.param(
            _closed(PACK, FIRST),
            _booked("first", "2026-03-10 10:00", 9, revision=2),
            [("pack", "available", "drawn", 3, "first")],
            {"first": {"pack": 9}},
            -3,
            id="corrected to more",
        ),
        pytest.param(
            _closed(PACK, FIRST),
            _booked("first", "2026-03-12 14:00", 6, revision=2),
            [],
            {"first": {"pack": 6}},
            0,
            id="corrected to another time at which the grant may pay it",
        ),
        pytest.param(
            _closed(_given("early", 10, until="2026-03-11 00:00"), PACK, FIRST),
            _booked("first", "2026-03-12 14:00", 6, revision=2),
            [
                ("early", "drawn", "expired", 6, "first"),
                ("pack", "available", "drawn", 6, "first"),
            ],
            {"first": {"pack": 6}},
            -6,
            id="corrected to a time at which another grant pays it",
        ),
        pytest.param(
            _closed(_given("room", 10, room="fishbowl"), FIRST),
            _booked("first", "2026-03-10 10:00", 6, room="treehouse", revision=2),
            [("room", "drawn", "available", 6, "first")],
            {},
            6,
            id="corrected to a room for which the grant is not",
        ),
        pytest.param(
            [*_closed(PACK, FIRST), _booked("first", "2026-03-10 10:00", 9, revision=2)],
            _booked("earlier", "2026-03-05 10:00", 4),
            [
                ("pack", "drawn", "available", 3, "first"),
                ("pack", "available", "drawn", 4, "earlier"),
            ],
            {"earlier": {"pack": 4}, "first": {"pack": 6}},
            -4,
            id="what it took after its closing it may have to give up",
        ),
        pytest.param(
            _closed(PACK, LARGE),
            _given("late", 3),
            [
                ("late", "granted", "available", 3, None),
                ("late", "available", "drawn", 3, "large"),
            ],
            {"large": {"late": 3, "pack": 10}},
            0,
            id="a late grant pays what it lacks",
        ),
        pytest.param(
            _closed(_given("march", 10, until=MARCH_ENDS), FIRST),
            _booked("late", "2026-03-20 10:00", 3),
            [("march", "expired", "drawn", 3, "late")],
            {"first": {"march": 6}, "late": {"march": 3}},
            0,
            id="a line learned late is paid from what is left and has expired",
        ),
        pytest.param(
            _closed(PACK, FIRST),
            a_removal("pack", occurred="2026-01-02 00:00"),
            [("pack", "available", "removed", 4, None)],
            {"first": {"pack": 6}},
            -4,
            id="what was removed before it was booked is not taken from it",
        ),
        pytest.param(
            _closed(a_renewal(an_allotment(8)), FIRST),
            a_renewal(an_allotment(2), version=2),
            [(PLAN, "expired", "granted", 2, None)],
            {"first": {PLAN: 6}},
            0,
            id="a lowered renewal is no lower than what it keeps",
        ),
        pytest.param(
            [*_closed(a_renewal(an_allotment(8)), FIRST), a_renewal(an_allotment(2), version=2)],
            a_renewal(an_allotment(7), version=3),
            [(PLAN, "granted", "expired", 1, None)],
            {"first": {PLAN: 6}},
            0,
            id="and raised again it has what it says",
        ),
        pytest.param(
            _closed(a_renewal(an_allotment(8)), FIRST),
            a_renewal(an_allotment(20), version=2),
            [(PLAN, "granted", "expired", 12, None)],
            {"first": {PLAN: 6}},
            0,
            id="a raised renewal leaves it as it is",
        ),
        pytest.param(
            _closed(a_renewal(an_allotment(8)), FIRST),
            a_renewal(an_allotment(8), ends="2026-03-08", version=2),
            [],
            {"first": {PLAN: 6}},
            0,
            id="a renewal whose window is shorter by now",
        ),
    ],
)
def test_what_is_learned_after_the_close(
    known: list[Fact],
    late: Fact,
    entries: list[EntryRow],
    taken: dict[str, dict[str, int]],
    change: int,
) -> None:
    """Each makes its entries, leaves closed lines what they keep, and changes the open period."""
    record = a_record(*known, book=BOOK)
    assert entries == _entries(record, late)
    assert taken == _taken(record)
    _, april = [_statement(record, closing) for closing in (time_passed(APRIL_ENDS), APRIL)]
    assert april is not None
    assert change == sum(unit.closing - unit.opening for unit in april.units)


def test_what_a_closed_line_lacked_is_owed_no_more() -> None:
    """A late grant takes back the overage of the closed period, as a change in the open one."""
    record = a_record(*_closed(PACK, LARGE), book=BOOK)
    [outcome] = post(record, [_given("late", 3)])
    told = [a.content for a in outcome.announcements if isinstance(a.content, OverageDetected)]
    assert [("adjusted", -3, 2)] == [
        (one.status, one.change_minor, one.obligation.total_minor) for one in told
    ]
    april = _statement(record, APRIL)
    assert april is not None
    assert [(0, -3)] == [(o.owed_minor, o.adjusted_minor) for o in april.overages]


def test_a_line_learned_late_is_closed_by_the_next_close() -> None:
    """Until then it has to give way as any other; from then on it keeps its takes."""
    record = a_record(*_closed(PACK, FIRST), _booked("late", "2026-03-20 10:00", 4), book=BOOK)
    post(record, [_booked("early", "2026-03-02 10:00", 1)])
    assert {"early": {"pack": 1}, "first": {"pack": 6}, "late": {"pack": 3}} == _taken(record)
    assert [("early", {"pack": 1}), ("late", {"pack": 3})] == _listed(record, APRIL)
    post(record, [APRIL, _booked("earliest", "2026-03-01 10:00", 2)])
    assert {"early": {"pack": 1}, "first": {"pack": 6}, "late": {"pack": 3}} == _taken(record)


def test_lines_learned_late_come_in_their_policy_order() -> None:
    """They share what is left as they would have before the close."""
    second, third = _booked("b", "2026-03-06 10:00", 4), _booked("a", "2026-03-07 10:00", 4)
    expected = {"first": {"pack": 6}, "b": {"pack": 4}}
    for late in ([second, third], [third, second]):
        record = a_record(*_closed(PACK, FIRST), *late, book=BOOK)
        assert expected == _taken(record)


def test_what_it_keeps_of_a_cap_stays_when_the_cap_is_lowered() -> None:
    """Open lines find nothing in the lower cap, and get it when the closed line gives it back."""
    rolls = [Rollover(Span(1, "months"), cap) for cap in (5, 2)]
    renewed = a_renewal(an_allotment(20, rollover=rolls[0]), version=1)
    lowered = a_renewal(an_allotment(20, rollover=rolls[1]), version=2)
    in_april, other = _booked("rest", "2026-04-03 10:00", 5), _booked("b", "2026-04-02 10:00", 2)
    record = a_record(renewed, in_april, time_passed(APRIL_ENDS), APRIL, book=BOOK)
    post(record, [lowered, other])
    assert {"rest": {PLAN: 5}} == _taken(record)
    assert 5 == record.grants[PLAN].rolled
    assert (5, 15) == (record.grants[PLAN].buckets.drawn, record.grants[PLAN].buckets.expired)
    post(record, [a_cancellation("rest", occurred="2026-04-01 10:00")])
    assert {"b": {PLAN: 2}} == _taken(record)


def test_a_removal_is_not_refused_for_the_sake_of_closed_lines() -> None:
    """Where what bookings use may not be removed, closed ones lose nothing by it."""
    coins = a_book(policy="coins")
    record = a_record(
        PACK, _booked("late", "2026-04-02 10:00", 6), a_closing(APRIL_ENDS), book=coins
    )
    removed = a_removal("pack", occurred="2026-03-01 00:00")
    assert [("pack", "available", "removed", 4, None)] == _entries(record, removed)
    assert {"late": {"pack": 6}} == _taken(record)


def _allotted(
    since: str = "2026-01-01", anchor: str = "2026-01-01", zone: str = "UTC"
) -> AccountDescribed:
    """Allot ten coins a month, unless the plan is renewed for it."""
    allotment = a_standing_allotment(10, unit="coin", plan_line=("hot-desk", "base"))
    return an_account(since=since, anchor=anchor, zone=zone, policy="packs", allotments=[allotment])


def test_what_it_took_from_an_allotment_it_keeps_from_the_renewal_that_replaces_it() -> None:
    """The renewal's grant takes over what closed lines took, and is no lower than that."""
    record = a_record(*_closed(_allotted(), FIRST, EARLIER), book=BOOK)
    assert {"earlier": {ALLOWANCE: 8}, "first": {ALLOWANCE: 2}} == _taken(record)
    [outcome] = post(record, [a_renewal(an_allotment(9), version=1)])
    assert {
        (ALLOWANCE, "drawn", "expired", 2, "first"),
        (ALLOWANCE, "drawn", "expired", 8, "earlier"),
        (ALLOWANCE, "expired", "granted", 10, None),
        (PLAN, "granted", "expired", 10, None),
        (PLAN, "expired", "drawn", 2, "first"),
        (PLAN, "expired", "drawn", 8, "earlier"),
    } == {
        (e.grant_id, e.source, e.target, e.quantity, e.line_key and e.line_key[0])
        for _, e in outcome.entries
    }
    assert {"earlier": {PLAN: 8}, "first": {PLAN: 2}} == _taken(record)
    post(record, [_booked("earliest", "2026-03-02 10:00", 3)])
    assert {"earlier": {PLAN: 8}, "first": {PLAN: 2}} == _taken(record)


def test_what_it_took_from_an_allotment_that_is_no_more_it_keeps() -> None:
    """Terms that arrive late change what is not closed; a remnant of the old grant stays."""
    record = a_record(*_closed(_allotted(), FIRST), book=BOOK)
    moved = _allotted(since="2026-02-01", anchor="2026-01-15")
    post(record, [moved])
    assert {"first": {ALLOWANCE: 6}} == _taken(record)
    buckets = record.grants[ALLOWANCE].buckets
    assert (6, 0, 6) == (buckets.granted, buckets.available, buckets.drawn)
    late = _booked("late", "2026-03-09 10:00", 10)
    post(record, [late])
    assert {ALLOWANCE: 6} == _taken(record)["first"]
    assert ALLOWANCE not in _taken(record)["late"]
    post(record, [a_cancellation("first", occurred="2026-03-09 10:00")])
    assert 0 == record.grants[ALLOWANCE].buckets.granted


def test_a_zone_that_changes_late_leaves_closed_lines_as_they_are() -> None:
    """The periods keep their names, so their grants keep what was taken."""
    record = a_record(*_closed(_allotted(), FIRST), book=BOOK)
    post(record, [_allotted(since="2026-02-01", zone="America/New_York")])
    assert {"first": {ALLOWANCE: 6}} == _taken(record)
    assert 10 == record.grants[ALLOWANCE].buckets.granted


def test_what_was_given_monthly_and_removed_late_stays_as_far_as_it_was_used() -> None:
    """The month's grant does not come into being any more, but for what closed lines took."""
    monthly = a_grant("m", 10, granted="2026-01-05 00:00", monthly=True)
    of_march = "standing/m/2026-03-01"
    record = a_record(monthly, *_closed(FIRST), book=BOOK)
    assert {"first": {of_march: 6}} == _taken(record)
    assert [(of_march, "expired", "granted", 4, None)] == [
        entry
        for entry in _entries(record, a_removal("m", occurred="2026-02-10 00:00"))
        if entry[0] == of_march
    ]
    assert {"first": {of_march: 6}} == _taken(record)


def _listed(record: AccountRecord, closing: PeriodClosed) -> list[tuple[str, dict[str, int]]]:
    [outcome] = post(record, [closing])
    assert isinstance(outcome.fact, PeriodClosed)
    return [(line.booking_id, _takes_of(line)) for line in outcome.fact.lines or ()]


def _takes_of(line: ClosedLine) -> dict[str, int]:
    return {take.grant_id: take.quantity for take in line.takes}


def _entries(record: AccountRecord, fact: Fact) -> list[EntryRow]:
    [outcome] = post(record, [fact])
    return [
        (e.grant_id, e.source, e.target, e.quantity, e.line_key and e.line_key[0])
        for _, e in outcome.entries
    ]


def _statement(record: AccountRecord, fact: Fact) -> PeriodStatement | None:
    [outcome] = post(record, [fact])
    contents = (told.content for told in outcome.announcements)
    return next((c for c in contents if isinstance(c, PeriodStatement)), None)


def _taken(record: AccountRecord) -> dict[str, dict[str, int]]:
    """Say what each booking takes, leaving out those that take nothing."""
    return {
        key[0]: {take.grant_id: take.quantity for take in charge.coverage.takes}
        for key, charge in sorted(record.charges.items())
        if charge.coverage.takes
    }
