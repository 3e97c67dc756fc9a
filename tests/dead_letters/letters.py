"""Letters: dead letters put where the commands find them, and the commands as people run them."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import asyncpg
from typer.testing import CliRunner

from booking_credits.dead_letters.commands import app
from booking_credits.postgres import registry
from booking_credits.posting.batch import DeadLetter, Origin
from booking_credits.posting.dead_letters import dead_letter_row
from builders import ACCOUNT, a_grant, at
from postgres.arrivals import record_of

COMMAND = Path(sys.executable).with_name("booking-credits")
RECEIVED_AT = at("2026-04-01 12:00")


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


async def run(database: str, *arguments: str, kafka: str = "127.0.0.1:9") -> Said:
    """Run `booking-credits dead-letters`, in a thread instead of a process, which is quicker."""
    result = await asyncio.to_thread(
        CliRunner().invoke, app, list(arguments), env=_variables(database, kafka)
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


async def run_process(database: str, *arguments: str) -> Said:
    """Run the command as people do."""
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        "dead-letters",
        *arguments,
        env=os.environ | _variables(database, "127.0.0.1:9"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


async def run_shell(database: str, command: str, *, kafka: str) -> Said:
    """Run a line as people do, in a shell."""
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-o", "pipefail", "-c", command),
        env=os.environ | _variables(database, kafka) | {"PATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Said(process.returncode or 0, out.decode(), err.decode())


def _variables(database: str, kafka: str) -> dict[str, str]:
    return {
        "BOOKING_CREDITS_POSTGRES_DSN": database,
        "BOOKING_CREDITS_KAFKA_BOOTSTRAP": kafka,
    }


def an_origin(topic: str = "bookings", offset: int = 0) -> Origin:
    """Make a record that holds an event of the contract."""
    return replace(record_of(a_grant()), topic=topic, offset=offset)


async def put(
    database: str,
    origin: Origin,
    *,
    reason: str = "unknown_unit",
    account_id: str | None = ACCOUNT,
) -> UUID:
    """Set a record aside, and return its letter's id."""
    letter = DeadLetter(reason, "units", origin, RECEIVED_AT, account_id=account_id)
    row = dead_letter_row(letter)
    connection = await asyncpg.connect(database)
    try:
        await registry.put_dead_letters(connection, [row])
    finally:
        await connection.close()
    assert isinstance(row[0], UUID)
    return row[0]
