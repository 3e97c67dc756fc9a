"""Postgres: one given by its address, or a server started here on a free loopback port."""

import os
import pwd
import secrets
import shutil
import signal
from typing import Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from local.postgres_files import copy_package, find_programs, is_packaged
from local.supervision import Supervised, UnavailableError, free_port

StopMode = Literal["smart", "fast", "immediate"]

_START_TIMEOUT_SECONDS = 60
_STOP_SIGNALS: dict[StopMode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
# As deploy/README.md advises: the defaults are those of a server that is one among many.
_DURABLE = ("shared_buffers=1GB", "max_wal_size=4GB")
# Without fsync a commit still reaches the operating system: it survives the server's crash, only
# not the machine's.
_UNDURABLE = ("fsync=off", "full_page_writes=off")


def server_options(*, durable: bool) -> list[str]:
    """Return what a server is started with, wherever: options of the program postgres."""
    settings = ("max_connections=200", *(_DURABLE if durable else _UNDURABLE))
    return [f"--{setting}" for setting in settings]


class Postgres:
    """A Postgres that someone else runs: it can be used, but not stopped.

    Attributes:
        dsn: the address of the database postgres, as a user who may create databases.
        description: what it is, for a person to read.
        controllable: whether it can be stopped and started again.
    """

    controllable = False

    def __init__(self, dsn: str, description: str) -> None:
        self.dsn = dsn
        self.description = description

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def dsn_for(self, database: str) -> str:
        """Return the address of another database of the same server."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{quote(database, safe='')}"))

    def start(self) -> None:
        """Start it again on the same port and data, and wait until it serves."""
        raise NotImplementedError(self.description)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop it; "immediate" is as a crash, after which the next start recovers."""
        raise NotImplementedError(mode)

    def close(self) -> None:
        """Give it up, with its data where it was started here."""


class LocalPostgres(Postgres):
    """A Postgres server as a process of this machine.

    Attributes:
        directory: its data and its log, gone when it is closed.
    """

    controllable = True

    def __init__(self, *, durable: bool) -> None:
        """Start it and wait until it serves; UnavailableError says why it cannot be had.

        Args:
            durable: whether a commit waits until the disk has it.
        """
        programs = find_programs()
        self._port = free_port()
        self._options = server_options(durable=durable)
        password = secrets.token_hex(16)
        super().__init__(
            f"postgresql://postgres:{password}@127.0.0.1:{self._port}/postgres",
            "Postgres, started here",
        )
        self._process = Supervised("postgres", user=_owner(), last_signal=signal.SIGQUIT)
        self.directory = self._process.directory
        self._data = self.directory / "data"
        try:
            self._programs = programs
            if self._process.user is not None and is_packaged(programs):
                # Our environment may lie where the server's user has no way in.
                self._programs = copy_package(programs, self.directory)
            self._format(password)
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
        }
        settings = [f"--{name}={setting}" for name, setting in options.items()]
        where = ("-D", self._data, "-p", str(self._port))
        self._process.start(self._programs / "postgres", *where, *settings, *self._options)
        self._process.wait_until(self._serves, timeout_seconds=_START_TIMEOUT_SECONDS)

    def stop(self, mode: StopMode = "fast") -> None:
        self._process.end(_STOP_SIGNALS[mode])

    def close(self) -> None:
        self._process.end(signal.SIGQUIT)
        self._process.close()

    def _format(self, password: str) -> None:
        password_file = self.directory / "password"
        password_file.write_text(password)
        if self._process.user is not None:
            shutil.chown(password_file, self._process.user)
        self._process.run(
            self._programs / "initdb",
            "--username=postgres",
            "--auth=password",
            f"--pwfile={password_file}",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            f"--pgdata={self._data}",
            timeout_seconds=_START_TIMEOUT_SECONDS,
        )

    def _serves(self) -> bool:
        # The server writes its pid on the first line and its state on the last.
        try:
            lines = (self._data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self._process.pid)] and lines[-1] == "ready"


def _owner() -> str | None:
    """Return whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name for account in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise UnavailableError("Postgres refuses to run as root, and there is no user nobody")
