"""Observability: rules fire when they should, and rules, dashboard and runbook fit the service."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from booking_credits.health.metrics import Metrics
from booking_credits.health.vitals import Vitals
from booking_credits.settings import Settings

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "deploy" / "observability"
_RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((_FOLDER / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
_DASHBOARD = json.loads((_FOLDER / "dashboards" / "booking-credits.json").read_text())
_OPERATING = (_ROOT / "deploy" / "README.md").read_text()
_TESTS = Path(__file__).with_name("rules_test.yaml")
_METRIC = re.compile(r"\b(?:booking_credits|process)_\w+")


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("NOT RUN: no promtool")
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", _FOLDER / "prometheus.yaml"),
        ("check", "rules", _FOLDER / "rules.yaml"),
        ("test", "rules", _TESTS),
    ],
    ids=["config", "rules", "tests"],
)
def test_prometheus_agrees(promtool: str, arguments: tuple[str | Path, ...]) -> None:
    """It can read the files, and each alert fires in its case and not in the one beside it."""
    said = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, cwd=_ROOT
    )
    assert 0 == said.returncode, said.stdout + said.stderr


def test_every_alert_has_both_cases() -> None:
    """There is a case in which it fires, and one in which it does not."""
    cases = {(rule["alert"], fires) for rule in _RULES for fires in (True, False)}
    tested = {
        (re.findall(r'alertname="(\w+)"', case["expr"])[0], bool(case["exp_samples"]))
        for test in yaml.safe_load(_TESTS.read_text())["tests"]
        for case in test["promql_expr_test"]
    }
    assert cases == tested


def test_every_metric_that_is_named_exists() -> None:
    """No rule and no panel waits for a metric that the service does not expose."""
    named = set(_METRIC.findall(json.dumps([rule["expr"] for rule in _RULES])))
    named |= set(_METRIC.findall(json.dumps(_DASHBOARD)))
    assert len(named) > 15
    assert set() == named - set(_exposed())


def test_every_alert_has_its_section() -> None:
    """Who is called reads what it means, what users feel, what to look at and what to do."""
    sections = dict(
        re.findall(
            r"^### (BookingCredits\w+)\n(.*?)(?=^#|\Z)", _OPERATING, re.MULTILINE | re.DOTALL
        )
    )
    assert [rule["alert"] for rule in _RULES] == list(sections)
    parts = ["Means", "Users feel", "Look at", "Do"]
    found = {
        name: re.findall(r"^\*\*(.+?)\.\*\* \S", t, re.MULTILINE) for name, t in sections.items()
    }
    assert dict.fromkeys(sections, parts) == found


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_who_is_to_look_and_where_to_read(rule: dict[str, Any]) -> None:
    """Severity is one of two, and the runbook's address leads to the alert's section."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert f"deploy/README.md#{rule['alert'].lower()}" == rule["annotations"]["runbook"]


def test_grafana_is_given_what_the_dashboard_asks_for() -> None:
    """What is provisioned is where Compose mounts it, and every panel's source is among it."""
    compose = yaml.safe_load((_ROOT / "deploy" / "compose.yaml").read_text())["services"]
    [source] = _provisioned("datasources/prometheus.yaml")["datasources"]
    [provider] = _provisioned("dashboards/booking-credits.yaml")["providers"]
    mounts = dict(mount.split(":")[:2] for mount in compose["grafana"]["volumes"])
    assert "/etc/grafana/provisioning" == mounts["./observability/grafana"]
    assert provider["options"]["path"] == mounts["./observability/dashboards"]
    home = Path(compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (_FOLDER / "dashboards" / home.name).exists()

    assert urlsplit(source["url"]).hostname in compose
    assert urlsplit(source["url"]).port == int(compose["prometheus"]["ports"][0].split(":")[-1])
    assert {(source["type"], source["uid"])} == {
        (panel["datasource"]["type"], panel["datasource"]["uid"]) for panel in _DASHBOARD["panels"]
    }


def test_prometheus_is_given_what_it_is_told_to_read() -> None:
    """The rules lie beside the configuration, and what is scraped is a service of Compose."""
    compose = yaml.safe_load((_ROOT / "deploy" / "compose.yaml").read_text())["services"]
    configuration = yaml.safe_load((_FOLDER / "prometheus.yaml").read_text())
    mounts = {mount.split(":")[1] for mount in compose["prometheus"]["volumes"]}
    assert {"/etc/prometheus/prometheus.yml", "/prometheus"} <= mounts
    assert {f"/etc/prometheus/{name}" for name in configuration["rule_files"]} <= mounts
    [[found]] = [job["dns_sd_configs"] for job in configuration["scrape_configs"]]
    assert set(found["names"]) <= set(compose)
    assert Settings.model_fields["health_port"].default == found["port"]


def test_panels_do_not_overlap() -> None:
    """Each place of the dashboard has one panel."""
    places = [
        (x, y)
        for panel in _DASHBOARD["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(places)) == len(places)
    assert 24 == max(x for x, _ in places) + 1


def _provisioned(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((_FOLDER / "grafana" / name).read_text()))


def _exposed() -> Iterator[str]:
    """Name every series that a worker exposes."""
    metrics = Metrics()
    metrics.ask(lambda: Vitals(0.0), lambda: datetime.now(UTC))
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    for family in metrics.registry.collect():
        for suffix in suffixes.get(family.type, [""]):
            yield family.name + suffix
