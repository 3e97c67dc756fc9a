"""The commands `booking-credits dead-letters`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar
from uuid import UUID

import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from booking_credits.dead_letters.display import letter_text, letters_text
from booking_credits.dead_letters.resolution import (
    NotResolvable,
    Signature,
    discard,
    replay,
    replaying,
    resolvable,
)
from booking_credits.exit_codes import ExitCode
from booking_credits.kafka_access import client_options
from booking_credits.output import Output
from booking_credits.postgres.faults import DATABASE_FAULTS
from booking_credits.postgres.letters import (
    Filters,
    actions_of_letter,
    find_letters,
    letters_by_id,
    record_of_letter,
)
from booking_credits.postgres.pool import open_pool
from booking_credits.settings import Settings, SettingsFault, read_settings
from booking_credits.telemetry import configure_logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from booking_credits.postgres.letters import Letter
    from booking_credits.postgres.pool import Connection

Result = TypeVar("Result")
StateOrAll: TypeAlias = Literal["open", "replayed", "discarded", "all"]

# More than any record that a broker took.
_RECORD_BYTES = 64 * 1024 * 1024

Ids: TypeAlias = Annotated[list[UUID], typer.Argument(help="Ids, as list says them.")]
Actor: TypeAlias = Annotated[str, typer.Option(help="Who does this; it is kept.")]
Why: TypeAlias = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
DryRun: TypeAlias = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Form: TypeAlias = Annotated[Output, typer.Option("--output", help="How to write it.")]

app = typer.Typer(help="Look after what could not be posted.", no_args_is_help=True)


@app.command("list")
def list_letters(  # noqa: PLR0913 - its options
    *,
    reason: Annotated[str | None, typer.Option(help="Only of this reason.")] = None,
    account: Annotated[str | None, typer.Option(help="Only of this account.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only from this topic.")] = None,
    state: Annotated[StateOrAll, typer.Option(help="Only in this state.")] = "open",
    limit: Annotated[int, typer.Option(min=1, help="How many at most, the oldest first.")] = 100,
    output: Form = Output.table,
) -> None:
    """List dead letters, those that nobody has acted on unless told otherwise."""
    filters = Filters(None if state == "all" else state, reason, account, topic)

    async def find(connection: Connection) -> list[Letter]:
        return await find_letters(connection, filters, limit)

    letters = _ask(find)
    typer.echo(letters_text(letters, output), nl=False)
    _say(f"{len(letters)} letters")


@app.command()
def show(
    letter_id: Annotated[UUID, typer.Argument(help="Its id, as list says it.", metavar="ID")],
    *,
    output: Form = Output.table,
) -> None:
    """Show one letter with the record that it holds, and what was done about it."""

    async def read(connection: Connection) -> str:
        letters = await letters_by_id(connection, [letter_id])
        if not letters:
            raise NotResolvable(f"no such letter: {letter_id}")
        record = await record_of_letter(connection, letter_id)
        done = await actions_of_letter(connection, letter_id)
        return letter_text(letters[0], record, done, output)

    typer.echo(_ask(read), nl=False)


@app.command("replay")
def replay_letters(  # noqa: PLR0913 - its options
    ids: Ids,
    *,
    actor: Actor,
    reason: Why,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was replayed or discarded before.")
    ] = False,
    dry_run: DryRun = False,
    output: Form = Output.table,
) -> None:
    """Publish records again, as they came, to where they came from."""
    signature = _signed(actor, reason)

    async def act(connection: Connection) -> list[Letter]:
        letters = await resolvable(connection, ids, "replayed", again=again)
        if not dry_run:
            async with replaying(_producer(_settings())) as publish:
                for letter in letters:
                    await replay(connection, publish, letter.dead_letter_id, signature, again=again)
        return await letters_by_id(connection, ids)

    letters = _ask(act)
    typer.echo(letters_text(letters, output), nl=False)
    _say(f"{len(letters)} letters {'would be ' if dry_run else ''}replayed")


@app.command("discard")
def discard_letters(
    ids: Ids, *, actor: Actor, reason: Why, dry_run: DryRun = False, output: Form = Output.table
) -> None:
    """Say that nothing is to be made of letters; they are kept."""
    signature = _signed(actor, reason)

    async def act(connection: Connection) -> list[Letter]:
        letters = await resolvable(connection, ids, "discarded")
        if not dry_run:
            async with connection.transaction():
                for letter in letters:
                    await discard(connection, letter.dead_letter_id, signature)
        return await letters_by_id(connection, ids)

    letters = _ask(act)
    typer.echo(letters_text(letters, output), nl=False)
    _say(f"{len(letters)} letters {'would be ' if dry_run else ''}discarded")


def _signed(actor: str, reason: str) -> Signature:
    if not actor.strip() or not reason.strip():
        _say("--actor and --reason say who and why, in words")
        raise typer.Exit(ExitCode.USAGE)
    return Signature(actor.strip(), reason.strip())


def _ask(work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Do something with the database, or say what is in the way and stop."""
    configure_logs("auto", logging.ERROR)
    settings = _settings()
    try:
        return asyncio.run(_with_connection(settings, work))
    except NotResolvable as reason:
        _say(str(reason))
        raise typer.Exit(ExitCode.USAGE) from None
    except (*DATABASE_FAULTS, KafkaError) as failure:
        _say(f"no answer: {type(failure).__name__} {failure}")
        raise typer.Exit(ExitCode.UNAVAILABLE) from None


async def _with_connection(
    settings: Settings, work: Callable[[Connection], Awaitable[Result]]
) -> Result:
    dsn = settings.postgres_dsn.get_secret_value()
    pool = await open_pool(dsn, application_name="booking-credits dead-letters", max_size=1)
    try:
        async with pool.acquire() as connection:
            return await work(connection)
    finally:
        pool.terminate()


def _producer(settings: Settings) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **client_options(settings),
        acks="all",
        enable_idempotence=True,
        max_request_size=_RECORD_BYTES,
    )


def _settings() -> Settings:
    try:
        return read_settings()
    except SettingsFault as fault:
        _say(str(fault))
        raise typer.Exit(ExitCode.USAGE) from None


def _say(text: str) -> None:
    typer.echo(text, err=True)
