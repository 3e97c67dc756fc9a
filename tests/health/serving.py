"""Serving: workers as their users run them, and what their health port says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from local.supervision import free_port

COMMAND = Path(sys.executable).with_name("booking-credits")
_HARMED = Path(__file__).with_name("harmed.py")


class Worker:
    """A worker of its own process."""

    def __init__(
        self, harm: str | None, log: Path, settings: dict[str, str], arguments: Sequence[str]
    ) -> None:
        self.port = int(settings["health_port"])
        self._log = log
        variables = {f"BOOKING_CREDITS_{name.upper()}": text for name, text in settings.items()}
        command = [COMMAND] if harm is None else [sys.executable, _HARMED]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*command, *arguments],
                env={**os.environ, **variables, "HARM": harm or ""},
                stdout=file,
                stderr=file,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body; 0 where nobody answers."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, ConnectionError):
            return 0, ""

    def failing(self, path: str) -> list[str]:
        """Return what a probe says is failing."""
        return list(json.loads(self.get(path)[1] or '{"failing": ["no answer"]}')["failing"])

    def metric(self, sample: str) -> float | None:
        """Return the value of a sample, written as it is scraped."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"booking_credits_{sample} "):
                return float(line.rpartition(" ")[2])
        return None

    def wait_until_ready(self, timeout_seconds: float = 40) -> None:
        deadline = time.monotonic() + timeout_seconds
        while self.get("/health/ready")[0] != 200:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> int:
        """Return the exit code."""
        return self._process.wait(timeout_seconds)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def serving(
    directory: Path,
    *,
    harm: str | None = None,
    command: Sequence[str] = ("serve",),
    **settings: str,
) -> Iterator[Worker]:
    """Run a worker for the length of a block, in a group and on a port of its own."""
    port = settings.pop("health_port", None) or str(free_port())
    worker = Worker(
        harm, directory / "log", {"log_format": "json", "health_port": port, **settings}, command
    )
    try:
        yield worker
    finally:
        worker.kill()
