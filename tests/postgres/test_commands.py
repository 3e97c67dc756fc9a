"""Commands: how those end that only ask the database, when it is away."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from typer.testing import CliRunner

from booking_credits.cli import app
from booking_credits.exit_codes import ExitCode
from local.supervision import free_port


@pytest.fixture
def logs() -> Iterator[None]:
    """Leave logging as it was: a command sets it up for its own process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize("command", ["migrate", "verify"])
@pytest.mark.usefixtures("logs")
def test_a_database_that_is_away_says_nothing_of_the_ledger(command: str) -> None:
    """The exit code is that of a server which does not answer, and the password stays unsaid."""
    dsn = f"postgresql://mina:hunter2@127.0.0.1:{free_port()}/ledger"

    said = CliRunner().invoke(app, [command], env={"BOOKING_CREDITS_POSTGRES_DSN": dsn})

    assert ExitCode.UNAVAILABLE == said.exit_code
    assert "no answer: ConnectionRefusedError" in said.output
    assert "hunter2" not in said.output
