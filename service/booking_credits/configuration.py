"""The commands `booking-credits config`: what is set, and whether it can be used."""

from __future__ import annotations

from typing import NoReturn

import typer
from pydantic import SecretStr

from booking_credits.exit_codes import ExitCode
from booking_credits.kafka_access import client_options
from booking_credits.policy_file import PolicyFileError, load_policies
from booking_credits.settings import PREFIX, SettingsFault, read_settings, unknown_variables

_MASK = "********"

app = typer.Typer(help="Look at the settings.", no_args_is_help=True)


@app.command()
def show() -> None:
    """Write every setting as it holds here; secrets are masked."""
    try:
        settings = read_settings()
    except SettingsFault as fault:
        _refuse(str(fault))
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        text = _MASK if isinstance(value, SecretStr) else "" if value is None else str(value)
        typer.echo(f"{PREFIX}{name.upper()}={text}")


@app.command()
def check() -> None:
    """Say whether the settings can be used, without asking Kafka or Postgres; 2 if they cannot."""
    for name in unknown_variables():
        typer.echo(f"{name} is no setting", err=True)
    try:
        settings = read_settings()
        load_policies(settings.policies)
        client_options(settings)
    except (SettingsFault, PolicyFileError, OSError) as fault:
        _refuse(str(fault))
    typer.echo("The settings can be used.")


def _refuse(reason: str) -> NoReturn:
    typer.echo(reason, err=True)
    raise typer.Exit(ExitCode.USAGE) from None
