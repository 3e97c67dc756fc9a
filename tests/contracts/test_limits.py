"""What events may hold: one test for each limit of the contract."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import pytest

from booking_credits_contracts import (
    RECEIVED,
    AccountState,
    BillingPlanRenewed,
    BookingState,
    ContractError,
    ReceivedData,
    read_event,
)

Example = Callable[[str], Any]
Path = tuple[str | int, ...]

OPENED = "received/account-opened/valid-acorn-by-the-month"
BOOKED = "received/booking-created/valid-two-hours-in-the-oak-room"
UPDATED = "received/booking-updated/valid-correction-after-start"
RENEWED = "received/billing-plan-renewed/valid-coins-and-desk-hours"
GRANTED = "received/credits-granted/valid-welcome"

LINE = ("lines", 0)
ALLOTMENT = ("allotments", 0)


class Reader:
    """Reads examples with one value changed."""

    def __init__(self, example: Example, headers_of: Callable[[str], Any]) -> None:
        self.example = example
        self._headers_of = headers_of

    def read(self, name: str, path: Path, value: object) -> ReceivedData:
        data = copy.deepcopy(self.example(name))
        reduce(lambda part, key: part[key], path[:-1], data)[path[-1]] = value
        headers = self._headers_of(name.split("/")[1])
        return read_event(headers, json.dumps(data).encode()).data

    def problem(self, name: str, path: Path, value: object) -> str:
        """Return the detail of the refusal."""
        with pytest.raises(ContractError) as refused:
            self.read(name, path, value)
        assert "schema" == refused.value.reason
        return refused.value.detail


@pytest.fixture
def reader(example: Example, headers_of: Callable[[str], Any]) -> Reader:
    return Reader(example, headers_of)


@pytest.mark.parametrize("booking_id", ["b", "b" * 128, "b/1:2-3_4.5", "строка", "🌳"])
def test_an_id_may_be(reader: Reader, booking_id: str) -> None:
    """An id is 1 to 128 visible characters of any script."""
    data = reader.read(BOOKED, ("booking_id",), booking_id)
    assert isinstance(data, BookingState)
    assert booking_id == data.booking_id


@pytest.mark.parametrize(
    ("booking_id", "kind"),
    [
        ("", "string_pattern_mismatch"),
        ("b" * 129, "string_too_long"),
        ("b 1", "string_pattern_mismatch"),
        ("b\u00a01", "string_pattern_mismatch"),
        ("b\n", "string_pattern_mismatch"),
        ("b\x00", "string_pattern_mismatch"),
        ("b\x85", "string_pattern_mismatch"),
        ("b\x9f", "string_pattern_mismatch"),
        (7, "string_type"),
        (None, "string_type"),
    ],
)
def test_an_id_may_not_be(reader: Reader, booking_id: object, kind: str) -> None:
    """An id has no white space and no control character, NUL above all."""
    assert f"booking_id: {kind}" == reader.problem(BOOKED, ("booking_id",), booking_id)


def test_free_text_is_limited(reader: Reader) -> None:
    """Free text has 1 to 512 characters without control characters."""
    path = ("correction", "reason")
    reader.read(UPDATED, path, "ü" * 512)
    assert "correction.reason: string_too_long" == reader.problem(UPDATED, path, "ü" * 513)
    for text in ("", "a\x00b", "a\nb", "a\x1bb", "a\x7fb"):
        expected = "correction.reason: string_pattern_mismatch"
        assert expected == reader.problem(UPDATED, path, text)


@pytest.mark.parametrize("revision", ["7", True, 1.0, 1.5, None, [1]])
def test_an_integer_is_an_integer(reader: Reader, revision: object) -> None:
    """Text, flags and numbers with a point are not taken for integers."""
    assert "revision: int_type" == reader.problem(BOOKED, ("revision",), revision)


@pytest.mark.parametrize(
    ("name", "path", "least", "most"),
    [
        (BOOKED, ("revision",), 1, 10**9),
        (BOOKED, (*LINE, "line"), 1, 10**6),
        (BOOKED, (*LINE, "price", "amount_minor"), 0, 10**15),
        (RENEWED, ("version",), 1, 10**9),
        (RENEWED, (*ALLOTMENT, "priority"), 0, 1000),
    ],
)
def test_an_integer_is_bounded(
    reader: Reader, name: str, path: Path, least: int, most: int
) -> None:
    """Both bounds are accepted, what lies beyond them is not."""
    reader.read(name, path, least)
    reader.read(name, path, most)
    where = ".".join(map(str, path))
    assert f"{where}: greater_than_equal" == reader.problem(name, path, least - 1)
    assert f"{where}: less_than_equal" == reader.problem(name, path, most + 1)
    assert f"{where}: less_than_equal" == reader.problem(name, path, 2**63)


@pytest.mark.parametrize("cost", ["0", "0.000001", "007", "999999999999999.999999"])
def test_a_quantity_may_be(reader: Reader, cost: str) -> None:
    """Up to 15 digits and 6 decimals, kept as written; zero is a cost too."""
    data = reader.read(BOOKED, (*LINE, "costs"), {"coin": cost})
    assert isinstance(data, BookingState)
    assert {"coin": cost} == data.lines[0].costs


@pytest.mark.parametrize(
    "cost",
    [
        *("", "-1", "+1", "1e3", "NaN", "Infinity", "1.", ".5", "1,5", " 1", "1\n", "0x1"),
        *("1" * 16, "1.1234567", "\u0661"),
    ],
)
def test_a_quantity_may_not_be(reader: Reader, cost: str) -> None:
    """No sign, exponent, blank, other script's digit or name of a number."""
    expected = "lines.0.costs.*: string_pattern_mismatch"
    assert expected == reader.problem(BOOKED, (*LINE, "costs"), {"coin": cost})


def test_a_grant_is_greater_than_zero(reader: Reader) -> None:
    """A grant has a positive quantity or is unlimited."""
    for quantity in ("0.000001", "100", "unlimited"):
        reader.read(GRANTED, ("quantity",), quantity)
    for quantity in ("0", "000", "0.000"):
        assert "quantity: not_positive" == reader.problem(GRANTED, ("quantity",), quantity)
    for quantity in ("Unlimited", "-1", "infinite", "0unlimited"):
        expected = "quantity: string_pattern_mismatch"
        assert expected == reader.problem(GRANTED, ("quantity",), quantity)


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2199-12-31T23:59:59.999999Z", datetime(2199, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2200-01-01T09:00:00+14:00", datetime(2199, 12, 31, 19, tzinfo=UTC)),
        ("1999-12-31T23:00:00-01:00", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2026-02-20t14:03:11z", datetime(2026, 2, 20, 14, 3, 11, tzinfo=UTC)),
        ("2026-02-20T14:03:11.123456789-00:00", datetime(2026, 2, 20, 14, 3, 11, 123456, UTC)),
    ],
)
def test_an_instant_may_be(reader: Reader, written: str, instant: datetime) -> None:
    """RFC 3339 with an offset from 2000 to 2199, normalised to UTC."""
    data = reader.read(BOOKED, ("booked_at",), written)
    assert isinstance(data, BookingState)
    assert instant == data.booked_at
    assert UTC is data.booked_at.tzinfo


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("1999-12-31T23:59:59.999999Z", "greater_than_equal"),
        ("2000-01-01T00:00:00+00:01", "greater_than_equal"),
        ("2200-01-01T00:00:00Z", "less_than"),
        ("2199-12-31T23:59:59-00:01", "less_than"),
        ("9999-12-31T23:59:59-14:00", "less_than"),
        ("0001-01-01T00:00:00+14:00", "greater_than_equal"),
        ("2026-02-20T14:03:11", "string_pattern_mismatch"),
        ("2026-02-20 14:03:11Z", "string_pattern_mismatch"),
        ("2026-02-20", "string_pattern_mismatch"),
        ("1771596191", "string_pattern_mismatch"),
        (1771596191, "string_type"),
        (1771596191.5, "string_type"),
        ("2026-02-30T00:00:00Z", "datetime_from_date_parsing"),
        ("2026-02-20T24:00:00Z", "datetime_from_date_parsing"),
        ("2026-02-20T14:03:11+24:01", "datetime_from_date_parsing"),
    ],
)
def test_an_instant_may_not_be(reader: Reader, written: object, kind: str) -> None:
    """Without offset, as a number, on no calendar or beyond the years it is refused."""
    assert f"booked_at: {kind}" == reader.problem(BOOKED, ("booked_at",), written)


def test_a_local_date_is_limited(reader: Reader) -> None:
    """A local date is a day from 2000 to 2199, without a time."""
    for day in ("2000-01-01", "2028-02-29", "2199-12-31"):
        data = reader.read(OPENED, ("from_date",), day)
        assert isinstance(data, AccountState)
        assert day == data.from_date.isoformat()
    for day, kind in {
        "1999-12-31": "greater_than_equal",
        "2200-01-01": "less_than",
        "2026-02-29": "date_from_datetime_parsing",
        "2026-01-01T00:00:00Z": "string_pattern_mismatch",
        "20260101": "string_pattern_mismatch",
    }.items():
        assert f"from_date: {kind}" == reader.problem(OPENED, ("from_date",), day)
    assert "from_date: string_type" == reader.problem(OPENED, ("from_date",), 20454)


def test_a_zone_is_known(reader: Reader) -> None:
    """A zone is one of IANA's, whatever files lie beside them on this machine."""
    for zone in ("UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Asia/Kathmandu"):
        reader.read(OPENED, ("zone",), zone)
    for zone in (
        *("", "Europe", "europe/berlin", "+01:00", "localtime", "posix/UTC", "right/UTC"),
        *("Factory", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\x00", "zone.tab"),
    ):
        assert "zone: unknown_zone" == reader.problem(OPENED, ("zone",), zone)
    assert "zone: string_too_long" == reader.problem(OPENED, ("zone",), "Z" * 65)


def test_a_currency_is_in_use(reader: Reader) -> None:
    """A currency is an alphabetic ISO 4217 code that has a minor unit."""
    path = (*LINE, "price", "currency")
    for currency in ("EUR", "JPY", "KWD", "XOF", "ZWG"):
        reader.read(BOOKED, path, currency)
    for currency in ("XXX", "XTS", "XAU", "DEM", "ABC"):
        assert "lines.0.price.currency: unknown_currency" == reader.problem(BOOKED, path, currency)
    for currency in ("eur", "EURO", "978", ""):
        expected = "lines.0.price.currency: string_pattern_mismatch"
        assert expected == reader.problem(BOOKED, path, currency)


@pytest.mark.parametrize(
    ("name", "path", "make", "most"),
    [
        (BOOKED, ("lines",), lambda line, n: line | {"line": n + 1}, 500),
        (RENEWED, ("allotments",), lambda plan, n: plan | {"plan_line": f"line-{n}"}, 64),
        (GRANTED, ("scope", "locations"), lambda _, n: f"location-{n}", 200),
        (GRANTED, ("scope", "resources"), lambda _, n: f"resource-{n}", 200),
        (GRANTED, ("scope", "product_groups"), lambda _, n: f"group-{n}", 200),
    ],
)
def test_a_list_is_limited(
    reader: Reader, name: str, path: Path, make: Callable[[Any, int], object], most: int
) -> None:
    """The longest list is accepted, one that is longer by one is not."""
    sample = reduce(lambda part, key: part[key], path, reader.example(name)) or [None]
    items = [make(sample[0], number) for number in range(most + 1)]
    reader.read(name, path, items[:most])
    assert f"{'.'.join(map(str, path))}: too_long" == reader.problem(name, path, items)


def test_costs_name_at_most_eight_units(reader: Reader) -> None:
    """A line may be paid in up to eight units, whose names are ids."""
    path = (*LINE, "costs")
    reader.read(BOOKED, path, {})
    reader.read(BOOKED, path, {f"unit-{n}": "1" for n in range(8)})
    nine = {f"unit-{n}": "1" for n in range(9)}
    assert "lines.0.costs: too_long" == reader.problem(BOOKED, path, nine)
    expected = "lines.0.costs.*.*: string_pattern_mismatch"
    assert expected == reader.problem(BOOKED, path, {"two words": "1"})


def test_a_line_ends_after_it_starts_and_within_366_days(reader: Reader) -> None:
    """The longest line lasts 366 days, the shortest more than nothing."""
    path = (*LINE, "ends_at")
    reader.read(BOOKED, path, "2026-03-02T09:00:00.000001+01:00")
    reader.read(BOOKED, path, "2027-03-03T09:00:00+01:00")
    too_long = reader.problem(BOOKED, path, "2027-03-03T09:00:00.000001+01:00")
    assert "lines.0: too_long" == too_long
    for instant in ("2026-03-02T09:00:00+01:00", "2026-03-02T08:59:59+01:00"):
        assert "lines.0: ends_before_start" == reader.problem(BOOKED, path, instant)


def test_a_booking_has_a_line(reader: Reader) -> None:
    """A booking without lines is not a state of a booking."""
    assert "lines: too_short" == reader.problem(BOOKED, ("lines",), [])


def test_line_numbers_differ(reader: Reader, example: Example) -> None:
    """A line number may occur once in a booking."""
    lines = example(BOOKED)["lines"] * 2
    assert "value: duplicate_line" == reader.problem(BOOKED, ("lines",), lines)


def test_plan_lines_differ(reader: Reader, example: Example) -> None:
    """A plan line may occur once in a renewal."""
    allotments = example(RENEWED)["allotments"] * 2
    expected = "value: duplicate_plan_line"
    assert expected == reader.problem(RENEWED, ("allotments",), allotments)


def test_windows_are_not_empty(reader: Reader) -> None:
    """A period and a grant's window end after they start, where they have an end."""
    for end in ("2026-01-31", "2026-01-30"):
        assert "value: ends_before_start" == reader.problem(RENEWED, ("period_end",), end)
    for instant in ("2026-05-01T00:00:00+01:00", "2026-04-30T23:00:00Z"):
        assert "value: ends_before_start" == reader.problem(GRANTED, ("valid_to",), instant)
    reader.read(RENEWED, ("period_end",), None)
    reader.read(GRANTED, ("valid_to",), None)
    reader.read(GRANTED, ("valid_from",), None)


def test_an_unknown_dimension_of_a_scope_is_refused(reader: Reader) -> None:
    """Ignoring it would let the grant pay for more than was meant."""
    path = (*ALLOTMENT, "scope", "floors")
    assert "allotments.0.scope.*: extra_forbidden" == reader.problem(RENEWED, path, ["ground"])


def test_a_named_dimension_of_a_scope_is_not_empty(reader: Reader) -> None:
    """An empty list could mean everything or nothing, so it means neither."""
    path = (*ALLOTMENT, "scope", "resources")
    assert "allotments.0.scope.resources: too_short" == reader.problem(RENEWED, path, [])


def test_unknown_fields_are_ignored(reader: Reader) -> None:
    """A publisher may add fields anywhere else."""
    for name, path in {BOOKED: LINE, RENEWED: ALLOTMENT, GRANTED: ()}.items():
        reader.read(name, (*path, "added_later"), {"any": ["thing", None, 1e300]})


def test_what_may_be_null_may_be_left_out(
    example: Example, headers_of: Callable[[str], Any]
) -> None:
    """Left out means null, or the value that the contract names."""
    value = json.dumps(example("received/billing-plan-renewed/valid-least")).encode()
    data = read_event(headers_of("billing-plan-renewed"), value).data
    assert isinstance(data, BillingPlanRenewed)
    assert (None, 1) == (data.period_end, data.version)
    assert (None, 100) == (data.allotments[0].scope.resources, data.allotments[0].priority)


def test_received_data_is_immutable(reader: Reader) -> None:
    """No model that is read can be changed afterwards."""
    data = reader.read(BOOKED, ("revision",), 2)
    with pytest.raises(ValueError, match="frozen"):
        data.account_id = "birch"  # type: ignore[misc]
    assert all(model.model_config.get("frozen") for model in RECEIVED.values())
