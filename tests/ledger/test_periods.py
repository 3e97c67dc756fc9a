"""Periods: what an account is given and loses as its calendar turns, and at which instants."""

from typing import Any, TypeAlias

import pytest

from builders import a_book, a_standing_allotment, an_account, at
from ledger.living import EntryRow, events_of, live, posted

# The first day by which a period is called, and the instant in UTC at which it begins.
Start: TypeAlias = tuple[str, str]

BOOK = a_book(policy="tenant")
BERLIN, LOS_ANGELES, AUCKLAND = "Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland"


@pytest.mark.parametrize(
    ("terms", "starts"),
    [
        pytest.param(
            {"anchor": "2026-01-31"},
            [
                ("2026-01-31", "2026-01-31 00:00"),
                ("2026-02-28", "2026-02-28 00:00"),
                ("2026-03-31", "2026-03-31 00:00"),
                ("2026-04-30", "2026-04-30 00:00"),
            ],
            id="from the 31st",
        ),
        pytest.param(
            {"anchor": "2028-01-31"},
            [
                ("2028-01-31", "2028-01-31 00:00"),
                ("2028-02-29", "2028-02-29 00:00"),
                ("2028-03-31", "2028-03-31 00:00"),
            ],
            id="from the 31st in a leap year",
        ),
        pytest.param(
            {"cycle": "quarter", "anchor": "2027-11-30"},
            [
                ("2027-11-30", "2027-11-30 00:00"),
                ("2028-02-29", "2028-02-29 00:00"),
                ("2028-05-30", "2028-05-30 00:00"),
            ],
            id="quarters over a leap day",
        ),
        pytest.param(
            {"cycle": "year", "anchor": "2028-02-29"},
            [
                ("2028-02-29", "2028-02-29 00:00"),
                ("2029-02-28", "2029-02-28 00:00"),
                ("2030-02-28", "2030-02-28 00:00"),
                ("2031-02-28", "2031-02-28 00:00"),
                ("2032-02-29", "2032-02-29 00:00"),
            ],
            id="years from a leap day",
        ),
        pytest.param(
            {"zone": BERLIN, "anchor": "2026-03-01"},
            [("2026-03-01", "2026-02-28 23:00"), ("2026-04-01", "2026-03-31 22:00")],
            id="clocks go forward",
        ),
        pytest.param(
            {"zone": BERLIN, "anchor": "2026-10-01"},
            [("2026-10-01", "2026-09-30 22:00"), ("2026-11-01", "2026-10-31 23:00")],
            id="clocks go back",
        ),
        pytest.param(
            {"zone": AUCKLAND, "anchor": "2026-03-15"},
            [("2026-03-15", "2026-03-14 11:00"), ("2026-04-15", "2026-04-14 12:00")],
            id="clocks go back in the south",
        ),
        pytest.param(
            {"zone": "America/Sao_Paulo", "anchor": "2018-10-04"},
            [
                ("2018-10-04", "2018-10-04 03:00"),
                ("2018-11-04", "2018-11-04 03:00"),
                ("2018-12-04", "2018-12-04 02:00"),
            ],
            id="a first day without a midnight",
        ),
        pytest.param(
            {"zone": "Europe/Istanbul", "anchor": "2015-09-01"},
            [
                ("2015-12-01", "2015-11-30 22:00"),
                ("2016-01-01", "2015-12-31 22:00"),
                ("2016-02-01", "2016-01-31 22:00"),
            ],
            id="a zone before it changed its rules",
        ),
        pytest.param(
            {"zone": "Europe/Istanbul", "anchor": "2015-09-01"},
            [
                ("2016-12-01", "2016-11-30 21:00"),
                ("2017-01-01", "2016-12-31 21:00"),
                ("2017-02-01", "2017-01-31 21:00"),
            ],
            id="a zone after it changed its rules",
        ),
        pytest.param(
            {"zone": "Pacific/Apia", "anchor": "2011-11-30"},
            [
                ("2011-11-30", "2011-11-30 10:00"),
                ("2011-12-30", "2011-12-30 10:00"),
                ("2012-01-30", "2012-01-29 10:00"),
            ],
            id="a first day that a zone left out",
        ),
    ],
)
def test_each_period_gives_and_takes_as_it_begins(
    terms: dict[str, Any], starts: list[Start]
) -> None:
    """The old allotment expires at the instant at which the new one is issued."""
    assert _turns(starts) == _lived(starts, terms)


@pytest.mark.parametrize(
    ("before", "since", "after", "starts"),
    [
        pytest.param(
            {"zone": BERLIN, "anchor": "2026-01-01"},
            "2026-03-20",
            {"zone": LOS_ANGELES, "anchor": "2026-01-01"},
            [
                ("2026-03-01", "2026-02-28 23:00"),
                ("2026-04-01", "2026-03-31 22:00"),
                ("2026-05-01", "2026-05-01 07:00"),
            ],
            id="to the west",
        ),
        pytest.param(
            {"zone": LOS_ANGELES, "anchor": "2026-01-01"},
            "2026-03-20",
            {"zone": AUCKLAND, "anchor": "2026-01-01"},
            [
                ("2026-03-01", "2026-03-01 08:00"),
                ("2026-04-01", "2026-04-01 07:00"),
                ("2026-05-01", "2026-04-30 12:00"),
            ],
            id="to the east",
        ),
        pytest.param(
            {"anchor": "2026-01-01"},
            "2026-03-20",
            {"anchor": "2026-01-15"},
            [
                ("2026-03-01", "2026-03-01 00:00"),
                ("2026-04-01", "2026-04-01 00:00"),
                ("2026-04-15", "2026-04-15 00:00"),
                ("2026-05-15", "2026-05-15 00:00"),
            ],
            id="to another anchor",
        ),
        pytest.param(
            {"anchor": "2026-01-01"},
            "2026-03-20",
            {"cycle": "quarter", "anchor": "2026-01-01"},
            [
                ("2026-03-01", "2026-03-01 00:00"),
                ("2026-04-01", "2026-04-01 00:00"),
                ("2026-07-01", "2026-07-01 00:00"),
            ],
            id="to another cycle",
        ),
    ],
)
def test_an_account_that_moves_keeps_the_end_of_its_running_period(
    before: dict[str, Any], since: str, after: dict[str, Any], starts: list[Start]
) -> None:
    """The next period begins there, whole, and ends at the new calendar's first boundary."""
    move = {"since": since, "occurred": f"{since} 12:00", **after}
    assert _turns(starts) == _lived(starts, before, move)


def _lived(starts: list[Start], terms: dict[str, Any], *moves: dict[str, Any]) -> Any:
    """Live from the first start through the last; what each instant posts and tells."""
    opened = {"since": starts[0][0], "occurred": starts[0][1], **terms}
    allotments = [a_standing_allotment(500)]
    told = [an_account(policy="tenant", allotments=allotments, **t) for t in (opened, *moves)]
    record = live(BOOK, told, at(starts[-1][1]))
    events = [events_of(outcome) for outcome in record.postings.outcomes if outcome.entries]
    return posted(record), events


def _turns(starts: list[Start]) -> Any:
    """Say what is posted and told as each period begins, if the one before it ends there."""
    entries = []
    for number, (name, begins) in enumerate(starts):
        rows: list[EntryRow] = [(_grant(name), "granted", "available", 500, None)]
        if number:
            rows.insert(0, (_grant(starts[number - 1][0]), "available", "expired", 500, None))
        entries.append((at(begins), rows))
    return entries, [[("balance", "credit")]] * len(starts)


def _grant(start: str) -> str:
    return f"allotment/allowance/credit/{start}"
