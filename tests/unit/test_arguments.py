"""Arguments are held against schemas that strangers may have written."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.agents.tools.arguments import MAX_ARGUMENT_DEPTH, ArgumentCheck, SchemaError

TAGS = {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}, "required": ["tags"]}
ANY_JSON = {
    "type": "object",
    "properties": {"value": {"$ref": "#/$defs/json"}},
    "$defs": {
        "json": {
            "anyOf": [
                {"type": ["string", "number", "boolean", "null"]},
                {"type": "array", "items": {"$ref": "#/$defs/json"}},
                {"type": "object", "additionalProperties": {"$ref": "#/$defs/json"}},
            ]
        }
    },
}


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"tags": []}, None),
        ({"tags": ["a"], "more": 1}, None),
        ({"tags": [3]}, '/tags/0: 3 is not of type "string"'),
        ({}, '/: "tags" is a required property'),
        ([], '/: [] is not of type "object"'),
        (None, '/: null is not of type "object"'),
        ({"tags": nested(MAX_ARGUMENT_DEPTH)}, "/: they are nested deeper than 32 levels"),
        ({"tags": ["a"] * 20_000}, "/: there are more than 20000 values"),
    ],
)
def test_the_fault_names_the_path_and_the_reason(arguments: Any, fault: str | None) -> None:
    assert ArgumentCheck(TAGS).fault(arguments) == fault


def test_a_path_is_a_json_pointer() -> None:
    schema = {"type": "object", "properties": {"a/b~c": {"type": "string"}}}
    fault = ArgumentCheck(schema).fault({"a/b~c": 1})
    assert fault is not None
    assert fault.startswith("/a~1b~0c: ")


def test_a_long_value_is_shortened() -> None:
    fault = ArgumentCheck(TAGS).fault({"tags": "x" * 100_000})
    assert fault is not None
    assert len(fault) < 400
    assert fault.endswith('is not of type "array"')


@pytest.mark.parametrize("schema", [TAGS, ANY_JSON, {"type": "object", "properties": {"a": {"$ref": "#"}}}])
def test_usual_schemas_are_taken(schema: dict[str, Any]) -> None:
    assert ArgumentCheck(schema).fault({"tags": [], "value": [[{"a": [1, None]}]], "a": {}}) is None


def test_older_drafts_are_what_they_say() -> None:
    draft = "http://json-schema.org/draft-07/schema#"
    schema = {"$schema": draft, "type": "object", "properties": {"a": {"items": [{"type": "string"}]}}}
    assert ArgumentCheck(schema).fault({"a": [1]}) == '/a/0: 1 is not of type "string"'


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({}, "the schema of an object"),
        ({"type": "string"}, "the schema of an object"),
        ([], "the schema of an object"),
        ({"type": "object", "required": "a"}, "not a valid JSON Schema: /required"),
        ({"type": "object", "description": "x" * 200_000}, "larger than"),
        ({"type": "object", "default": object()}, "JSON does not have"),
        ({"type": "object", "default": nested(70)}, "deeper than 64"),
        ({"type": "object", "$ref": "https://example.com/schema"}, "leads out"),
        ({"type": "object", "$ref": "file:///etc/passwd"}, "leads out"),
        ({"type": "object", "$ref": "#/$defs/a"}, "leads nowhere"),
        ({"type": "object", "$ref": 7}, "leads out"),
        ({"type": "object", "$schema": "https://example.com/draft"}, "not a valid JSON Schema"),
        ({"type": "object", "$dynamicRef": "#a"}, "not supported"),
        ({"type": "object", "properties": {"a": {"$id": "https://example.com/a"}}}, "$id is not supported"),
        ({"type": "object", "allOf": [{"$ref": "#"}]}, "leads to itself"),
        ({"type": "object", "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}}, "too long"),
        ({"type": "object", "patternProperties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}, "too long"),
        ({"type": "object", "properties": {"a": {"pattern": "(?=a)b"}}}, "not a valid JSON Schema"),
        ({"type": "object", "properties": {"a": {"pattern": r"(a)\1"}}}, "not a valid JSON Schema"),
        (
            {"type": "object", "properties": {str(n): {"pattern": r"\pL{9}"} for n in range(33)}},
            "more than 32 patterns",
        ),
        ({"type": "object", "patternProperties": {str(n): {} for n in range(33)}}, "more than 32 patterns"),
        ({"type": "object", "properties": {"a": {"pattern": "a" * 1001}}}, "longer than 1000"),
        ({"type": "object", "properties": {str(n): {"$ref": "#"} for n in range(5000)}}, "too many parts"),
        ({"type": "object", "properties": {"a": {"pattern": "((a{100}){100}){100}"}}}, "not a valid JSON Schema"),
        (
            {
                "type": "object",
                "$ref": "#/$defs/0",
                "$defs": {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(500)},
            },
            "too deep",
        ),
        (
            {
                "type": "object",
                "$ref": "#/$defs/0",
                "$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(40)} | {"40": {}},
            },
            "too long",
        ),
    ],
)
def test_a_schema_that_is_none_or_costs_too_much_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaError) as caught:
        ArgumentCheck(schema)
    assert reason in str(caught.value)


def test_patterns_run_in_linear_time() -> None:
    check = ArgumentCheck({"type": "object", "properties": {"a": {"pattern": "^(a|aa|a?)+$"}}})
    assert check.fault({"a": "a" * 100_000 + "!"}) is not None


keywords = st.sampled_from(
    [
        "type",
        "properties",
        "items",
        "allOf",
        "anyOf",
        "not",
        "$ref",
        "$defs",
        "pattern",
        "required",
        "enum",
        "if",
        "then",
    ]
)
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from(["object", "#", "#/$defs/a", "(a+)+", "^$"])
)
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keywords, inner, max_size=4), max_leaves=20
)


@given(st.dictionaries(keywords, json_values), json_values)
def test_any_schema_is_taken_or_refused_and_any_value_told_about(schema: dict[str, Any], value: Any) -> None:
    try:
        check = ArgumentCheck({**schema, "type": "object"})
    except SchemaError:
        return
    fault = check.fault(value)
    assert fault is None or fault.startswith("/")
