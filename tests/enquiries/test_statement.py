"""Statements: what people read of a period once it is closed."""

from pathlib import Path

from booking_credits.clock.clock import close
from booking_credits.exit_codes import ExitCode
from booking_credits.ledger.closing import Closing
from booking_credits.posting.batch import Batch
from builders import ACCOUNT, a_booking, a_grant, a_line, a_renewal, an_account, at, on, time_passed
from enquiries.asking import ask, ask_json
from postgres.arrivals import a_poster, post

MARCH = Closing(
    at("2026-03-01 00:00"), on("2026-03-01"), at("2026-04-01 00:00"), at("2026-04-04 00:00")
)
APRIL = Closing(
    at("2026-04-01 00:00"), on("2026-04-01"), at("2026-05-01 00:00"), at("2026-05-04 00:00")
)


async def test_a_statement_is_shown_as_it_was_published(database: str, tmp_path: Path) -> None:
    """The last one closed, or that of a period, with what is owed for it."""
    await _close_march(database)
    expected = {
        "unit": "coin",
        "opening": "0.00",
        "issued": "50.00",
        "drawn": "50.00",
        "expired": "0.00",
        "removed": "0.00",
        "adjusted": "0.00",
        "closing": "0.00",
    }
    owed = {"currency": "EUR", "channel": "invoice", "owed_minor": 1000, "adjusted_minor": 0}
    for period in ([], ["2026-03-01"]):
        said = await ask_json(database, "statement", ACCOUNT, *period, folder=tmp_path)
        assert ("2026-03-01", "2026-04-01") == (said["period_start"], said["period_end"])
        assert ([expected], [owed]) == (said["units"], said["overages"])


async def test_a_period_that_is_open_has_no_statement(database: str, tmp_path: Path) -> None:
    """Whoever asks for it is told so, and nothing is written."""
    await _close_march(database)
    said = await ask(database, "statement", ACCOUNT, "2026-04-01", folder=tmp_path)
    assert (ExitCode.USAGE, "") == (said.code, said.out)
    assert f"no period that began on 2026-04-01 is closed: {ACCOUNT}" in said.err


async def test_the_log_of_a_closed_period_stays_as_it_is(database: str, tmp_path: Path) -> None:
    """What is told of it late is in the log, and the statement, of the period that is open."""
    await _close_march(database)
    march = ("log", ACCOUNT, "--from", "2026-03-01", "--to", "2026-04-01")
    april = ("log", ACCOUNT, "--from", "2026-04-01", "--to", "2026-05-01")
    before = await ask_json(database, *march, folder=tmp_path)
    gift = a_grant("gift", 700, granted="2026-03-20 00:00")
    await post(database, [gift, time_passed("2026-05-01 00:00")])
    assert before["entries"] == (await ask_json(database, *march, folder=tmp_path))["entries"]
    told = await ask_json(database, *april, folder=tmp_path)
    assert "2026-04-01T00:00:00Z" == told["entries"][0]["at"]
    await _close(database, APRIL)
    [coin] = (await ask_json(database, "statement", ACCOUNT, folder=tmp_path))["units"]
    assert ("0.00", "7.00", "0.00") == (coin["issued"], coin["adjusted"], coin["opening"])


async def _close_march(database: str) -> None:
    big = a_booking("big", a_line(costs={"coin": 10_000}, price=2000))
    await post(
        database,
        [an_account(policy="packs"), a_renewal(), big, time_passed("2026-03-10 10:00")],
    )
    await _close(database, MARCH)


async def _close(database: str, closing: Closing) -> None:
    async with a_poster(database) as poster:
        arrived = close(ACCOUNT, closing, closing.closes_at)
        posted = await poster.post(Batch((arrived,)))
    assert [] == posted.dead_letters
