"""Trial: one measurement's own database and topics, on the servers that all of a run share."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg

from bench.preload import PARTITIONS, create_topic
from booking_credits.ledger.announcements import KINDS
from local.kafka import Kafka
from local.postgres import Postgres

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_PROGRAMS: Final = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Servers:
    """A Kafka and a durable Postgres."""

    kafka: Kafka
    postgres: Postgres

    async def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, empty or as a copy, and return its DSN."""
        like = "" if template is None else f" template {template}"
        await self._execute(f"create database {name}{like}")
        return self.postgres.dsn_for(name)

    async def drop_database(self, name: str) -> None:
        await self._execute(f"drop database if exists {name} with (force)")

    async def settle(self) -> None:
        """Let the server finish what it put off, so that no measurement pays for another."""
        await self._execute("checkpoint")

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class Trial:
    """Where one measurement takes place."""

    name: str
    bootstrap: str
    dsn: str

    @property
    def input_topic(self) -> str:
        return f"{self.name}-bookings"

    @property
    def output_topics(self) -> dict[str, str]:
        return {kind: f"{self.name}-{kind}" for kind in KINDS}

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells the service to work here."""
        settings = {
            "kafka_bootstrap": self.bootstrap,
            "postgres_dsn": self.dsn,
            "group_id": self.name,
            "input_topics": self.input_topic,
            "health_port": "0",  # There is one port, and more than one worker.
            "log_format": "json",
        }
        for kind, topic in self.output_topics.items():
            settings[f"topic_{kind.replace('-', '_')}"] = topic
        return {f"BOOKING_CREDITS_{name.upper()}": text for name, text in settings.items()}

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return how to run a program of our environment here."""
        words = [f"{name}={text}" for name, text in self.environment.items()]
        paths = f"PYTHONPATH={os.pathsep.join(path for path in sys.path if path)}"
        return ["env", paths, *words, str(_PROGRAMS / program), *arguments]


@asynccontextmanager
async def open_trial(servers: Servers, name: str, template: str) -> AsyncIterator[Trial]:
    """Copy a database and create topics; the database is gone in the end."""
    database = name.replace("-", "_")
    trial = Trial(
        name, servers.kafka.bootstrap_servers, await servers.create_database(database, template)
    )
    try:
        for topic in (trial.input_topic, *trial.output_topics.values()):
            await create_topic(trial.bootstrap, topic, PARTITIONS)
        await servers.settle()
        yield trial
    finally:
        await servers.drop_database(database)


@asynccontextmanager
async def connect(dsn: str) -> AsyncIterator[Connection]:
    """Open a session in UTC."""
    connection: Connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    try:
        yield connection
    finally:
        await connection.close()


async def fetch_number(dsn: str, query: str, *arguments: Any) -> int:
    """Ask a database for one number."""
    async with connect(dsn) as connection:
        return int(await connection.fetchval(query, *arguments))
