"""Tools that a back end describes itself, also when it is away."""

import json
from pathlib import Path

import pytest

from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.openapi import OpenApiToolSource
from frontdesk.agents.tools.declarations import DeclaredOpenApi
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import ToolCallError
from harness.back_end_stub import openapi
from harness.ports import lasting_port
from harness.processes import Process
from harness.tool_sources import CONTEXT, PATHS, BackEndStub, until

PORTS = range(26_200, 26_300)
MAX_BYTES = 10_000


def source(declared: DeclaredOpenApi, url: str | None) -> OpenApiToolSource:
    return OpenApiToolSource(declared, BackEnd(url), max_response_bytes=MAX_BYTES)


async def test_a_back_end_that_is_away_is_asked_until_it_comes_and_again_when_it_was_away(tmp_path: Path) -> None:
    port = lasting_port(PORTS)
    tools = source(DeclaredOpenApi(path="/openapi.json"), f"http://127.0.0.1:{port}")
    await tools.open()
    assert tools.tools() == ()
    assert tools.status().problem == "The back end cannot be reached"
    with Process("harness.back_end_stub", str(port), log=tmp_path / "log", environment=PATHS) as process:
        await until(lambda: tools.status().problem is None)
        first = tools.tools()
        assert {tool.name for tool in first} == {"echo", "fail", "hang", "large"}
        process.kill()
        with pytest.raises(ToolCallError) as caught:
            await tools.call("echo", {"text": "a"}, CONTEXT)
        assert caught.value.kind == "backend_unreachable"
        await until(lambda: tools.status().problem is not None)
        assert tools.tools() is first, "the last one read holds"
        process.start()
        await until(lambda: tools.tools() is not first)
        assert (await tools.call("echo", {"text": "a"}, CONTEXT)).status == 200
        async with tools.forward("echo", {"text": "a"}, CONTEXT) as forwarded:
            assert forwarded.status == 200
        await tools.aclose()


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/status/404", "the back end answers 404"),
        ("/redirect", "the back end answers 302"),
        ("/echo", "not an OpenAPI document"),
        ("/binary", "neither JSON nor YAML"),
        ("/large/9000000", "larger than"),
    ],
)
async def test_what_is_no_document_is_a_problem_and_no_hindrance(
    back_end_stub: BackEndStub, path: str, problem: str
) -> None:
    tools = source(DeclaredOpenApi(path=path), back_end_stub.url)
    await tools.open()
    told = tools.status().problem
    assert told is not None
    assert problem in told
    assert tools.tools() == ()
    await tools.aclose()


@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_a_document_may_be_a_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"api.{form}"
    text = json.dumps(openapi())
    path.write_text(text if form == "json" else f"# YAML has comments\n{text}")
    tools = source(DeclaredOpenApi(file=str(path), include=("echo",)), None)
    await tools.open()
    assert [tool.name for tool in tools.tools()] == ["echo"]
    assert tools.status().problem == "API_BASE_URL is not set"
    await tools.aclose()


@pytest.mark.parametrize(
    ("content", "include", "told"),
    [
        (None, "*", "No such file"),
        ("{", "*", "neither JSON nor YAML"),
        ("{}", "*", "not an OpenAPI document"),
        ('{"openapi": "3.1.0", "paths": {}}', "echo", "include: no operation is echo"),
    ],
)
async def test_a_file_that_cannot_be_used_stops_the_start_up(
    tmp_path: Path, content: str | None, include: str, told: str
) -> None:
    path = tmp_path / "api.json"
    if content is not None:
        path.write_text(content)
    tools = source(DeclaredOpenApi(file=str(path), include=(include,)), None)
    with pytest.raises(ConfigurationError) as caught:
        await tools.open()
    assert caught.value.detail.startswith(f"CHAT_TOOLS_FILE: openapi: {path}: ")
    assert told in caught.value.detail
    await tools.aclose()
