"""All sources together: unique names, checks before calls."""

import asyncio
from pathlib import Path

import pytest

from frontdesk.adapters.tool_source.python import PythonToolSource
from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.agents.tools.declarations import DeclaredFunction
from frontdesk.bootstrap.agents import tool_catalogue
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import ToolCallError
from frontdesk.settings import Settings
from harness.fixtures import Logged
from harness.tool_sources import CONTEXT, BackEndStub

FILE = """
tools:
  - {name: echo, description: The back end's., http: {method: POST, path: /echo},
     parameters: {type: object, properties: {text: {type: string}}, required: [text]}}
  - {name: ask, description: Ask the visitor., parameters: {type: object}, client: true}
python:
  - {function: "harness.tool_functions:echo"}
  - {function: "harness.tool_functions:look"}
"""


def settings(tmp_path: Path, text: str, url: str | None = None) -> Settings:
    path = tmp_path / "tools.yaml"
    path.write_text(text)
    return Settings(_env_file=None, tools_file=str(path), api_base_url=url)


def functions(*names: str, max_output_bytes: int = 10_000, timeout: float = 5.0) -> PythonToolSource:
    declared = [DeclaredFunction(function=f"harness.tool_functions:{name}", timeout=timeout) for name in names]
    return PythonToolSource(declared, max_output_bytes=max_output_bytes)


async def test_of_two_tools_with_one_name_the_file_s_first_stays(
    tmp_path: Path, back_end_stub: BackEndStub, logged: Logged
) -> None:
    catalogue = tool_catalogue(settings(tmp_path, FILE, back_end_stub.url))
    await catalogue.open()
    assert [tool.name for tool in catalogue.list()] == ["echo", "ask", "look"]
    echo = catalogue.find("echo")
    assert echo is not None
    assert echo.description == "The back end's."
    assert catalogue.find("nothing") is None
    http, python = catalogue.status()
    assert (http.name, http.problem, http.left_out) == ("http", None, [])
    assert [(one.name, one.reason) for one in python.left_out] == [
        ("echo", "an earlier source has a tool of this name")
    ]
    assert [(entry["tool"], entry["source"]) for entry in logged() if entry["event"] == "a tool is left out"] == [
        ("echo", "python")
    ]
    await catalogue.aclose()


async def test_the_order_of_the_file_s_sections_decides(tmp_path: Path) -> None:
    tools, python = FILE.split("python:")
    catalogue = tool_catalogue(settings(tmp_path, f"python:{python}{tools}"))
    echo = catalogue.find("echo")
    assert echo is not None
    assert echo.description == "Says it again."
    await catalogue.aclose()


async def test_wrong_arguments_do_not_reach_the_source(tmp_path: Path, back_end_stub: BackEndStub) -> None:
    catalogue = tool_catalogue(settings(tmp_path, FILE, back_end_stub.url))
    context = CONTEXT.__class__(idempotency_key="wrong-arguments")
    for call in (catalogue.call("echo", {"text": 3}, context), entered(catalogue, {"text": 3}, context)):
        with pytest.raises(ToolCallError) as caught:
            await call
        assert (caught.value.kind, caught.value.was_made) == ("invalid_arguments", False)
        assert caught.value.detail == '/text: 3 is not of type "string"'
    assert catalogue.fault("echo", {"text": "a", "b": 1}) is not None, "an http tool takes what it declares"
    assert await back_end_stub.requests("wrong-arguments") == []
    await catalogue.aclose()


async def entered(catalogue: ToolCatalogue, arguments: dict[str, object], context: object) -> None:
    async with catalogue.forward("echo", arguments, context):
        pass


async def test_forwarding_goes_to_the_source(tmp_path: Path, back_end_stub: BackEndStub) -> None:
    catalogue = tool_catalogue(settings(tmp_path, FILE, back_end_stub.url))
    async with catalogue.forward("echo", {"text": "a"}, CONTEXT) as forwarded:
        assert forwarded.status == 200
    with pytest.raises(ToolCallError, match="no route"):
        async with catalogue.forward("look", {"day": "2026-01-01"}, CONTEXT):
            pass
    await catalogue.aclose()


@pytest.mark.parametrize("name", ["nothing", "ask"])
async def test_what_the_server_does_not_perform_is_not_called(tmp_path: Path, name: str) -> None:
    catalogue = tool_catalogue(settings(tmp_path, FILE))
    with pytest.raises(ToolCallError) as caught:
        await catalogue.call(name, {}, CONTEXT)
    assert (caught.value.kind, caught.value.was_made) == ("unknown_tool", False)
    await catalogue.aclose()


async def test_without_a_back_end_the_rest_works(tmp_path: Path) -> None:
    catalogue = tool_catalogue(settings(tmp_path, FILE))
    await catalogue.open()
    assert catalogue.status()[0].problem == "API_BASE_URL is not set"
    with pytest.raises(ToolCallError) as caught:
        await catalogue.call("echo", {"text": "a"}, CONTEXT)
    assert caught.value.kind == "backend_not_configured"
    output = await catalogue.call("look", {"day": "2026-01-01", "deep": True}, CONTEXT)
    assert output.content == '{"day":"2026-01-01","count":101}'
    await catalogue.aclose()


async def test_a_source_that_cannot_open_closes_the_others(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    text = FILE + "openapi: {url: /openapi.json}\nmcp: [{name: a, command: no-such-program}]\n"
    catalogue = tool_catalogue(settings(tmp_path, text, "http://127.0.0.1:9"))
    with pytest.raises(ConfigurationError, match="no-such-program"):
        await catalogue.open()
    assert asyncio.all_tasks() == before


def test_a_function_s_schema_comes_from_its_hints_and_docstring() -> None:
    (look,) = functions("look").tools()
    assert look.description == "Looks for something.\n\nAnd says how much there was."
    assert look.parameters["properties"]["day"]["description"] == "Since when."
    assert look.parameters["required"] == ["day"]
    assert look.parameters["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "detail"),
    [
        ("fail", {}, "tool_failed", "it failed"),
        ("fail_secretly", {}, "tool_failed", "The tool failed: RuntimeError"),
        ("leave", {}, "tool_failed", "The tool failed: RuntimeError"),
        ("unspeakable", {}, "backend_bad_response", "The tool's output is not text and not JSON"),
        ("look", {"day": "soon"}, "invalid_arguments", "/day: Input should be a valid date"),
    ],
)
async def test_what_a_function_raises_ends_the_call(
    name: str, arguments: dict[str, object], kind: str, detail: str
) -> None:
    source = functions(name)
    with pytest.raises(ToolCallError) as caught:
        await source.call(name, arguments, CONTEXT)
    assert (caught.value.kind, caught.value.was_made) == (kind, kind != "invalid_arguments")
    assert caught.value.detail.startswith(detail)
    await source.aclose()


async def test_a_function_that_never_returns_is_not_waited_for() -> None:
    source = functions("hang_in_a_thread", timeout=0.05)
    with pytest.raises(ToolCallError) as caught:
        await source.call("hang_in_a_thread", {}, CONTEXT)
    assert caught.value.kind == "backend_timeout"
    await source.aclose()
