"""Engine: Docker as a person uses it, by its command."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]

# As an orchestrator that trusts nobody starts it.
RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


class NoEngine(Exception):
    """No engine answers, or it cannot get an image; the message says which."""


def docker(*arguments: str, timeout_seconds: float = 60) -> str:
    """Return what a command prints; CalledProcessError has what it complains of."""
    said = _docker(*arguments, timeout_seconds=timeout_seconds, check=True)
    return (said.stdout or said.stderr).strip()


def run(
    image: str, *command: str, options: tuple[str, ...] = (), timeout_seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a command in a restricted container without a network, to its end."""
    apart = ("--rm", "--network=none", *RESTRICTED)
    return _docker("run", *apart, *options, image, *command, timeout_seconds=timeout_seconds)


@contextmanager
def running(image: str, *command: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Start a restricted container on this machine's network for a block; the value is its id."""
    variables = [f"--env={name}={text}" for name, text in environment.items()]
    container = docker("run", "-d", "--network=host", *RESTRICTED, *variables, image, *command)
    try:
        yield container
    finally:
        docker("rm", "--force", "--volumes", container)


def require_engine() -> None:
    """Return where an engine answers. Raises NoEngine."""
    if shutil.which("docker") is None:
        raise NoEngine("no docker command")
    answered = _docker("info", "--format={{.ServerVersion}}", timeout_seconds=15)
    if answered.returncode:
        raise NoEngine(f"no engine answers: {answered.stderr.strip().splitlines()[-1]}")


def require_image(name: str) -> None:
    """Return where the engine has an image or may pull it. Raises NoEngine."""
    if not _docker("image", "inspect", name, timeout_seconds=15).returncode:
        return
    pulled = _docker("pull", "--quiet", name, timeout_seconds=300)
    if pulled.returncode:
        raise NoEngine(f"{name} cannot be pulled: {pulled.stderr.strip().splitlines()[-1]}")


def _docker(
    *arguments: str, timeout_seconds: float, check: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", *arguments],
        env=os.environ | {"DOCKER_CLI_HINTS": "false"},
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=check,
    )
