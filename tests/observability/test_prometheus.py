"""Prometheus itself, on a worker's metrics, with the configuration that is shipped."""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from builders import a_booking, a_grant, a_line
from health.serving import serving
from health.test_serve import Place, place
from local.supervision import Supervised, free_port

__all__ = ["place"]

pytestmark = pytest.mark.timeout(180)

_FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
_RULES = [
    rule
    for group in yaml.safe_load((_FOLDER / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
_DASHBOARD = json.loads((_FOLDER / "dashboards" / "booking-credits.json").read_text())
_PANELS = [target["expr"] for panel in _DASHBOARD["panels"] for target in panel["targets"]]
# Grafana fills it in by what is on the screen.
_RATE_INTERVAL = ("$__rate_interval", "30s")


class Prometheus:
    """A Prometheus of a test's own."""

    def __init__(self, port: int) -> None:
        self._port = port

    @property
    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except (URLError, ConnectionError):
            return False

    def ask(self, path: str) -> Any:
        """Return what its interface says, without the envelope."""
        with urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[Any]:
        return list(self.ask(f"query?query={quote(expression.replace(*_RATE_INTERVAL))}")["result"])


async def test_it_scrapes_a_worker_and_every_panel_shows_something(place: Place) -> None:
    """The rules are loaded and none fails, and each query of the dashboard has a result."""
    with (
        serving(place.directory, audit_seconds="1", **place.settings) as worker,
        _prometheus(place.directory, worker.port) as prometheus,
    ):
        worker.wait_until_ready()
        await _until(lambda: prometheus.query("booking_credits_ready == 1"))
        line = a_line(costs={"coin": 1000}, price=1000)
        await place.send(a_grant(quantity=500), a_booking("b1", line))
        for expression in _PANELS:
            await _until(partial(prometheus.query, expression))
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["alert"]: "ok" for rule in _RULES} == {r["name"]: r["health"] for r in rules}


@contextmanager
def _prometheus(directory: Path, worker_port: int) -> Iterator[Prometheus]:
    """Run it as configured for the observability profile, but for names that only an engine has."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("NOT RUN: no prometheus")
    configuration = yaml.safe_load((_FOLDER / "prometheus.yaml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    [job] = configuration["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{worker_port}"]}]
    (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    shutil.copy(_FOLDER / "rules.yaml", directory)
    port = free_port()
    server, process = Prometheus(port), Supervised("prometheus")
    try:
        process.start(
            program,
            f"--config.file={directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={directory / 'series'}",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        process.wait_until(lambda: server.is_ready, timeout_seconds=40)
        yield server
    finally:
        process.close()


async def _until(found: Callable[[], list[Any]]) -> None:
    deadline = time.monotonic() + 40
    while not found():
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
