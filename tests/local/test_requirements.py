import re
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_REQUIREMENTS = _ROOT / "deploy" / "requirements"
_OUR_OWN = "booking-credits-contracts"


@pytest.mark.parametrize("project", ["pyproject.toml", "contracts/pyproject.toml"])
def test_every_dependency_is_asked_for_alike(project: str) -> None:
    """What a project says it needs, extras included, is what gets pinned, in the same words."""
    said = tomllib.loads((_ROOT / project).read_text())["project"]
    extras = said.get("optional-dependencies", {}).values()
    declared = {*said["dependencies"], *(name for names in extras for name in names)}
    assert set() == declared - _wanted("run") - {_OUR_OWN}


def test_development_runs_what_production_runs() -> None:
    """Tests and the service run the same versions of the service's requirements."""
    assert set() == _pinned("run") - _pinned("dev")


@pytest.mark.parametrize("name", ["run", "dev", "bench", "build"])
def test_every_pin_has_a_hash_and_names_no_address(name: str) -> None:
    """An installation takes exactly what was pinned, from wherever packages come here."""
    text = (_REQUIREMENTS / f"{name}.txt").read_text()
    entries = re.split(r"\n(?=\S)", text.partition("\n")[2])
    assert [] == [entry for entry in entries if "--hash=sha256:" not in entry]
    assert [] == re.findall(r".*(?:://|--index|--find-links|--extra-index).*", text)


def _wanted(name: str) -> set[str]:
    lines = (_REQUIREMENTS / f"{name}.in").read_text().splitlines()
    return {line.partition("#")[0].strip() for line in lines} - {""}


def _pinned(name: str) -> set[str]:
    text = (_REQUIREMENTS / f"{name}.txt").read_text()
    return set(re.findall(r"^[a-z0-9-]+==[^ \\;]+", text, flags=re.MULTILINE))
