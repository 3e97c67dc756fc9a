"""The command `booking-credits`: data on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
import uvloop
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress, TaskID

from booking_credits.app import build
from booking_credits.dead_letters.commands import app as dead_letters
from booking_credits.demo.play import DemoClock, play
from booking_credits.demo.send import SendFailed, send_event
from booking_credits.exit_codes import ExitCode
from booking_credits.policy_file import PolicyFileError, load_policies
from booking_credits.postgres.migrate import MigrationFault
from booking_credits.postgres.migrate import migrate as apply_migrations
from booking_credits.settings import Settings
from booking_credits.telemetry import configure_logs
from booking_credits.verify.verification import verify as find_violations

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from booking_credits.ledger.policies import PolicyBook

Result = TypeVar("Result")

app = typer.Typer(
    help="A ledger of booking credits.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(dead_letters, name="dead-letters")
_screen = Console(stderr=True)


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def serve() -> None:
    """Read events, post them, publish what changed; until SIGTERM or Ctrl-C."""
    settings, book = _settings(logging.INFO)
    service = build(settings, book, now=_now)
    raise typer.Exit(_run(service.run()))


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema; safe to run again and by several at once."""
    settings, _ = _settings(logging.INFO)
    try:
        applied = _run(apply_migrations(settings.postgres_dsn.get_secret_value()))
    except MigrationFault as fault:
        _screen.print(f"[red]{fault}[/red]")
        raise typer.Exit(ExitCode.USAGE) from None
    for name in applied:
        typer.echo(name)
    _screen.print(f"{len(applied)} migrations applied" if applied else "nothing to apply")


@app.command()
def verify() -> None:
    """Check the ledger against its own rules and rebuild it from its facts; 1 if it is wrong."""
    settings, book = _settings(logging.WARNING)
    with Progress(console=_screen, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            task = tasks.get(stage)
            if task is None:
                task = tasks[stage] = bar.add_task(stage, total=total)
            bar.update(task, completed=done, total=total)

        dsn = settings.postgres_dsn.get_secret_value()
        violations = _run(find_violations(dsn, book, progress))
    for violation in violations:
        where = violation.account_id or "-"
        typer.echo(f"{violation.check}\t{where}\t{violation.detail}")
    _screen.print(f"verify: {len(violations)} violations")
    raise typer.Exit(ExitCode.VIOLATIONS if violations else ExitCode.FINISHED)


@app.command()
def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the day.")] = False,
) -> None:
    """Play a day in a workspace through Kafka and the ledger, and show what comes out."""
    settings, book = _settings(logging.ERROR)
    clock = DemoClock()
    service = build(settings, book, now=clock.now)
    console = Console()
    code = _run(
        play(service, settings.kafka_bootstrap, settings, clock, once=once, console=console)
    )
    raise typer.Exit(code)


@app.command()
def send(
    file: Annotated[Path, typer.Argument(help="A CloudEvent in structured mode, as JSON.")],
    topic: Annotated[str, typer.Option(help="Where to send it.")] = "bookings",
) -> None:
    """Send an event and show what the ledger makes of it."""
    settings, _ = _settings(logging.ERROR)
    try:
        event = json.loads(file.read_text(encoding="utf-8"))
        answers = _run(send_event(settings, topic, event))
    except (OSError, ValueError, SendFailed) as failure:
        _screen.print(f"[red]{failure}[/red]")
        raise typer.Exit(ExitCode.USAGE) from None
    for answer in answers:
        typer.echo(json.dumps(answer, indent=2))


def _settings(level: int) -> tuple[Settings, PolicyBook]:
    """Read settings and policies, or say what is wrong with them and stop."""
    try:
        settings = Settings()
        book = load_policies(settings.policies)
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            _screen.print(f"[red]BOOKING_CREDITS_{name}: {problem['msg']}[/red]")
        raise typer.Exit(ExitCode.USAGE) from None
    except PolicyFileError as error:
        _screen.print(f"[red]{error}[/red]", markup=True)
        raise typer.Exit(ExitCode.USAGE) from None
    configure_logs(settings.log_format, level)
    return settings, book


def _run(work: Coroutine[object, object, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _now() -> datetime:
    return datetime.now(UTC)
