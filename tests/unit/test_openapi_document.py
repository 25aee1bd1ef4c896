"""Operations of OpenAPI documents become tools."""

from typing import Any

import pytest

from frontdesk.adapters.tool_source.openapi_document import OpenApiError, openapi_tools
from frontdesk.agents.tools.arguments import ArgumentCheck
from frontdesk.agents.tools.declarations import DeclaredOpenApi, DeclaredTool


def body(reference: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": reference}}}}


PET = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string", "nullable": True},
        "weight": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "parent": {"$ref": "#/components/schemas/Pet"},
    },
    "required": ["name"],
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "components": {
        "schemas": {"Pet": PET, "Loop": {"$ref": "#/components/schemas/Loop"}},
        "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 9}}},
    },
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "put": {
                "operationId": "update pet",
                "summary": "Update.",
                "description": "A pet.",
                "parameters": [
                    {"$ref": "#/components/parameters/Limit"},
                    {"name": "tags", "in": "query", "required": True, "schema": {"type": "array", "items": {}}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
            },
            "get": {"responses": {"200": {"content": {"text/event-stream": {}}}}},
        },
        "/upload": {
            "post": {"operationId": "upload", "requestBody": {"required": True, "content": {"image/png": {}}}},
            "put": {
                "operationId": "replace_all",
                "requestBody": {"content": {"application/vnd.pets+json": {"schema": {"type": "array"}}}},
            },
            "patch": {"operationId": "loop", "requestBody": body("#/components/schemas/Loop")},
            "delete": {"operationId": "elsewhere", "requestBody": body("https://evil.example/schema")},
        },
        "/needs": {
            "get": {"operationId": "needs", "parameters": [{"name": "k", "in": "cookie", "required": True}]},
            "post": {"operationId": "replace all"},
            "put": {
                "operationId": "odd",
                "parameters": [{"name": "f", "in": "query", "style": "deepObject", "schema": {}}],
            },
            "patch": {"operationId": "malformed", "parameters": [{"name": "f"}]},
        },
        "/unnamed/{it}": {"get": {"operationId": "undeclared"}},
    },
}


def convert(document: Any = DOCUMENT, **more: Any) -> tuple[dict[str, DeclaredTool], dict[str, str]]:
    tools, left_out = openapi_tools(document, DeclaredOpenApi(path="/openapi.json", **more))
    return {tool.name: tool for tool in tools}, {one.name: one.reason for one in left_out}


def test_parameters_and_body_become_one_flat_schema() -> None:
    tool = convert()[0]["update_pet"]
    assert tool.description == "Update.\nA pet."
    assert tool.http is not None
    assert (tool.http.method, tool.http.path) == ("PUT", "/pets/{id}")
    assert tool.http.path_arguments == {"id": "id"}
    assert tool.http.query == {"limit": "limit", "tags": "tags"}
    assert tool.http.body == {"body_id": "id", "name": "name", "weight": "weight", "parent": "parent"}
    assert tool.parameters["required"] == ["id", "tags", "name"]
    assert not tool.retry_safe


@pytest.mark.parametrize(
    ("more", "is_right"),
    [
        ({}, True),
        ({"name": None}, True),
        ({"name": 3}, False),
        ({"weight": 0.1}, True),
        ({"weight": 0}, False),
        ({"limit": 10}, False),
        ({"parent": {"name": "b"}}, True),
        ({"parent": {"name": "b", "parent": {"name": "c", "weight": 0}}}, False),
        ({"unheard_of": 1}, False),
    ],
)
def test_references_and_the_words_of_3_0_mean_what_they_meant(more: dict[str, Any], is_right: bool) -> None:  # noqa: FBT001
    tool = convert()[0]["update_pet"]
    fault = ArgumentCheck(tool.parameters).fault({"id": "1", "tags": [], "name": "a", **more})
    assert (fault is None) == is_right


def test_an_operation_without_a_name_gets_one() -> None:
    tool = convert()[0]["get_pets_id"]
    assert tool.http is not None
    assert tool.http.stream
    assert tool.retry_safe, "a GET is safe"
    assert tool.description == "get_pets_id"


def test_a_body_that_is_no_object_is_one_argument() -> None:
    tool = convert()[0]["replace_all"]
    assert tool.http is not None
    assert tool.http.whole_body == "body"
    assert tool.parameters["properties"] == {"body": {"type": "array"}}
    assert tool.parameters["required"] == []


def test_what_cannot_be_a_tool_is_left_out_with_a_reason() -> None:
    tools, left_out = convert()
    assert set(tools) == {"update_pet", "get_pets_id", "replace_all"}
    assert left_out["upload"] == "its body is not JSON"
    assert left_out["replace_all"] == "another operation has this name"
    assert left_out["loop"] == "a reference leads to itself"
    assert "leads out of the document" in left_out["elsewhere"]
    assert left_out["needs"] == "it needs the cookie parameter k"
    assert left_out["odd"] == "the style of the parameter f is not supported"
    assert left_out["malformed"].startswith("it is malformed")
    assert left_out["undeclared"] == "its path parameters are not those of its path"


def test_only_what_is_included_is_looked_at() -> None:
    tools, left_out = convert(include=("update_*", "needs"))
    assert set(tools) == {"update_pet"}
    assert set(left_out) == {"needs"}


@pytest.mark.parametrize("document", [None, [], {}, {"swagger": "2.0"}, {"openapi": "4.0"}, {"openapi": 3.1}])
def test_another_document_is_refused(document: Any) -> None:
    with pytest.raises(OpenApiError):
        convert(document)


@pytest.mark.parametrize("paths", [None, [], {"/a": None}, {"/a": {"get": 7}}, {"/a": {"get": {"parameters": 7}}}])
def test_malformed_paths_break_nothing(paths: Any) -> None:
    tools, _ = convert({"openapi": "3.1.0", "paths": paths})
    assert tools == {}


def test_a_schema_that_grows_is_left_out() -> None:
    schemas = {str(n): {"allOf": [{"$ref": f"#/components/schemas/{n + 1}"}] * 2} for n in range(15)} | {"15": {}}
    document = {
        "openapi": "3.1.0",
        "paths": {"/a": {"post": {"operationId": "a", "requestBody": body("#/components/schemas/0")}}},
        "components": {"schemas": schemas},
    }
    assert "too long" in convert(document)[1]["a"]
