import os
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import local

pytestmark = pytest.mark.slow

_DEPLOY = Path(local.__file__).parents[1]
_ENDS_AT_INTERRUPT = """
if sys.argv[1] == "migrate":
    sys.exit(0)
signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
print("ready", *sys.argv[1:], flush=True)
signal.pause()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A machine whose servers are given, and whose Python has a booking-credits beside it."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(_DEPLOY), *sys.path]),
        "BOOKING_CREDITS_TEST_KAFKA": "127.0.0.1:9092",
        "BOOKING_CREDITS_TEST_POSTGRES": "postgresql://me@127.0.0.1/postgres",
    }


def test_status_of_a_failed_migration_is_passed_on(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """A migration that fails ends the run with its own status."""
    _install_service(tmp_path, "sys.exit(5)")
    ended = subprocess.run(
        [tmp_path / "python", "-m", "local", "run"], env=environment, check=False
    )
    assert 5 == ended.returncode


def test_interrupt_is_passed_on_and_so_is_the_status(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Ctrl-C lets the service end by itself, in good order, and its status is the run's."""
    _install_service(tmp_path, _ENDS_AT_INTERRUPT)
    command = [str(tmp_path / "python"), "-m", "local", "run", "--once"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert "ready demo --once\n" == run.stdout.readline()
        run.send_signal(signal.SIGINT)
        assert 7 == run.wait()


def test_where_the_first_of_two_runs_is_is_said_to_its_user_alone(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """The second leaves the file to the first, which takes it away when it ends."""
    _install_service(tmp_path, _ENDS_AT_INTERRUPT)
    announced = tmp_path / ".run" / "environment"
    announced.parent.mkdir()
    announced.write_text("left by a run that was killed")
    command = [str(tmp_path / "python"), "-m", "local", "run"]
    with ExitStack() as started:
        runs = []
        for place in ("first", "second"):
            told = environment | {"BOOKING_CREDITS_TEST_POSTGRES": f"postgresql://me@{place}/db"}
            run = started.enter_context(
                subprocess.Popen(command, cwd=tmp_path, env=told, stdout=subprocess.PIPE, text=True)
            )
            assert run.stdout is not None
            assert "ready demo\n" == run.stdout.readline()
            runs.append(run)
            assert "me@first/db" in announced.read_text()
        assert "-rw-------" == stat.filemode(announced.stat().st_mode)
        for run, stays in zip(reversed(runs), (True, False), strict=True):
            run.send_signal(signal.SIGINT)
            assert 7 == run.wait()
            assert stays == announced.exists()


def test_servers_say_where_they_are(tmp_path: Path, environment: dict[str, str]) -> None:
    """What is printed can be pasted into a shell."""
    command = [str(tmp_path / "python"), "-m", "local", "servers"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as servers:
        assert servers.stdout is not None
        said = [servers.stdout.readline() for _ in range(2)]
        servers.send_signal(signal.SIGINT)
        assert 130 == servers.wait()
    assert [
        "export BOOKING_CREDITS_KAFKA_BOOTSTRAP=127.0.0.1:9092\n",
        "export BOOKING_CREDITS_POSTGRES_DSN=postgresql://me@127.0.0.1/postgres\n",
    ] == said


@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_missing_server_is_loud_and_fails_ci(
    ci: str, status: int, processes: str, environment: dict[str, str]
) -> None:
    """Tests that had no real Kafka are named at the end, and CI does not pass without them."""
    test = Path(__file__).with_name("test_servers.py")
    pytest_here = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    del environment["BOOKING_CREDITS_TEST_KAFKA"]
    ended = subprocess.run(
        [*pytest_here, test, "-k", "frozen_kafka", "--numprocesses", processes],
        env=environment
        | {"CI": ci, "PATH": "", "JAVA_HOME": "", "DOCKER_HOST": "unix:///no/such/engine"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert status == ended.returncode
    assert "NOT TESTED on a real server: Apache Kafka needs Java" in ended.stdout


def _install_service(folder: Path, program: str) -> None:
    script = folder / "booking-credits"
    script.write_text(f"#!{sys.executable}\nimport signal, sys\n{program}")
    script.chmod(0o755)
