import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import local
from booking_credits.app import Service, build
from booking_credits.demo.play import DemoClock, play
from booking_credits.demo.send import SendFailed, send_event
from booking_credits.policy_file import load_policies
from booking_credits.settings import Settings

pytestmark = pytest.mark.slow

_DEPLOY = Path(local.__file__).parents[1]
_EXAMPLE = _DEPLOY.parent / "contracts" / "examples" / "send" / "booking-created.json"
_LAST_LINE = re.compile(
    r"demo: [1-9]\d* events in, [1-9]\d* entries, [1-9]\d* overages, 0 violations"
)


def test_day_plays_as_told(tmp_path: Path) -> None:
    """Every step of the demonstration has its effect, verify agrees, and it ends by itself."""
    # The servers are its own: one that is given may hold what an earlier run left.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOOKING_CREDITS_")}
    ended = subprocess.run(
        [sys.executable, "-m", "local", "run", "--once"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(_DEPLOY)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert _LAST_LINE.fullmatch(ended.stdout.splitlines()[-1])


async def test_example_is_answered_after_the_day(settings: Settings) -> None:
    """The event that a person is invited to send is covered by what the day has left."""
    clock, book = DemoClock(), load_policies()
    first = build(settings, book, now=clock.now)
    assert 0 == await _play(first, settings, clock)
    second = build(settings, book, now=clock.now)
    await second.start()
    try:
        answers = await _send_example(settings)
    finally:
        await second.stop()
    told = [answer.get("status") or answer["unit"] for answer in answers]
    assert ["coin", "minute", "covered"] == told


async def test_day_is_not_played_on_a_ledger_in_use(settings: Settings) -> None:
    """The demonstration leaves alone a ledger that holds something."""
    clock, book = DemoClock(), load_policies()
    assert 0 == await _play(build(settings, book, now=clock.now), settings, clock)
    assert 1 == await _play(build(settings, book, now=clock.now), settings, DemoClock())


async def test_event_that_breaks_the_contract_is_not_sent(settings: Settings) -> None:
    """Whoever sends is told what is wrong with the event, without its content."""
    event = json.loads(_EXAMPLE.read_text())
    event["data"]["revision"] = "1"
    with pytest.raises(SendFailed, match=r"^Not sent: schema: data\.revision: int_type$"):
        await send_event(settings, settings.input_topics, event)


async def _play(service: Service, settings: Settings, clock: DemoClock) -> int:
    console = Console(file=io.StringIO())
    return await play(service, settings, clock, once=True, console=console)


async def _send_example(settings: Settings) -> list[dict[str, Any]]:
    event = json.loads(_EXAMPLE.read_text())
    return await send_event(settings, settings.input_topics, event)
