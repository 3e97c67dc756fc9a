"""The command `booking-credits`: data on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer
import uvloop
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.text import Text

from booking_credits.app import ROLES, Role, build
from booking_credits.configuration import app as configuration
from booking_credits.dead_letters.commands import app as dead_letters
from booking_credits.demo.play import DemoClock, play
from booking_credits.demo.send import SendFailed, send_event
from booking_credits.enquiries.commands import app as enquiries
from booking_credits.exit_codes import ExitCode
from booking_credits.kafka_access import client_options
from booking_credits.policy_file import PolicyFileError, load_policies
from booking_credits.postgres.faults import DATABASE_FAULTS
from booking_credits.postgres.migrate import MigrationFault
from booking_credits.postgres.migrate import migrate as apply_migrations
from booking_credits.settings import Settings, SettingsFault, read_settings
from booking_credits.simulation.command import simulate
from booking_credits.telemetry import configure_logs
from booking_credits.topics import create_topics
from booking_credits.verify.verification import verify as find_violations

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from booking_credits.ledger.policies import PolicyBook

Result = TypeVar("Result")

app = typer.Typer(
    help="A ledger of booking credits.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(configuration, name="config")
app.add_typer(enquiries)
app.command()(simulate)
_screen = Console(stderr=True)


def main() -> None:
    """Run the command line."""
    # Process 1 of a container has no default for it: without this, it would be ignored.
    signal.signal(signal.SIGTERM, _end)
    app()


@app.command()
def serve(
    *,
    without_relay: Annotated[
        bool, typer.Option("--without-relay", help="Leave publishing to others.")
    ] = False,
    without_clock: Annotated[
        bool, typer.Option("--without-clock", help="Leave what is due to others.")
    ] = False,
) -> None:
    """Read events, post them, publish what changed; until SIGTERM or Ctrl-C."""
    left: set[Role] = set()
    left |= {"relay"} if without_relay else set()
    left |= {"clock"} if without_clock else set()
    _serve(ROLES - left)


@app.command()
def relay() -> None:
    """Only publish what workers have posted; until SIGTERM or Ctrl-C."""
    _serve(frozenset({"relay"}))


@app.command()
def clock() -> None:
    """Only post what is due; until SIGTERM or Ctrl-C."""
    _serve(frozenset({"clock"}))


@app.command()
def topics(
    partitions: Annotated[int, typer.Option(min=1, help="Of each topic that is made.")] = 6,
) -> None:
    """Create the topics that are missing, on up to three brokers; safe to repeat."""
    settings, _ = _settings(logging.WARNING)
    wanted = [*settings.input_topic_names, *settings.output_topics.values()]
    try:
        made = _run(create_topics(client_options(settings), wanted, partitions))
    except (OSError, KafkaError) as failure:
        _give_up(failure)
    for name in made:
        typer.echo(name)


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema; safe to run again and by several at once."""
    settings, _ = _settings(logging.INFO)
    try:
        applied = _run(apply_migrations(settings.postgres_dsn.get_secret_value()))
    except MigrationFault as fault:
        _screen.print(f"[red]{fault}[/red]")
        raise typer.Exit(ExitCode.USAGE) from None
    except DATABASE_FAULTS as failure:
        _give_up(failure)
    for name in applied:
        typer.echo(name)
    _screen.print(f"{len(applied)} migrations applied" if applied else "nothing to apply")


@app.command()
def verify(
    sample: Annotated[
        int | None,
        typer.Option(min=1, help="Rebuild only so many accounts, chosen by chance."),
    ] = None,
) -> None:
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
        try:
            violations = _run(find_violations(dsn, book, progress, sample=sample))
        except DATABASE_FAULTS as failure:
            _give_up(failure)
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
    demo_clock = DemoClock()
    service = build(settings, book, now=demo_clock.now)
    code = _run(play(service, settings, demo_clock, once=once, console=Console()))
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


def _serve(roles: frozenset[Role]) -> None:
    settings, book = _settings(logging.INFO)
    service = build(settings, book, now=_now, roles=roles)
    raise typer.Exit(_run(service.run()))


def _settings(level: int) -> tuple[Settings, PolicyBook]:
    """Read settings and policies, or say what is wrong with them and stop."""
    try:
        settings = read_settings()
        book = load_policies(settings.policies)
    except (SettingsFault, PolicyFileError) as fault:
        _screen.print(Text(str(fault), "red"))
        raise typer.Exit(ExitCode.USAGE) from None
    configure_logs(settings.log_format, level)
    return settings, book


def _give_up(failure: Exception) -> NoReturn:
    """Say that a server did not answer, which says nothing about the ledger."""
    _screen.print(Text(f"no answer: {type(failure).__name__} {failure}", "red"))
    raise typer.Exit(ExitCode.UNAVAILABLE) from None


def _run(work: Coroutine[object, object, Result]) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _now() -> datetime:
    return datetime.now(UTC)
