"""The image: what is in it, what is not, and as whom it runs."""

import hashlib
import json
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from containers.engine import ROOT, docker, run, running

pytestmark = [pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def config(image: str) -> dict[str, Any]:
    return dict(json.loads(docker("image", "inspect", image))[0]["Config"])


def test_it_runs_as_nobody_in_particular(image: str, config: dict[str, Any]) -> None:
    """The user is a number, as restricted clusters ask, and cannot write to its own code."""
    assert "10001:10001" == config["User"]
    script = "import os; print(os.getuid(), os.access(os.__file__, os.W_OK))"
    assert "10001 False\n" == _python(image, script).stdout


def test_it_starts_without_a_shell(config: dict[str, Any]) -> None:
    """Signals reach the program itself, and so does the question whether it is well."""
    assert (["booking-credits"], ["serve"]) == (config["Entrypoint"], config["Cmd"])
    assert "CMD" == config["Healthcheck"]["Test"][0]


def test_it_says_what_it_is(config: dict[str, Any]) -> None:
    """Registries show title, version, revision and licence."""
    names = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert set() == {"title", "description", "version", "revision", "licenses"} - names


def test_nothing_in_it_builds_or_installs(image: str) -> None:
    """There is no compiler, and no pip, neither as a command nor as a module."""
    script = (
        "import shutil, importlib.util as u;"
        "print([c for c in ('gcc', 'cc', 'make', 'pip', 'uv') if shutil.which(c)],"
        " [m for m in ('pip', 'setuptools', 'hatchling') if u.find_spec(m)])"
    )
    assert "[] []\n" == _python(image, script).stdout


def test_it_is_small(image: str) -> None:
    """It adds to its base what the service needs, and no more than deploy/README.md says."""
    [base, ours] = [
        json.loads(docker("image", "inspect", name))[0]["Size"]
        for name in ("python:3.13-slim", image)
    ]
    assert ours - base < 90_000_000


def test_its_code_is_the_code_of_the_wheels(image: str, tmp_path: Path) -> None:
    """What is released to a package index and what runs here are the same bytes."""
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*wheel, "-w", tmp_path, ROOT, ROOT / "contracts"], check=True, timeout=120)
    released = {
        name: hashlib.sha256(archive.read(name)).hexdigest()
        for file in tmp_path.glob("*.whl")
        for archive in [zipfile.ZipFile(file)]
        for name in archive.namelist()
        if ".dist-info/" not in name
    }
    assert len(released) > 100
    assert released == _contained(image, tmp_path / "image.tar")


def test_it_needs_no_right_and_no_place_to_write(image: str) -> None:
    """A command runs with a read-only root, no capability and no network."""
    said = run(image, "config", "check")
    assert (0, "The settings can be used.\n") == (said.returncode, said.stdout), said.stderr


def test_it_can_trace(image: str) -> None:
    """What tells traces is in it, for whoever names a collector."""
    endpoint = "--env=BOOKING_CREDITS_TRACES_ENDPOINT=http://collector:4318/v1/traces"
    said = run(image, "config", "check", options=(endpoint,))
    assert (0, "The settings can be used.\n") == (said.returncode, said.stdout), said.stderr


def test_a_command_ends_when_it_is_asked_to(image: str) -> None:
    """As process 1, too, a command that waits for a server ends by SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        dsn = f"postgresql://127.0.0.1:{server.getsockname()[1]}/ledger"
        environment = {"BOOKING_CREDITS_POSTGRES_DSN": dsn}
        with running(image, "verify", environment=environment) as container:
            connection, _ = server.accept()
            began_at = time.monotonic()
            docker("stop", "--time=30", container)
            seconds = time.monotonic() - began_at
            code = docker("inspect", "--format={{.State.ExitCode}}", container)
            connection.close()
    assert "143" == code
    assert seconds < 10


def _python(image: str, script: str) -> subprocess.CompletedProcess[str]:
    return run(image, "-c", script, options=("--entrypoint=python",))


def _contained(image: str, tar: Path) -> dict[str, str]:
    """Return the digest of each file of our two packages in the image."""
    container = docker("create", image)
    try:
        with tar.open("wb") as file:
            source = f"{container}:/opt/booking-credits/lib"
            subprocess.run(["docker", "cp", source, "-"], stdout=file, check=True, timeout=120)
    finally:
        docker("rm", container)
    with tarfile.open(tar) as archive:
        return {
            member.name.partition("/site-packages/")[2]: _digest(archive, member)
            for member in archive
            if member.isfile()
            and "/site-packages/booking_credits" in member.name
            and ".dist-info/" not in member.name
            and not member.name.endswith(".pyc")
        }


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    content = archive.extractfile(member)
    assert content is not None
    return hashlib.sha256(content.read()).hexdigest()
