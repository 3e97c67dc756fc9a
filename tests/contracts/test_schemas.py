import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from booking_credits_contracts import __main__ as command

PORTABLE_KEYWORDS = {
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "anyOf",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minimum",
    "not",
    "pattern",
    "properties",
    "propertyNames",
    "required",
    "title",
    "type",
}


def test_the_schemas_on_disk_are_those_of_the_models(
    contracts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exporting the schemas changes nothing that is committed."""
    monkeypatch.setattr(sys, "argv", ["contracts", "export", str(tmp_path)])
    command.main()
    assert read_tree(tmp_path) == read_tree(contracts / "schemas")


def test_every_schema_is_valid(contracts: Path) -> None:
    """Each file is a JSON Schema of the draft that it names."""
    for schema in read_schemas(contracts / "schemas"):
        Draft202012Validator.check_schema(schema)


def test_schemas_use_only_what_every_draft_knows(contracts: Path) -> None:
    """A tool for an older draft reads the schemas too."""
    used = {
        keyword
        for schema in read_schemas(contracts / "schemas")
        for part in list_parts(schema)
        for keyword in part
    }
    assert used <= PORTABLE_KEYWORDS


def test_published_objects_are_closed(contracts: Path) -> None:
    """No object of a published event may hold an unnamed field."""
    parts = [
        part
        for schema in read_schemas(contracts / "schemas" / "published")
        for part in list_parts(schema)
        if "properties" in part
    ]
    assert parts
    assert [] == [part for part in parts if part.get("additionalProperties") is not False]


def read_tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.json")}


def read_schemas(folder: Path) -> list[Any]:
    return [json.loads(text) for text in read_tree(folder).values()]


def list_parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the schema and every schema within it."""
    yield schema
    named = [*schema.get("$defs", {}).values(), *schema.get("properties", {}).values()]
    nested = [schema.get(key) for key in ("items", "not", "additionalProperties", "propertyNames")]
    for part in [*named, *nested, *schema.get("anyOf", [])]:
        if isinstance(part, dict):
            yield from list_parts(part)
