import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from booking_credits_contracts import PUBLISHED, RECEIVED

CONTRACTS = Path(__file__).parents[2] / "contracts"
MODELS: dict[str, dict[str, type[BaseModel]]] = {
    "received": {**RECEIVED},
    "published": {**PUBLISHED},
}


def list_examples(prefix: str) -> list[str]:
    examples = CONTRACTS / "examples"
    found = examples.glob(f"*/*/{prefix}-*.json")
    return sorted(path.relative_to(examples).with_suffix("").as_posix() for path in found)


VALID = list_examples("valid")
INVALID_FOR_THE_MODEL_ALONE = list_examples("invalid-model")
INVALID_FOR_BOTH = sorted({*list_examples("invalid")} - {*INVALID_FOR_THE_MODEL_ALONE})


def accepted_by_model(name: str) -> bool:
    direction, event_type, _ = name.split("/")
    try:
        MODELS[direction][event_type].model_validate_json(read_text(name))
    except ValidationError:
        return False
    return True


def accepted_by_schema(name: str) -> bool:
    direction, event_type, _ = name.split("/")
    path = CONTRACTS / "schemas" / direction / f"{event_type}.schema.json"
    schema: Any = json.loads(path.read_text())
    return Draft202012Validator(schema).is_valid(json.loads(read_text(name)))


def read_text(name: str) -> str:
    return (CONTRACTS / "examples" / f"{name}.json").read_text()


def test_every_event_has_examples() -> None:
    """Each type shows at least one valid and one invalid event."""
    types = {f"{direction}/{name}" for direction, models in MODELS.items() for name in models}
    assert types == {name.rpartition("/")[0] for name in VALID}
    assert types == {name.rpartition("/")[0] for name in INVALID_FOR_BOTH}


@pytest.mark.parametrize("name", VALID)
def test_a_valid_example_is_accepted(name: str) -> None:
    """Model and schema both accept it."""
    assert accepted_by_model(name)
    assert accepted_by_schema(name)


@pytest.mark.parametrize("name", INVALID_FOR_BOTH)
def test_an_invalid_example_is_refused(name: str) -> None:
    """Model and schema both refuse it."""
    assert not accepted_by_model(name)
    assert not accepted_by_schema(name)


@pytest.mark.parametrize("name", INVALID_FOR_THE_MODEL_ALONE)
def test_what_a_schema_cannot_say_the_model_refuses(name: str) -> None:
    """A rule between fields, or one that needs a calendar, is the model's alone."""
    assert not accepted_by_model(name)
    assert accepted_by_schema(name)
