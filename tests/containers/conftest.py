"""The engine and the image of a run, or the reason why nothing here was run."""

from collections.abc import Iterator

import pytest

from containers.engine import ROOT, NoEngine, docker, require_engine, require_image

_MISSING = pytest.StashKey[set[str]]()
_TAG = "booking-credits:test"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow whatever needs an engine."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for reason in sorted(config.stash.get(_MISSING, None) or ()):
        terminalreporter.write_line(f"NOT RUN in containers: {reason}", red=True, bold=True)


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> None:
    """An engine with the images that the project builds on."""
    try:
        require_engine()
        for name in ("python:3.13-slim", "postgres:17", "apache/kafka:4.1.1"):
            require_image(name)
    except NoEngine as reason:
        request.config.stash.setdefault(_MISSING, set()).add(str(reason))
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:  # noqa: ARG001 - it has to be there
    """The project's image, built from what is here."""
    dockerfile = str(ROOT / "deploy" / "Dockerfile")
    docker("build", "--file", dockerfile, "--tag", _TAG, str(ROOT), timeout_seconds=600)
    yield _TAG
    docker("image", "rm", "--force", _TAG)
