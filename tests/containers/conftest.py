"""The engine and the image of a run, or the reason why nothing here was run."""

import os
from collections.abc import Iterator

import pytest
import yaml

from containers.engine import ROOT, NoEngine, docker, require_engine, require_image

# Several processes may test at once.
_TAG = f"booking-credits:test-{os.getpid()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow whatever needs an engine."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def engine() -> None:
    """An engine with the images that the project builds on."""
    _require("python:3.13-slim", "postgres:17", "apache/kafka:4.1.1")


@pytest.fixture(scope="session")
def monitoring(engine: None) -> None:  # noqa: ARG001
    """The images of the profile observability as well."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    _require(compose["prometheus"]["image"], compose["grafana"]["image"])


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:  # noqa: ARG001 - it has to be there
    """The project's image, built from what is here."""
    dockerfile = str(ROOT / "deploy" / "Dockerfile")
    docker("build", "--file", dockerfile, "--tag", _TAG, str(ROOT), timeout_seconds=600)
    yield _TAG
    docker("image", "rm", "--force", _TAG)


def _require(*images: str) -> None:
    """Skip where no engine has the images."""
    try:
        require_engine()
        for name in images:
            require_image(name)
    except NoEngine as reason:
        pytest.skip(f"NOT RUN in containers: {reason}")
