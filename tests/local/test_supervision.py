import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.supervision import Supervised, UnavailableError

pytestmark = pytest.mark.slow

_DEADLINE_SECONDS = 15
_PROGRAM = """
import sys, time
from local.supervision import Supervised
server = Supervised("doomed")
server.start("/bin/sleep", "600")
sys.stdout.write(f"{server.pid} {server.directory}\\n")
sys.stdout.flush()
time.sleep(600)
"""


@pytest.fixture
def server() -> Iterator[Supervised]:
    supervised = Supervised("test")
    yield supervised
    supervised.close()


@pytest.mark.parametrize("state", ["running", "frozen"])
def test_killed_program_leaves_nothing_behind(state: str) -> None:
    """A program that dies by SIGKILL takes its server and the server's directory with it."""
    with _program() as program:
        assert program.stdout is not None
        said = program.stdout.readline().split()
        pid, directory = int(said[0]), Path(said[1])
        if state == "frozen":
            os.kill(pid, signal.SIGSTOP)
        assert _runs(pid)
        program.kill()
        program.wait()
        _wait_for(lambda: not _runs(pid) and not directory.exists())


def test_server_has_a_process_group_of_its_own(server: Supervised) -> None:
    """Ctrl-C reaches the program alone: it decides in which order its servers stop."""
    server.start("/bin/sleep", "600")
    assert os.getpgid(server.pid) == server.pid


def test_close_leaves_nothing_behind() -> None:
    """An ordinary end removes the process and its directory."""
    server = Supervised("test")
    server.start("/bin/sleep", "600")
    server.close()
    assert not _runs(server.pid)
    assert not server.directory.exists()


def test_failed_start_says_what_the_process_printed(server: Supervised) -> None:
    """Someone whose server does not start learns why from the message."""
    server.start("/bin/sh", "-c", "echo the port is taken; exit 3")
    with pytest.raises(UnavailableError, match="the port is taken"):
        server.wait_until(lambda: False, timeout_seconds=_DEADLINE_SECONDS)


def test_start_that_takes_too_long_is_ended(server: Supervised) -> None:
    """A server that never becomes ready is an error, not a hang."""
    server.start("/bin/sleep", "600")
    with pytest.raises(UnavailableError, match="did not start"):
        server.wait_until(lambda: False, timeout_seconds=0.05)
    assert not server.running


def test_command_that_takes_too_long_is_ended(server: Supervised) -> None:
    """A preparation that hangs is an error, not a hang."""
    with pytest.raises(UnavailableError, match="took too long"):
        server.run("/bin/sleep", "600", timeout_seconds=0.05)
    assert not server.running


@contextmanager
def _program() -> Iterator[subprocess.Popen[str]]:
    """Run a program that has started a server and then says its pid and directory."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True, env=environment
    ) as program:
        yield program
        program.kill()


def _runs(pid: int) -> bool:
    # A dead process whose new parent has not noticed yet is a zombie: it still has its pid.
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.02)
