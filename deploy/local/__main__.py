"""Run the service, or only its servers, on this machine: python -m local run|servers."""

import argparse
import contextlib
import fcntl
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from local.servers import find_kafka, find_postgres
from local.supervision import Supervised, UnavailableError

_INTERRUPTED = 128 + signal.SIGINT
_RUNNING = Path(".run/environment")

_log = logging.getLogger("local")


def main() -> int:
    """Return the exit status: the service's own, 130 when interrupted, 1 without servers."""
    arguments = _parse()
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    _log.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _servers() as environment:
            if arguments.command == "servers":
                return _show(environment)
            os.environ.update(environment)
            with _announced(environment):
                return _run("migrate") or _run("demo", *(["--once"] if arguments.once else []))
    except UnavailableError as reason:
        _log.error("%s", reason)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start the servers, then the service's demonstration")
    run.add_argument("--once", action="store_true", help="end when the demonstration has played")
    commands.add_parser("servers", help="start the servers, say where they are, wait for Ctrl-C")
    return parser.parse_args()


@contextlib.contextmanager
def _servers() -> Iterator[dict[str, str]]:
    """Start both servers; the value is what tells the service where they are."""
    _log.info("Starting Kafka and Postgres ...")
    with ThreadPoolExecutor() as starts:
        kafka_start = starts.submit(find_kafka, allow_in_memory=True)
        postgres_start = starts.submit(find_postgres, durable=True)
    with kafka_start.result() as kafka, postgres_start.result() as postgres:
        _log.info("Kafka: %s.", kafka.description)
        _log.info("Postgres: %s.", postgres.description)
        yield {
            "BOOKING_CREDITS_KAFKA_BOOTSTRAP": kafka.bootstrap_servers,
            "BOOKING_CREDITS_POSTGRES_DSN": postgres.dsn,
        }


@contextlib.contextmanager
def _announced(environment: dict[str, str]) -> Iterator[None]:
    """Say in a file of the user's own where the servers are, for the commands of another terminal.

    Of two runs in one place the first is announced, for as long as it lasts.
    """
    _RUNNING.parent.mkdir(exist_ok=True)
    folder = os.open(_RUNNING.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        _log.warning("Another make run is at work here: make send goes to that one.")
        yield
        return
    # It may be there from a run that was killed, and not yet as private.
    _RUNNING.unlink(missing_ok=True)
    _RUNNING.touch(mode=0o600)
    _RUNNING.write_text(_exports(environment), encoding="utf-8")
    try:
        yield
    finally:
        _RUNNING.unlink(missing_ok=True)
        os.close(folder)


def _exports(environment: dict[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(text)}\n" for name, text in environment.items())


def _show(environment: dict[str, str]) -> int:
    sys.stdout.write(_exports(environment))
    sys.stdout.flush()
    _log.info("Both run until Ctrl-C.")
    signal.pause()
    return 0


def _run(*arguments: str) -> int:
    """Run a command of the service to its end, passing on Ctrl-C; return its exit status."""
    service = Supervised("service")

    def pass_on(number: int, _frame: FrameType | None) -> None:
        service.send(signal.Signals(number))

    service.start(Path(sys.executable).parent / "booking-credits", *arguments, log=False)
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = service.wait(None) or 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        service.close()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
