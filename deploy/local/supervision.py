"""Server processes that never outlive the process that asked for them, not even its SIGKILL."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Reads the pid of each process that is started, and an empty line when there is none. Its input
# ends when this Python process does, however it does: then whatever still runs is ended, and the
# directory goes. It lives in a session of its own, so a signal to our process group misses it.
_WATCH = """
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ] && kill -s "$2" "$pid" 2>/dev/null; then
    kill -s CONT "$pid" 2>/dev/null
    tries=0
    while kill -0 "$pid" 2>/dev/null && [ $tries -lt 50 ]; do tries=$((tries + 1)); sleep 0.1; done
    kill -s KILL "$pid" 2>/dev/null
fi
rm -rf -- "$1"
"""
_LOG_TAIL_BYTES = 2000


class UnavailableError(Exception):
    """A server could not be had; the message says why, for a person to read."""


class Supervised:
    """One process at a time, in a temporary directory; both go when this Python process does."""

    def __init__(
        self, name: str, *, user: str | None = None, last_signal: signal.Signals = signal.SIGKILL
    ) -> None:
        """Make the directory, owned by the user.

        Args:
            name: part of the directory's name and of messages.
            user: whom the processes run as, where this process may choose; None is itself.
            last_signal: what a process still running is sent when this Python process is gone.
        """
        self.name = name
        self.user = user
        self.directory = Path(tempfile.mkdtemp(prefix=f"booking-credits-{name}-"))
        if user is not None:
            shutil.chown(self.directory, user)
        self._process: subprocess.Popen[bytes] | None = None
        self._watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "watch", str(self.directory), last_signal.name[3:]],
            env={"PATH": os.defpath},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"  # noqa: S101
        return self._process.pid

    def run(self, *command: str | Path, timeout_seconds: float) -> None:
        """Run a command to its end; UnavailableError if it fails or takes too long."""
        self.start(*command)
        status = self.wait(timeout_seconds)
        if status != 0:
            self.end(signal.SIGKILL)
            said = "took too long" if status is None else f"failed with {status}"
            raise UnavailableError(f"{self.name}: {Path(command[0]).name} {said}: {self.log()}")

    def start(self, *command: str | Path, log: bool = True) -> None:
        """Start a process; what it prints goes to the log, or else where ours does."""
        account = None if self.user is None else pwd.getpwnam(self.user)
        with (self.directory / "log").open("ab") as file:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory if log else None,
                stdin=subprocess.DEVNULL,
                stdout=file if log else None,
                stderr=file if log else None,
                start_new_session=True,
                user=account and account.pw_uid,
                group=account and account.pw_gid,
                extra_groups=account and [],
            )
        self._tell_watch(str(self._process.pid))

    def wait_until(self, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Wait until the process is ready; UnavailableError if it ends first or takes too long."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if not self.running or time.monotonic() > deadline:
                self.end(signal.SIGKILL)
                raise UnavailableError(f"{self.name} did not start: {self.log()}")
            time.sleep(0.02)

    def wait(self, timeout_seconds: float | None) -> int | None:
        """Return the exit status of the process; None if the timeout finds it still running."""
        assert self._process is not None, f"{self.name} was not started"  # noqa: S101
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def is_stopped(self) -> bool:
        """Say whether the process has just been stopped by SIGSTOP; true once for each time."""
        return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG) is not None

    def end(self, number: signal.Signals, *, timeout_seconds: float = 30) -> None:
        """Send a signal and wait for the end, which SIGKILL brings about after the timeout."""
        if self._process is None:
            return
        self.send(number)
        if self.wait(timeout_seconds) is None:
            self.send(signal.SIGKILL)
            self.wait(timeout_seconds)
        self._tell_watch("")

    def log(self) -> str:
        """Return the end of what the processes printed."""
        path = self.directory / "log"
        printed = path.read_bytes() if path.exists() else b""
        return printed[-_LOG_TAIL_BYTES:].decode(errors="replace").strip() or "(it printed nothing)"

    def close(self) -> None:
        """End the process if it still runs, and remove the directory."""
        assert self._watch.stdin is not None  # noqa: S101
        self.end(signal.SIGKILL)
        self._watch.stdin.close()
        self._watch.wait()

    def _tell_watch(self, pid: str) -> None:
        assert self._watch.stdin is not None  # noqa: S101
        self._watch.stdin.write(f"{pid}\n".encode())
        self._watch.stdin.flush()


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
