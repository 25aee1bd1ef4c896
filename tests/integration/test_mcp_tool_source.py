"""MCP servers that die, grow, hang and lie: processes of their own, over stdio and HTTP."""

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontdesk.adapters.tool_source.mcp import McpToolSource
from frontdesk.adapters.tool_source.mcp_tools import MAX_NAME, public_name
from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.agents.tools.declarations import DeclaredMcpServer
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import ToolCallError
from harness.fixtures import Logged
from harness.ports import lasting_port
from harness.processes import Process
from harness.tool_sources import CONTEXT, MCP_PORTS, PATHS, stdio_server, until

MAX_BYTES = 10_000


@pytest.fixture
async def source() -> AsyncIterator[McpToolSource]:
    source = McpToolSource(stdio_server(), max_output_bytes=MAX_BYTES)
    await source.open()
    yield source
    await source.aclose()


@pytest.fixture
async def liar() -> AsyncIterator[McpToolSource]:
    source = McpToolSource(stdio_server("mcp_liar", name="liar", timeout=1.0), max_output_bytes=MAX_BYTES)
    await source.open()
    yield source
    await source.aclose()


def names(source: McpToolSource) -> set[str]:
    return {tool.name for tool in source.tools()}


async def test_a_server_that_dies_is_started_again(source: McpToolSource) -> None:
    before = source.tools()
    with pytest.raises(ToolCallError) as caught:
        await source.call("stub_die", {}, CONTEXT)
    assert (caught.value.kind, caught.value.was_made) == ("backend_unreachable", True)
    await until(lambda: source.status().problem is not None)
    assert "stub_echo" in names(source), "its tools stay known"
    with pytest.raises(ToolCallError) as caught:
        await source.call("stub_echo", {"text": "a"}, CONTEXT)
    assert (caught.value.kind, caught.value.was_made) == ("backend_unreachable", False)
    await until(lambda: source.status().problem is None)
    assert (await source.call("stub_echo", {"text": "again"}, CONTEXT)).content == "again"
    assert source.tools() is before, "nothing has changed"


async def test_tools_that_come_later_are_there_at_once(source: McpToolSource) -> None:
    before = source.tools()
    assert (await source.call("stub_grow", {}, CONTEXT)).content == "grown"
    await until(lambda: "stub_grown" in names(source))
    assert source.tools() is not before
    assert (await source.call("stub_grown", {"text": "up"}, CONTEXT)).content == "grown up"


async def test_a_server_gets_no_more_of_the_environment_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT_JWT_SECRET_KEY", "canary")
    source = McpToolSource(stdio_server(env={"WANTED": "1"}), max_output_bytes=MAX_BYTES)
    await source.open()
    seen = (await source.call("stub_environment", {}, CONTEXT)).content
    await source.aclose()
    assert "WANTED" in seen
    assert "PATH" in seen
    assert "CHAT_JWT_SECRET_KEY" not in seen


async def test_closing_ends_the_server(source: McpToolSource) -> None:
    before = children()
    other = McpToolSource(stdio_server("mcp_liar"), max_output_bytes=MAX_BYTES)
    await other.open()
    assert len(children() - before) == 1
    await other.aclose()
    await until(lambda: children() <= before)
    assert source.status().problem is None


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


async def test_only_what_is_included_is_there() -> None:
    source = McpToolSource(stdio_server(include=("echo", "gr*")), max_output_bytes=MAX_BYTES)
    await source.open()
    assert names(source) == {"stub_echo", "stub_grow"}
    assert source.status().left_out == ()
    await source.aclose()


async def test_a_liar_s_tools_are_left_out_with_a_reason(liar: McpToolSource, logged: Logged) -> None:
    weird = public_name("liar", "weird/näme " + "x" * 100)
    assert names(liar) == {"liar_honest", "liar_output", "liar_slow_pattern", weird}
    assert len(weird) == MAX_NAME
    reasons = {one.name: one.reason for one in liar.status().left_out}
    expected = {
        "honest": "another of its tools has this name",
        "list schema": "inputSchema: it is not an object",
        "text": "the schema of an object",
        "invalid": "not a valid JSON Schema",
        "huge": "larger than",
        "remote": "leads out of the document",
        "doubling": "could take too long",
        "looking around": "not a valid JSON Schema",
        "without schema": "inputSchema: it is not an object",
        "7": "it has no name",
        "None": "it has no name",
    }
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in reasons[name], name


async def test_a_liar_s_warnings_name_server_tool_and_reason(logged: Logged) -> None:
    source = McpToolSource(stdio_server("mcp_liar", name="liar"), max_output_bytes=MAX_BYTES)
    await source.open()
    await source.aclose()
    told = [entry for entry in logged() if entry["event"] == "a tool is left out"]
    assert len(told) == 11
    assert {"server": "liar", "tool": "huge"}.items() <= next(one for one in told if one["tool"] == "huge").items()


async def test_a_liar_s_other_tools_work(liar: McpToolSource) -> None:
    assert (await liar.call("liar_honest", {}, CONTEXT)).content == "truth\n[image, not shown]\n"
    output = await liar.call("liar_output", {}, CONTEXT)
    assert json.loads(output.content) == {"something": "else"}, "its own schema of outputs is not looked at"


async def test_a_call_that_gets_no_answer_is_given_up_and_the_server_stays(liar: McpToolSource) -> None:
    with pytest.raises(ToolCallError) as caught:
        await liar.call("liar_slow_pattern", {}, CONTEXT)
    assert (caught.value.kind, caught.value.was_made) == ("backend_timeout", True)
    assert (await liar.call("liar_honest", {}, CONTEXT)).content.startswith("truth")


async def test_a_stranger_s_pattern_takes_no_time(liar: McpToolSource) -> None:
    catalogue = ToolCatalogue([liar])
    fault = catalogue.fault("liar_slow_pattern", {"a": "a" * 50_000 + "!"})
    assert fault is not None
    assert "does not match" in fault


async def test_a_server_over_http_that_is_away_is_found_when_it_comes_and_comes_back(tmp_path: Path) -> None:
    port = lasting_port(MCP_PORTS)
    declared = DeclaredMcpServer(name="away", url=f"http://127.0.0.1:{port}/mcp", timeout=5.0)
    source = McpToolSource(declared, max_output_bytes=MAX_BYTES)
    await source.open()
    assert source.status().problem is not None
    assert source.tools() == ()
    with Process("harness.mcp_server", str(port), log=tmp_path / "log", environment=PATHS) as process:
        await until(lambda: source.status().problem is None, seconds=60)
        assert (await source.call("away_echo", {"text": "there"}, CONTEXT)).content == "there"
        process.kill()
        with pytest.raises(ToolCallError) as caught:
            await source.call("away_echo", {"text": "gone"}, CONTEXT)
        assert caught.value.kind == "backend_unreachable"
        await until(lambda: source.status().problem is not None)
        process.start()
        await until(lambda: source.status().problem is None, seconds=60)
        assert (await source.call("away_echo", {"text": "back"}, CONTEXT)).content == "back"
        await source.aclose()


async def test_a_program_that_does_not_exist_stops_the_start_up() -> None:
    source = McpToolSource(DeclaredMcpServer(name="a", command="no-such-program"), max_output_bytes=MAX_BYTES)
    with pytest.raises(
        ConfigurationError, match="CHAT_TOOLS_FILE: mcp: a: command: there is no program 'no-such-program'"
    ):
        await source.open()
    await source.aclose()


@pytest.mark.parametrize(
    "declared",
    [
        DeclaredMcpServer(name="a", command=sys.executable, args=["-c", "print('hello')"]),
        DeclaredMcpServer(
            name="a", command=sys.executable, args=["-c", r"print('\xff')"], env={"PYTHONIOENCODING": "latin-1"}
        ),
        DeclaredMcpServer(name="a", url="http://127.0.0.1:9/mcp"),
        DeclaredMcpServer(name="a", url="http://[::1:9/mcp"),
        DeclaredMcpServer(name="a", url="http://"),
    ],
    ids=["words", "no UTF-8", "nobody", "no address", "no host"],
)
async def test_what_is_no_server_is_a_problem_and_no_hindrance(declared: DeclaredMcpServer) -> None:
    source = McpToolSource(declared, max_output_bytes=MAX_BYTES)
    await source.open()
    assert source.status().problem is not None
    assert source.tools() == ()
    await source.aclose()


@pytest.mark.parametrize(
    ("stated", "name"), [("echo", "s_echo"), ("a b/c.d", "s_a_b_c_d"), ("é", "s__"), ("x" * 62, "s_" + "x" * 62)]
)
def test_names_are_made_fit(stated: str, name: str) -> None:
    assert public_name("s", stated) == name


def test_long_names_stay_apart() -> None:
    first, second = (public_name("server", "x" * 100 + end) for end in "ab")
    assert first != second
    assert len(first) == len(second) == MAX_NAME
