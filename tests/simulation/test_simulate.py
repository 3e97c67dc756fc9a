"""The command simulate: what a file of events comes to, without a server."""

import json
from itertools import permutations
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from typer.testing import CliRunner, Result

import booking_credits
from booking_credits.cli import app
from booking_credits.exit_codes import ExitCode
from booking_credits_contracts import PUBLISHED

Json: TypeAlias = dict[str, Any]

SERVICE = Path(booking_credits.__file__).parent

OPENING: Json = {
    "account_id": "acorn",
    "from_date": "2026-03-01",
    "zone": "UTC",
    "cycle": "month",
    "anchor_date": "2026-03-01",
    "policy": "packs",
    "on_account": True,
}
GRANT: Json = {
    "account_id": "acorn",
    "grant_id": "pack",
    "unit": "credit",
    "quantity": "5",
    "actor": "petra",
    "reason": "sold at the desk",
}


def test_events_in_are_events_out(tmp_path: Path) -> None:
    """Each line that is printed is a CloudEvent that keeps the published contract."""
    printed = _events(_simulate(tmp_path, _opens(), _grants(), _books("standup")))
    assert ["balance-changed", "balance-changed", "coverage-decided"] == [
        event["type"] for event in printed
    ]
    assert {("1.0", "booking-credits", "acorn")} == {
        (event["specversion"], event["source"], event["subject"]) for event in printed
    }
    for event in printed:
        PUBLISHED[event["type"]].model_validate_json(json.dumps(event["data"]))


def test_simulating_again_repeats_every_byte(tmp_path: Path) -> None:
    """Ids and contents follow from the events alone."""
    lines = [_opens(), _grants(), _books("standup")]
    assert _simulate(tmp_path, *lines).stdout == _simulate(tmp_path, *lines).stdout


def test_the_clock_posts_what_is_due_between_events(tmp_path: Path) -> None:
    """A meeting that has begun by the time of the last event is drawn at its start."""
    later = _grants("later", time="2026-04-01T00:00:00Z")
    printed = _events(_simulate(tmp_path, _opens(), _grants(), _books("standup"), later))
    (drawn,) = [e for e in printed if e["data"]["cause"]["type"] == "time-passed"]
    assert ("2026-03-10T10:00:00Z", "2") == (drawn["time"], drawn["data"]["after"]["drawn"])


def test_time_passes_until_the_instant_that_is_asked_for(tmp_path: Path) -> None:
    """What becomes due after the last event is posted too, and nothing later."""
    lines = [_opens(), _grants(), _books("standup")]
    before = _simulate(tmp_path, *lines, options=["--until", "2026-03-10T09:59:59Z"])
    after = _simulate(tmp_path, *lines, options=["--until", "2026-03-10T11:00:00+01:00"])
    assert (3, 4) == (len(_events(before)), len(_events(after)))


def test_lines_may_come_in_any_order(tmp_path: Path) -> None:
    """Every order of the lines ends in the same balance."""
    lines = [_opens(), _grants(), _books("standup"), _books("planning"), _cancels("standup")]
    balances = {_last_balance(_simulate(tmp_path, *order)) for order in permutations(lines)}
    assert {'{"available": "3", "held": "2"}'} == balances


def test_an_event_may_arrive_later_than_it_happened(tmp_path: Path) -> None:
    """A grant that is learned of when its month is over takes an overage back."""
    late = {**_grants(), "recordedtime": "2026-03-20T08:00:00Z"}
    printed = _events(_simulate(tmp_path, _opens(), _books("standup"), late))
    owed = [e["data"]["status"] for e in printed if e["type"] == "overage-detected"]
    assert ["detected", "reversed"] == owed
    assert "2026-03-20T08:00:00Z" == printed[-1]["time"]


def test_what_would_be_without_an_event(tmp_path: Path) -> None:
    """An event that is left out never happened."""
    lines = [_opens(), _grants(), _books("standup")]
    without = _simulate(tmp_path, *lines, options=["--without", "grant/pack"])
    (decided,) = _events(without)
    assert "uncovered" == decided["data"]["status"]
    assert without.stdout == _simulate(tmp_path, lines[0], lines[2]).stdout


def test_an_event_that_is_not_there_cannot_be_left_out(tmp_path: Path) -> None:
    """A mistyped id would otherwise look like an event without effect."""
    result = _simulate(tmp_path, _opens(), options=["--without", "grant/pakc"])
    assert (ExitCode.USAGE, "") == (result.exit_code, result.stdout)
    assert "no event has the id grant/pakc" in result.stderr


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("{", "not_json: value: json_invalid", id="not JSON"),
        pytest.param({"type": "party-thrown"}, "unknown_type: type:", id="type"),
        pytest.param({"time": None}, "invalid_attribute: time:", id="time"),
        pytest.param({"recordedtime": "soon"}, "invalid_attribute: recordedtime", id="recorded"),
        pytest.param({"unit": "nickel"}, "unknown_unit: ", id="unit"),
        pytest.param({"id": "grant/pack"}, "event_conflict: ", id="other content"),
        pytest.param({"grant_id": "pack"}, "grant_conflict: grant/pack is", id="conflict"),
    ],
)
def test_bad_lines_are_named_and_harm_no_other(
    tmp_path: Path, line: str | Json, reason: str
) -> None:
    """Number and reason stand on standard error; what is good is simulated all the same."""
    good = [_opens(), _grants(), _books("standup")]
    bad = line if isinstance(line, str) else _second_grant(line)
    result = _simulate(tmp_path, *good[:2], "", bad, good[2])
    assert ExitCode.DATA_REFUSED == result.exit_code
    assert f"line 4: {reason}" in result.stderr
    assert result.stdout == _simulate(tmp_path, *good).stdout


def test_a_booking_belongs_to_one_account(tmp_path: Path) -> None:
    """The same booking under a second account is refused, as by the service."""
    other = _books("standup", account="birch", id="other")
    result = _simulate(tmp_path, _books("standup"), other)
    assert "line 2: other_account: the booking is another account's" in result.stderr


def test_an_event_twice_is_once(tmp_path: Path) -> None:
    """Repetitions are counted and change nothing, those under another id included."""
    lines = [_opens(), _grants()]
    again = _simulate(tmp_path, *lines, lines[1], {**lines[1], "id": "another"})
    assert again.stdout == _simulate(tmp_path, *lines).stdout
    assert (0, "4 events, 2 duplicates, 0 refused") == (again.exit_code, again.stderr.strip())


def test_another_policy_file_holds(tmp_path: Path) -> None:
    """The shipped rules are those of nobody in particular."""
    shipped = (SERVICE / "policies.toml").read_text(encoding="utf-8")
    policies = tmp_path / "policies.toml"
    policies.write_text(shipped.replace("credit =", "token ="), encoding="utf-8")
    result = _simulate(tmp_path, _grants(), options=["--policy", str(policies)])
    assert "line 1: unknown_unit" in result.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["--policy", "nowhere.toml"], "nowhere.toml", id="no policies"),
        pytest.param(["--until", "2026-03-02"], "an instant is like", id="no instant"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    tmp_path: Path, options: list[str], said: str
) -> None:
    """Nothing is simulated by other rules than those asked for."""
    result = _simulate(tmp_path, _opens(), options=options)
    assert (ExitCode.USAGE, "") == (result.exit_code, result.stdout)
    assert said in result.stderr


def test_every_booking_can_be_explained(tmp_path: Path) -> None:
    """Instead of events there is a tree for each booking, down to the lines of the file."""
    lines = [_opens(), _grants(), _books("standup"), _books("planning")]
    explained = _simulate(tmp_path, *lines, options=["--explain"]).stdout
    assert [
        "Booking planning of acorn: 1 line stands",
        "Booking standup of acorn: 1 line stands",
    ] == [line for line in explained.splitlines() if line.startswith("Booking")]
    assert "2 credit held from grant pack" in explained
    assert "event grant/pack of tests" in explained


def _simulate(tmp_path: Path, *lines: Json | str, options: list[str] | None = None) -> Result:
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(written), encoding="utf-8")
    return CliRunner().invoke(app, ["simulate", str(file), *(options or ())])


def _events(result: Result) -> list[Json]:
    assert ExitCode.FINISHED == result.exit_code, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def _last_balance(result: Result) -> str:
    (*_, last) = [e for e in _events(result) if e["type"] == "balance-changed"]
    after = last["data"]["after"]
    return json.dumps({name: after[name] for name in ("available", "held")})


def _event(type: str, id: str, time: str, data: Json) -> Json:  # noqa: A002 - as CloudEvents has it
    return {
        "specversion": "1.0",
        "id": id,
        "source": "tests",
        "type": type,
        "time": time,
        "data": data,
    }


def _opens() -> Json:
    return _event("account-opened", "open", "2026-03-01T08:00:00Z", OPENING)


def _grants(name: str = "pack", *, time: str = "2026-03-01T09:00:00Z") -> Json:
    return _event("credits-granted", f"grant/{name}", time, GRANT | {"grant_id": name})


def _second_grant(said: Json) -> Json:
    """Write another grant of which one thing is as said."""
    event = _grants("second") | {name: said[name] for name in said if name not in GRANT}
    data = {name: said[name] for name in said if name in GRANT}
    return event | {"data": event["data"] | {"quantity": "7"} | data}


def _books(name: str, *, account: str = "acorn", id: str | None = None) -> Json:  # noqa: A002
    line = {
        "line": 1,
        "starts_at": "2026-03-10T10:00:00Z",
        "ends_at": "2026-03-10T11:00:00Z",
        "resource": "fishbowl",
        "costs": {"credit": "2"},
        "price": {"amount_minor": 2000, "currency": "EUR"},
    }
    data = {
        "account_id": account,
        "booking_id": name,
        "revision": 1,
        "booked_at": "2026-03-02T09:00:00Z",
        "lines": [line],
    }
    return _event("booking-created", id or f"book/{name}", "2026-03-02T09:00:00Z", data)


def _cancels(name: str) -> Json:
    data = {"account_id": "acorn", "booking_id": name, "revision": 2}
    return _event("booking-cancelled", f"cancel/{name}", "2026-03-03T09:00:00Z", data)
