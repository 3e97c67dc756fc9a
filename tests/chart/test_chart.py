"""The chart: what it renders is what Kubernetes takes, restricted, and fits the service."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import kubernetes_validate
import pytest
import yaml

from booking_credits.settings import Settings, secret_names
from containers.engine import ROOT

Manifest: TypeAlias = dict[str, Any]

_CHART = ROOT / "deploy" / "helm"
_SCHEMA = json.loads((_CHART / "values.schema.json").read_text())
_VALUES = yaml.safe_load((_CHART / "values.yaml").read_text())
_KUBERNETES = "1.31.0"
_CUSTOM = {"KafkaTopic", "PodMonitor", "PrometheusRule", "ScaledObject"}
_EVERYTHING = (
    "autoscaling.enabled=true",
    "clock.replicas=1",
    "dashboard.enabled=true",
    "kafkaTlsSecret=kafka-tls",
    "migrate.hook=false",
    "podMonitor.enabled=true",
    "policies=units",
    "prometheusRule.enabled=true",
    "relay.replicas=2",
    "secrets.kafkaPasswordKey=kafka-password",
    "secrets.migratePostgresDsnKey=owner-dsn",
    "topics.enabled=true",
    "worker.clock=false",
    "worker.relay=false",
)


@pytest.fixture(scope="module", params=[(), _EVERYTHING], ids=["defaults", "everything"])
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    rendered = _template(*request.param)
    assert 0 == rendered.returncode, rendered.stderr
    return [manifest for manifest in yaml.safe_load_all(rendered.stdout) if manifest]


@pytest.fixture(scope="module")
def pods(manifests: list[Manifest]) -> list[Manifest]:
    workloads = [m for m in manifests if m["kind"] in {"Deployment", "Job"}]
    return [workload["spec"]["template"]["spec"] for workload in workloads]


def test_kubernetes_takes_what_is_rendered(manifests: list[Manifest]) -> None:
    """Each object fits the schema of its kind, with nothing that the kind does not know."""
    for manifest in manifests:
        if manifest["kind"] not in _CUSTOM:
            kubernetes_validate.validate(manifest, _KUBERNETES, strict=True)


def test_pods_are_restricted(pods: list[Manifest]) -> None:
    """Every pod meets the restricted pod security standard, and none gets a token."""
    assert len(pods) > 1
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
        for container in pod["containers"]:
            assert {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            } == container["securityContext"]
            assert "memory" in container["resources"]["limits"]


def test_pods_are_told_only_settings_that_exist(pods: list[Manifest]) -> None:
    """No variable is a slip, and no secret is a value."""
    known = {f"BOOKING_CREDITS_{name.upper()}" for name in set(Settings.model_fields)}
    secret = {f"BOOKING_CREDITS_{name.upper()}" for name in secret_names()}
    told = {v["name"] for pod in pods for c in pod["containers"] for v in c["env"]}
    assert set() == told - (known - secret) - {f"{name}_FILE" for name in secret}


def test_every_file_that_is_named_is_mounted(pods: list[Manifest]) -> None:
    """A path in a variable lies in a volume of the same container."""
    for pod in pods:
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            paths = [v["value"] for v in container["env"] if v["value"].startswith("/")]
            assert paths
            assert {str(Path(path).parent) for path in paths} <= set(mounts)
            assert set(mounts.values()) == volumes


def test_shutdowns_are_given_their_time(pods: list[Manifest]) -> None:
    """A worker ends by itself before it is ended."""
    grace = [p["terminationGracePeriodSeconds"] for p in pods if "restartPolicy" not in p]
    assert grace
    assert min(grace) > Settings.model_fields["shutdown_seconds"].default


def test_everything_is_rendered_when_asked_for() -> None:
    """With every value set, each kind of object is there, and each role has its command."""
    manifests = list(yaml.safe_load_all(_template(*_EVERYTHING).stdout))
    assert set() == _CUSTOM - {m["kind"] for m in manifests}
    commands = [
        m["spec"]["template"]["spec"]["containers"][0]["args"]
        for m in manifests
        if m["kind"] in {"Deployment", "Job"}
    ]
    assert [
        ["clock"],
        ["migrate"],
        ["relay"],
        ["serve", "--without-relay", "--without-clock"],
    ] == sorted(commands)


def test_alerts_and_topics_are_the_project_s_own() -> None:
    """The rules are those that are tested, and each topic that is used has its object."""
    manifests = list(yaml.safe_load_all(_template(*_EVERYTHING).stdout))
    rules = yaml.safe_load((ROOT / "deploy" / "observability" / "rules.yaml").read_text())
    assert [rules] == [m["spec"] for m in manifests if m["kind"] == "PrometheusRule"]
    settings = Settings.model_construct()
    expected = {*settings.input_topic_names, *settings.output_topics.values()}
    assert expected == {m["metadata"]["name"] for m in manifests if m["kind"] == "KafkaTopic"}


def test_the_installation_of_the_readme_is_rendered() -> None:
    """What deploy/README.md has people set can be set, and is all that has to be."""
    said = (ROOT / "deploy" / "README.md").read_text()
    [sets] = re.findall(r"helm install credits deploy/helm (.*)$", said, re.MULTILINE)
    rendered = _template(*re.findall(r"--set (\S+)", sets))
    assert 0 == rendered.returncode, rendered.stderr
    [secret] = re.findall(r"create secret generic (\S+) --from-literal=(\S+?)=", said)
    assert secret == (_VALUES["secrets"]["name"], _VALUES["secrets"]["postgresDsnKey"])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("settings.batch_recrods=5", "batch_recrods"),
        ("settings.postgres_dsn=x", "postgres_dsn"),
        ("image.digest=latest", "digest"),
        ("worker.replica=3", "replica"),
        ("worker.relay=false", "Nobody would publish"),
        ("worker.clock=false", "Nobody would keep the clock"),
    ],
)
def test_a_slip_is_refused(value: str, problem: str) -> None:
    """What is misspelt, misplaced or would leave work undone is no installation."""
    refused = _template(value)
    assert 0 != refused.returncode
    assert problem in refused.stderr


def test_settings_of_the_schema_are_the_settings() -> None:
    """What is no secret and not the chart's own business may be set."""
    own = {"policies", "health_host", "health_port"}
    expected = set(Settings.model_fields) - secret_names() - own
    assert expected == set(_SCHEMA["properties"]["settings"]["propertyNames"]["enum"])


def test_the_chart_is_of_this_version() -> None:
    """Whoever installs the chart gets the image of the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((_CHART / "Chart.yaml").read_text())
    assert [project["version"]] * 2 == [chart["version"], chart["appVersion"]]


def test_every_value_is_explained() -> None:
    """The schema has a description of each value that values.yaml has, and of no other."""
    explained, present = set(_explained(_SCHEMA)), set(_present(_VALUES, _SCHEMA))
    assert present == explained


def _explained(schema: Manifest, path: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        assert part["description"], f"{path}{name}"
        yield f"{path}{name}"
        yield from _explained(part, f"{path}{name}.")


def _present(values: Manifest, schema: Manifest, path: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{path}{name}"
        part = schema.get("properties", {}).get(name, {})
        if "properties" in part:
            yield from _present(value, part, f"{path}{name}.")


def _template(*values: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("helm") is None:
        pytest.skip("NOT RUN: no helm")
    sets = [argument for value in values for argument in ("--set", value)]
    return subprocess.run(
        ["helm", "template", "release", str(_CHART), "--kube-version", _KUBERNETES, *sets],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
