"""Cutter: a way to Postgres on which answers to COMMIT get lost, and the connection with them."""

import asyncio
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_COMMIT = b"COMMIT;\x00"
_READ_BYTES = 64 * 1024
# What looks whether anything is due commits too; what posts a batch says more.
_BATCH_BYTES = 10_000


class Cutter:
    """Listens on loopback and passes everything on, but for the answers that it is to lose.

    Attributes:
        cut: how many batches were committed without the worker learning of it.
    """

    def __init__(self, dsn: str, cuts: int) -> None:
        self.cut = 0
        self._cuts = cuts
        self._target = urlsplit(dsn)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def dsn(self) -> str:
        """The address of the database by this way."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user = f"{self._target.username}:{self._target.password}"
        return urlunsplit(self._target._replace(netloc=f"{user}@127.0.0.1:{port}"))

    async def _serve(self, asks: asyncio.StreamReader, hears: asyncio.StreamWriter) -> None:
        answers, told = await asyncio.open_connection(self._target.hostname, self._target.port)
        is_cut = asyncio.Event()
        ways = (self._ask(asks, told, is_cut), self._answer(answers, hears, is_cut))
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in (hears, told):
                writer.close()

    async def _ask(
        self, asks: asyncio.StreamReader, told: asyncio.StreamWriter, is_cut: asyncio.Event
    ) -> None:
        """Pass on what the worker says; from here on the answer to a batch's COMMIT is cut off."""
        said_bytes = 0
        while said := await asks.read(_READ_BYTES):
            said_bytes += len(said)
            if said.endswith(_COMMIT):
                if said_bytes > _BATCH_BYTES and self.cut < self._cuts:
                    self.cut += 1
                    is_cut.set()
                said_bytes = 0
            told.write(said)
            await told.drain()

    async def _answer(
        self, answers: asyncio.StreamReader, hears: asyncio.StreamWriter, is_cut: asyncio.Event
    ) -> None:
        """Pass on what Postgres says; the answer that is to be lost ends the connection."""
        with suppress(ConnectionError):
            while said := await answers.read(_READ_BYTES):
                if is_cut.is_set():
                    return
                hears.write(said)
                await hears.drain()
