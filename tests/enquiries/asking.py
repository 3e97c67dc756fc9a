"""Asking: the commands as people run them, on a ledger to which the tests have posted."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from booking_credits.cli import app

# The policies and the units of the builders.
POLICIES = """
[default]
policy = "coins"
zone = "UTC"
cycle = "month"
anchor_date = 2026-01-01

[units]
coin = { kind = "money", scale = 2 }
minute = { kind = "time", scale = 0 }
credit = { kind = "count", scale = 0 }

[[policies.coins]]
draw_on = "booking"
overage_due = "start"
channel = "invoice"
one_time_months = 12

[[policies.tenant]]
draw_on = "completion"
overage_due = "cycle_end"
channel = "invoice"

[[policies.packs]]
draw_on = "start"
overage_due = "start"
channel = "invoice"
discounts_combine = false
excluded_product_groups = ["catering"]
"""


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


async def ask(database: str, *arguments: str, folder: Path) -> Said:
    """Run `booking-credits` in a thread, by the builders' policies, kept in a folder."""
    policies = folder / "policies.toml"
    policies.write_text(POLICIES, encoding="utf-8")
    variables = {
        "BOOKING_CREDITS_POLICIES": str(policies),
        "BOOKING_CREDITS_INPUT_TOPICS": "facts",
    }
    return await _ask(database, arguments, variables)


async def ask_as_shipped(database: str, *arguments: str) -> Said:
    """Run `booking-credits` in a thread, by the policies that are shipped."""
    return await _ask(database, arguments, {})


async def _ask(database: str, arguments: Sequence[str], variables: dict[str, str]) -> Said:
    env = variables | {"BOOKING_CREDITS_POSTGRES_DSN": database}
    result = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


async def ask_json(database: str, *arguments: str, folder: Path) -> Any:
    """Run a command that finds an answer, and read it."""
    said = await ask(database, *arguments, "--output", "json", folder=folder)
    assert (0, "") == (said.code, said.err)
    return json.loads(said.out)
