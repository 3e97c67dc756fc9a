"""The commands that ask something of the ledger and change nothing."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Protocol, TypeAlias

import typer

from booking_credits.enquiries import holdings
from booking_credits.enquiries.explaining import explain_booking
from booking_credits.enquiries.export import Wanted
from booking_credits.enquiries.export import export as ask_export
from booking_credits.enquiries.log import Selection
from booking_credits.enquiries.log import log as ask_log
from booking_credits.enquiries.quoting import NotQuotable
from booking_credits.enquiries.quoting import quote as ask_quote
from booking_credits.enquiries.session import NotFound, Session
from booking_credits.enquiries.statement import statement as ask_statement
from booking_credits.exit_codes import ExitCode
from booking_credits.output import Output
from booking_credits.policy_file import PolicyFileError, load_policies
from booking_credits.postgres.enquiries import looking
from booking_credits.postgres.faults import DATABASE_FAULTS
from booking_credits.settings import SettingsFault, read_settings
from booking_credits.telemetry import configure_logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from booking_credits.ledger.policies import PolicyBook
    from booking_credits.settings import Settings


class Written(Protocol):
    """An answer that can be written."""

    def text(self, output: Output) -> str:
        """Write it."""


Account: TypeAlias = Annotated[str, typer.Argument(help="The account's id.")]
Form: TypeAlias = Annotated[
    Output, typer.Option("--output", help="How to write it; csv and jsonl are the rows alone.")
]

From: TypeAlias = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], help="From this date on, in the account's zone."),
]
To: TypeAlias = Annotated[
    datetime | None,
    typer.Option("--to", formats=["%Y-%m-%d"], help="Before this date, in the account's zone."),
]

app = typer.Typer()


@app.command()
def balance(account: Account, *, output: Form = Output.table) -> None:
    """Say what an account has of each unit, and what of the grants that are valid now."""
    _answer(output, lambda session: holdings.balance(session, account))


@app.command()
def grants(
    account: Account,
    *,
    removed: Annotated[
        bool, typer.Option("--removed", help="Also those of which all was removed.")
    ] = False,
    output: Form = Output.table,
) -> None:
    """List an account's grants: what they are for, who gave them, what is left of them."""
    _answer(output, lambda session: holdings.grants(session, account, removed=removed))


@app.command()
def log(  # noqa: PLR0913 - its options
    account: Account,
    *,
    from_date: From = None,
    to_date: To = None,
    unit: Annotated[str | None, typer.Option(help="Only of this unit.")] = None,
    grant: Annotated[str | None, typer.Option(help="Only of this grant.")] = None,
    output: Form = Output.table,
) -> None:
    """List every entry of an account, what remained after it, and who or what caused it."""
    selection = Selection(_date(from_date), _date(to_date), unit, grant)
    _answer(output, lambda session: ask_log(session, account, selection))


@app.command()
def statement(
    account: Account,
    period: Annotated[
        datetime | None,
        typer.Argument(formats=["%Y-%m-%d"], help="Its first day; the last one closed if none."),
    ] = None,
    *,
    output: Form = Output.table,
) -> None:
    """Show the statement of a billing period that was closed."""
    _answer(output, lambda session: ask_statement(session, account, _date(period)))


@app.command()
def explain(
    account: Account,
    booking: Annotated[str, typer.Argument(help="The booking's id.")],
    line: Annotated[int | None, typer.Argument(help="Only this line of it.")] = None,
    *,
    output: Form = Output.table,
) -> None:
    """Say why a booking is paid as it is, down to the events that were told."""
    _answer(output, lambda session: explain_booking(session, account, booking, line))


@app.command()
def quote(
    account: Account,
    file: Annotated[Path, typer.Argument(help="The event: a CloudEvent in structured mode.")],
    *,
    output: Form = Output.table,
) -> None:
    """Say what an event would change that has not happened, such as a booking's being made."""
    try:
        event = file.read_bytes()
    except OSError as failure:
        _refuse(str(failure))
    _answer(output, lambda session: ask_quote(session, account, event))


@app.command()
def export(  # noqa: PLR0913 - its options
    account: Annotated[str | None, typer.Argument(help="The account's id.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All accounts.")] = False,
    from_date: From = None,
    to_date: To = None,
    location: Annotated[str | None, typer.Option(help="Only at this location.")] = None,
    output: Form = Output.table,
) -> None:
    """List reservation lines: what credits and cash pay for each, and the totals of each period."""
    if (account is None) != every:
        _refuse("name an account, or say --all")
    wanted = Wanted(account, _date(from_date), _date(to_date), location)
    _answer(output, lambda session: ask_export(session, wanted))


def _date(chosen: datetime | None) -> date | None:
    return None if chosen is None else chosen.date()


def _refuse(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(ExitCode.USAGE) from None


def _answer(output: Output, ask: Callable[[Session], Awaitable[Written]]) -> None:
    """Write the answer to a question, or say what is in the way and stop."""
    configure_logs("auto", logging.ERROR)
    try:
        settings = read_settings()
        book = load_policies(settings.policies)
        text = asyncio.run(_look(settings, book, output, ask))
    except (SettingsFault, PolicyFileError, NotFound, NotQuotable) as fault:
        _refuse(str(fault))
    except DATABASE_FAULTS as failure:
        typer.echo(f"no answer: {type(failure).__name__} {failure}", err=True)
        raise typer.Exit(ExitCode.UNAVAILABLE) from None
    typer.echo(text, nl=False)


async def _look(
    settings: Settings,
    book: PolicyBook,
    output: Output,
    ask: Callable[[Session], Awaitable[Written]],
) -> str:
    topics = settings.input_topic_names
    async with looking(settings.postgres_dsn.get_secret_value()) as connection:
        answer = await ask(Session(connection, book, topics, datetime.now(UTC)))
    return answer.text(output)
