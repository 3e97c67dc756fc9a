"""Compose: one command to everything running, one to nothing left."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from containers.engine import ROOT, docker
from local.supervision import free_port

pytestmark = [pytest.mark.timeout(900)]

_PROJECT = f"booking-credits-test-{os.getpid()}"
_OPERATING = (ROOT / "deploy" / "README.md").read_text()
_SECTION = _OPERATING.partition("## In containers\n")[2].partition("\n## ")[0]
_KINDS = {
    "container": ("ps", "--all"),
    "volume": ("volume", "ls"),
    "network": ("network", "ls"),
}


@pytest.fixture(scope="module")
def project(image: str) -> dict[str, str]:
    """What keeps this project apart from another on this machine."""
    return {
        "COMPOSE_PROJECT_NAME": _PROJECT,
        "IMAGE": image,
        "KAFKA_PORT": str(free_port()),
        "PROMETHEUS_PORT": str(free_port()),
        "GRAFANA_PORT": str(free_port()),
    }


@pytest.fixture(scope="module")
def up(project: dict[str, str]) -> Iterator[float]:
    """Everything started as by make up; the value is how long that took, in seconds."""
    began_at = time.monotonic()
    started = _make("up", project)
    seconds = time.monotonic() - began_at
    try:
        assert 0 == started.returncode, started.stdout + started.stderr
        yield seconds
    finally:
        _make("down", project)


def test_everything_is_healthy_within_a_minute(up: float) -> None:
    """When make up ends, both workers are ready and the jobs are done."""
    states = {}
    for container in _left("container"):
        [said] = json.loads(docker("inspect", container))
        state, labels = said["State"], said["Config"]["Labels"]
        name = labels["com.docker.compose.service"]
        number = labels["com.docker.compose.container-number"]
        states[name, number] = state.get("Health", {}).get("Status") or state["ExitCode"]
    assert {
        ("kafka", "1"): "healthy",
        ("postgres", "1"): "healthy",
        ("topics", "1"): 0,
        ("migrate", "1"): 0,
        ("worker", "1"): "healthy",
        ("worker", "2"): "healthy",
    } == states
    assert up < 60


@pytest.mark.usefixtures("up")
def test_what_the_readme_looks_at_is_there(project: dict[str, str]) -> None:
    """Each command of deploy/README.md runs as it stands there, and says that all is well."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", _SECTION, re.MULTILINE | re.DOTALL)
    up, commands = blocks[0].split("\n"), blocks[1].splitlines()
    assert ["make up", ""] == up
    assert len(commands) > 3
    printed = ""
    for command in commands:
        said = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=os.environ | project,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert 0 == said.returncode, command + said.stdout + said.stderr
        printed += said.stdout + said.stderr
    promised = re.findall(r"^    (.+)$", _SECTION, re.MULTILINE)
    assert ["verify: 0 violations"] == promised[-1:]
    assert [] == [line for line in promised if line not in printed]


@pytest.mark.usefixtures("up")
def test_logs_are_followed(project: dict[str, str]) -> None:
    """What every container says is shown, from before on."""
    command = ["make", "--no-print-directory", "logs"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | project, stdout=subprocess.PIPE, text=True
    ) as logs:
        assert logs.stdout is not None
        started = next((line for line in logs.stdout if "service_started" in line), "")
        logs.send_signal(signal.SIGINT)
    assert "worker-" in started


@pytest.mark.usefixtures("up")
def test_the_day_ends_in_the_same_figures(project: dict[str, str], tmp_path: Path) -> None:
    """Through containers and on this machine the demonstration comes to the same."""
    contained = _make("demo", project)
    assert 0 == contained.returncode, contained.stdout + contained.stderr
    # The servers are its own: one that is given may hold what an earlier run left.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BOOKING_CREDITS_")}
    here = subprocess.run(
        [sys.executable, "-m", "local", "run", "--once"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT / "deploy")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert _figures(here.stdout) == _figures(contained.stdout)
    assert "0 violations" in _figures(here.stdout)[-1]


@pytest.mark.usefixtures("up", "monitoring")
def test_the_profile_observability_shows_both_workers(project: dict[str, str]) -> None:
    """Prometheus scrapes them, and Grafana has the dashboard and asks Prometheus for it."""
    started = _make("up", project | {"PROFILE": "observability"})
    assert 0 == started.returncode, started.stdout + started.stderr
    question = "api/v1/query?query=sum(booking_credits_ready)"
    grafana = f"http://127.0.0.1:{project['GRAFANA_PORT']}/api"
    addresses = (
        f"http://127.0.0.1:{project['PROMETHEUS_PORT']}/{question}",
        f"{grafana}/datasources/proxy/uid/prometheus/{question}",
    )
    for address in addresses:
        deadline = time.monotonic() + 60
        while [["2"]] != [series["value"][1:] for series in _get(address)["data"]["result"]]:
            assert time.monotonic() < deadline, address
            time.sleep(1)
    shown = _get(f"{grafana}/dashboards/uid/booking-credits")["dashboard"]
    assert "Booking credits" == shown["title"]


@pytest.mark.usefixtures("up")
def test_down_leaves_nothing(project: dict[str, str]) -> None:
    """No container, no volume and no network stays."""
    assert all(_left(kind) for kind in _KINDS)
    ended = _make("down", project)
    assert 0 == ended.returncode, ended.stderr
    assert {kind: [] for kind in _KINDS} == {kind: _left(kind) for kind in _KINDS}


def _make(target: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a target; what the project is told overrides what it would choose itself."""
    return subprocess.run(
        ["make", "--no-print-directory", target],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _get(address: str) -> Any:
    with urlopen(address, timeout=10) as answer:  # noqa: S310 - the address is ours
        return json.load(answer)


def _left(kind: str) -> list[str]:
    label = f"label=com.docker.compose.project={_PROJECT}"
    return docker(*_KINDS[kind], "--quiet", "--filter", label).split()


def _figures(said: str) -> list[str]:
    """Return what the demonstration sums up, from its table on."""
    return said.partition("What subscribers know now")[2].splitlines()[1:]
