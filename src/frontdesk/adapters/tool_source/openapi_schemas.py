"""Schemas out of an OpenAPI document: references come along as `$defs`, and 3.0's own words become JSON Schema's."""

from collections.abc import Mapping
from typing import Any

from frontdesk.agents.tools.schema_cost import SchemaError, resolve

MAX_NODES = 20_000
MAX_DEPTH = 64
MAX_HOPS = 16


def dereferenced(document: Mapping[str, Any], value: Any) -> Any:
    """`value`, or what its `$ref` means, or that one's. Raises `SchemaError` for what leads elsewhere or nowhere."""
    for _ in range(MAX_HOPS):
        if not isinstance(value, dict) or "$ref" not in value:
            return value
        value = resolve(document, value["$ref"])
    raise SchemaError("a reference leads to itself")


class SchemaCopier:
    """Copies schemas of one document into one schema of its own; `definitions` are what the copies refer to."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._is_3_0 = str(document.get("openapi", "")).startswith("3.0")
        self._nodes = 0
        self.definitions: dict[str, Any] = {}

    def copy(self, schema: Any, depth: int = 0) -> Any:
        """Raises `SchemaError` for a schema that is too large, and for a reference that leads out of the document."""
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise SchemaError("the schema is too large")
        if isinstance(schema, list):
            return [self.copy(part, depth + 1) for part in schema]
        if not isinstance(schema, dict):
            return schema
        if isinstance(schema.get("$ref"), str):
            schema = {**schema, "$ref": self._reference(schema["$ref"], depth)}
        copied = {key: self.copy(value, depth + 1) for key, value in schema.items()}
        return _modern(copied) if self._is_3_0 else copied

    def _reference(self, reference: str, depth: int) -> str:
        name = reference.removeprefix("#/components/schemas/").replace("~", "_").replace("/", "_")
        if name not in self.definitions:
            self.definitions[name] = True
            self.definitions[name] = self.copy(resolve(self._document, reference), depth + 1)
        return f"#/$defs/{name}"


def _modern(schema: dict[str, Any]) -> dict[str, Any]:
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)
    if isinstance(schema.get("nullable"), bool) and schema.pop("nullable"):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema
