"""The OpenAPI document and the catalogue of tools, against each other and against the program."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from harness.document_api import DocumentApi

CATALOGUE = Path(__file__).parents[2] / "examples" / "document_api" / "tools.yaml"
TOOLS = [
    "ingest_youtube",
    "ingest_text",
    "optimize",
    "generate_blog",
    "drive_link",
    "drive_status",
    "drive_publish",
    "document_versions",
    "document_exports",
    "session_events",
]
SECONDS = 20
SCHEMA_KEYS = {"type", "minLength", "maxLength", "minimum", "maximum", "pattern", "enum", "default"}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = ["400", "404", "405", "409", "413", "422"]
"""


@pytest.fixture(scope="module")
def description(documents: DocumentApi) -> dict[str, Any]:
    described: dict[str, Any] = httpx.get(f"{documents.url}/openapi.json", trust_env=False).json()
    return described


@pytest.fixture(scope="module")
def operations(description: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    }


def _resolved(description: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = description["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    given = next((part for part in schema.get("anyOf", []) if part.get("type") != "null"), {})
    return {key: value for key, value in {**schema, **given}.items() if key != "anyOf"}


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key in SCHEMA_KEYS and value != ""}


def test_the_catalogue_has_the_tools_that_the_program_describes(
    operations: dict[str, tuple[str, str, dict[str, Any]]],
) -> None:
    tools = yaml.safe_load(CATALOGUE.read_text())["tools"]
    assert [tool["name"] for tool in tools] == TOOLS
    assert set(TOOLS) == operations.keys() - {"health", "list_documents"}


@pytest.mark.parametrize("tool", yaml.safe_load(CATALOGUE.read_text())["tools"], ids=lambda tool: tool["name"])
def test_a_tool_is_what_the_program_describes(
    tool: dict[str, Any], description: dict[str, Any], operations: dict[str, tuple[str, str, dict[str, Any]]]
) -> None:
    method, path, operation = operations[tool["name"]]
    http, schema = tool["http"], tool["parameters"]
    assert (http["method"], http["path"]) == (method, path)
    given = {place: {} for place in ("path", "query", "header")}
    for parameter in operation.get("parameters", []):
        given[parameter["in"]][parameter["name"]] = _resolved(description, parameter["schema"])
    body: dict[str, Any] = {"properties": {}}
    if "requestBody" in operation:
        body = _resolved(description, operation["requestBody"]["content"]["application/json"]["schema"])
    assert set(http["path_arguments"]) == given["path"].keys()
    assert set(http["query"]) == given["query"].keys() - {"session_id"}
    assert set(http["body"]) == body["properties"].keys()
    assert set(schema["properties"]) == {*http["path_arguments"], *http["query"], *http["body"]}
    assert set(schema.get("required", [])) == {*given["path"], *body.get("required", [])}
    described = given["path"] | given["query"] | body["properties"]
    for name, bounds in schema["properties"].items():
        expected = _bounds(_resolved(description, described[name]))
        # That a text is not blank is left to the program.
        if name in {"title", "text", "transcript"}:
            del expected["pattern"]
        assert _bounds(bounds) == expected, name
    assert (method == "GET") == ("Idempotency-Key" not in given["header"])
    assert ("text/event-stream" in json.dumps(operation["responses"])) == http["stream"]


def test_failures_are_described(operations: dict[str, tuple[str, str, dict[str, Any]]]) -> None:
    for name in TOOLS:
        responses = operations[name][2]["responses"]
        assert {"400", "401", "422"} <= responses.keys()
        for status, response in responses.items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (name, status)
        assert operations[name][2]["security"] in ([{"session": []}], [{}])


@pytest.mark.timeout(SECONDS + 60)
def test_no_answer_is_outside_the_document(documents: DocumentApi, session: httpx.Client, tmp_path: Path) -> None:
    session.post("/documents/text", json={"title": "here before", "text": "x"})
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{documents.url}/openapi.json", "--no-color"]
    command += ["--max-time", str(SECONDS), "--request-timeout", "20", "--no-shrink", "--continue-on-failure"]
    command += ["--checks", ",".join(CHECKS), "--header", f"X-Agent-Session-Id:{session.headers['X-Agent-Session-Id']}"]
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS + 40, check=False)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
