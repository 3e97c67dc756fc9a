"""The command `booking-credits simulate`: events in by a file, and out on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from booking_credits.enquiries.answers import TreeAnswer
from booking_credits.exit_codes import ExitCode
from booking_credits.ledger.policies import PolicyBook
from booking_credits.output import Output
from booking_credits.policy_file import PolicyFileError, load_policies
from booking_credits.posting.batch import Arrival
from booking_credits.simulation.lines import Line, read_lines, write_event
from booking_credits.simulation.simulation import Published, Refused, Simulation
from booking_credits_contracts.times import Instant


def _instant(text: str) -> datetime:
    try:
        return TypeAdapter(Instant).validate_json(to_json(text))
    except ValidationError:
        raise typer.BadParameter("an instant is like 2026-03-02T09:00:00+01:00") from None


def simulate(
    file: Annotated[
        typer.FileBinaryRead,
        typer.Argument(
            metavar="FILE", help="CloudEvents as JSON, one a line; - is standard input."
        ),
    ],
    *,
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A policy file other than the shipped one.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Leave an event out; may be repeated.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=_instant, metavar="INSTANT", help="Let time pass until then at last."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each booking is paid as it is, instead.")
    ] = False,
) -> None:
    """Write what the service would publish for a file of events; no server is needed.

    Lines that it would set aside are named on standard error, and 65 is then the exit code.
    """
    book = _policies(policy)
    lines = _leave_out(list(read_lines(file, book)), frozenset(without or ()))
    simulation = Simulation(book)
    refused = 0
    for where, what in _play(simulation, lines, until):
        if isinstance(what, Refused):
            refused += 1
            typer.echo(f"{where}: {what.reason}: {what.detail}", err=True)
        elif not explain:
            typer.echo(write_event(what))
    if explain:
        for answer in _explanations(simulation):
            typer.echo(answer.text(Output.table), nl=False)
    counts = f"{len(lines)} events, {simulation.duplicates} duplicates, {refused} refused"
    typer.echo(counts, err=True)
    raise typer.Exit(ExitCode.DATA_REFUSED if refused else ExitCode.FINISHED)


def _play(
    simulation: Simulation, lines: Iterable[Line], until: datetime | None
) -> Iterator[tuple[str, Published | Refused]]:
    """Let everything happen; each thing comes with the place that it is from."""
    for line in lines:
        content = line.content
        happens = (
            (content,)
            if isinstance(content, Refused)
            else simulation.arrive(content, line.arrives_at)
        )
        for what in happens:
            yield f"line {line.number}", what
    for what in simulation.pass_time(until or simulation.now):
        yield "after the last line", what


def _explanations(simulation: Simulation) -> Iterator[TreeAnswer]:
    for account_id, journal in sorted(simulation.journals.items()):
        yield from journal.explanations(simulation.records[account_id], simulation.now)


def _leave_out(lines: list[Line], event_ids: frozenset[str]) -> list[Line]:
    named = {line.content.event_id for line in lines if isinstance(line.content, Arrival)}
    for event_id in sorted(event_ids - named):
        _refuse(f"no event has the id {event_id}")
    return [
        line
        for line in lines
        if isinstance(line.content, Refused) or line.content.event_id not in event_ids
    ]


def _policies(path: Path | None) -> PolicyBook:
    try:
        return load_policies(path)
    except PolicyFileError as fault:
        _refuse(str(fault))


def _refuse(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(ExitCode.USAGE) from None
