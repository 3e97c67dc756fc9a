"""The JSON Schemas of all events, draft 2020-12, for readers in any language."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from booking_credits_contracts.published import PUBLISHED
from booking_credits_contracts.received import RECEIVED


class _SchemaGenerator(GenerateJsonSchema):
    """Constrains every key of a mapping, and leaves out titles that repeat a field's name."""

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        described: JsonSchemaValue = {
            "type": "object",
            "propertyNames": self.generate_inner(schema["keys_schema"]),
            "additionalProperties": self.generate_inner(schema["values_schema"]),
        }
        self.update_with_validations(described, schema, self.ValidationsMapping.object)
        return described

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """Write a single value as an enumeration of one: old drafts know no constants."""
        described = super().literal_schema(schema)
        if "const" in described:
            described["enum"] = [described.pop("const")]
        return described

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic's name)
        return False


def describe_events() -> dict[str, JsonSchemaValue]:
    """Return the schema of every event's data, by its path below the schemas' folder."""
    received = {
        f"received/{event_type}.schema.json": _describe(event_type, model, "validation")
        for event_type, model in RECEIVED.items()
    }
    published = {
        f"published/{event_type}.schema.json": _describe(event_type, model, "serialization")
        for event_type, model in PUBLISHED.items()
    }
    return received | published


def export_schemas(folder: Path) -> None:
    """Write the schema of every event's data below the folder."""
    for path, schema in describe_events().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


def _describe(event_type: str, model: type[BaseModel], mode: JsonSchemaMode) -> JsonSchemaValue:
    schema = model.model_json_schema(mode=mode, schema_generator=_SchemaGenerator)
    return {"$schema": GenerateJsonSchema.schema_dialect} | schema | {"title": event_type}
