"""Every source of tools over a real back end, for the tests that all of them must pass.

Each has the tools `echo(text)`, `fail()`, `hang()` and `large(number)`, under names that begin with `prefix`.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.http import HttpToolSource
from frontdesk.adapters.tool_source.mcp import McpToolSource
from frontdesk.adapters.tool_source.openapi import OpenApiToolSource
from frontdesk.adapters.tool_source.python import PythonToolSource
from frontdesk.agents.tools.catalogue_file import parse_tools_file
from frontdesk.agents.tools.declarations import DeclaredFunction, DeclaredMcpServer, DeclaredOpenApi
from frontdesk.ports.tool_source import CallContext, ToolOutput, ToolSource
from harness.ports import lasting_port
from harness.processes import SOURCE, Process

TESTS = Path(__file__).parents[1]
PATHS = {"PYTHONPATH": f"{SOURCE}:{TESTS}"}
MCP_PORTS = range(26_300, 26_400)
MAX_BYTES = 100_000
# Long enough for a busy machine to answer, and waited out by the tests of what never answers.
PATIENCE = 5.0
CONTEXT = CallContext(idempotency_key="key")
DECLARED = """
defaults: {timeout_seconds: 3}
tools:
  - {name: echo, description: Echo, http: {method: POST, path: /echo},
     parameters: {type: object, properties: {text: {type: string}}, required: [text]}}
  - {name: fail, description: Fail, http: {method: POST, path: /status/500},
     parameters: {type: object}}
  - {name: hang, description: Hang, http: {method: POST, path: /hang},
     parameters: {type: object}}
  - {name: large, description: Large, http: {method: GET, path: "/large/{number}"},
     parameters: {type: object, properties: {number: {type: integer}}, required: [number]}}
"""


class BackEndStub:
    """A running stub. `requests` are what it was sent, as it came."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def requests(self, key: str) -> list[dict[str, Any]]:
        """Those whose Idempotency-Key is `key`."""
        return [one for one in await asyncio.to_thread(self._all) if ["idempotency-key", key] in one["headers"]]

    def keys(self) -> list[str]:
        """The Idempotency-Key of each request that has one."""
        return [value for one in self._all() for name, value in one["headers"] if name == "idempotency-key"]

    async def lines(self, session_id: str) -> list[str]:
        """The request lines of what came for a session."""
        return [one["line"] for one in await self.of_session(session_id)]

    async def counts(self) -> Counter[str]:
        """How many requests have come for each session."""
        headers = (header for one in await asyncio.to_thread(self._all) for header in one["headers"])
        return Counter(value for name, value in headers if name == "x-agent-session-id")

    async def of_session(self, session_id: str) -> list[dict[str, Any]]:
        return [
            one for one in await asyncio.to_thread(self._all) if ["x-agent-session-id", session_id] in one["headers"]
        ]

    def _all(self) -> list[dict[str, Any]]:
        with urlopen(f"{self.url}/stub/requests", timeout=10) as response:
            records: list[dict[str, Any]] = json.load(response)
        return [
            record | {"headers": [[name.lower(), value] for name, value in record["headers"]]} for record in records
        ]


@dataclass
class Sourced:
    source: ToolSource
    prefix: str = ""
    failing: dict[str, Any] = field(default_factory=dict)

    async def call(self, name: str, **arguments: Any) -> ToolOutput:
        return await self.source.call(self.prefix + name, arguments, CONTEXT)


@pytest.fixture(scope="session")
def back_end_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackEndStub]:
    log = tmp_path_factory.mktemp("back_end_stub") / "log"
    with Process("harness.back_end_stub", "0", log=log, environment=PATHS) as process:
        yield BackEndStub(process.ready_line()["url"])


@pytest.fixture(scope="session")
def mcp_http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = lasting_port(MCP_PORTS)
    log = tmp_path_factory.mktemp("mcp_server") / "log"
    with Process("harness.mcp_server", str(port), log=log, environment=PATHS) as process:
        process.await_ready(lambda: "Uvicorn running" in process.output(), seconds=30)
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.fixture(params=["http", "openapi", "mcp_stdio", "mcp_http", "python"])
async def sourced(request: pytest.FixtureRequest) -> AsyncIterator[Sourced]:
    """A source that is open, with its back end."""
    made = _MAKERS[request.param](request)
    await made.source.open()
    yield made
    await made.source.aclose()


def stdio_server(module: str = "mcp_server", **more: Any) -> DeclaredMcpServer:
    arguments = [str(TESTS / "harness" / f"{module}.py"), "stdio"]
    given = {"name": "stub", "command": sys.executable, "args": arguments, "timeout": PATIENCE} | more
    return DeclaredMcpServer(**given)


async def until(condition: Callable[[], Any], *, seconds: float = 60) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.02)


def _http(request: pytest.FixtureRequest) -> Sourced:
    stub: BackEndStub = request.getfixturevalue("back_end_stub")
    file = parse_tools_file(DECLARED, name="tools.yaml")
    return Sourced(HttpToolSource(file.tools, BackEnd(stub.url), max_response_bytes=MAX_BYTES))


def _openapi(request: pytest.FixtureRequest) -> Sourced:
    stub: BackEndStub = request.getfixturevalue("back_end_stub")
    declared = DeclaredOpenApi(path="/openapi.json", timeout=PATIENCE)
    source = OpenApiToolSource(declared, BackEnd(stub.url), max_response_bytes=MAX_BYTES)
    return Sourced(source, failing={"number": 500})


def _mcp_stdio(_request: pytest.FixtureRequest) -> Sourced:
    return Sourced(McpToolSource(stdio_server(), max_output_bytes=MAX_BYTES), prefix="stub_")


def _mcp_http(request: pytest.FixtureRequest) -> Sourced:
    declared = DeclaredMcpServer(name="stub", url=request.getfixturevalue("mcp_http_server"), timeout=PATIENCE)
    return Sourced(McpToolSource(declared, max_output_bytes=MAX_BYTES), prefix="stub_")


def _python(_request: pytest.FixtureRequest) -> Sourced:
    names = ("echo", "fail", "hang", "large")
    declared = [DeclaredFunction(function=f"harness.tool_functions:{name}", timeout=PATIENCE) for name in names]
    return Sourced(PythonToolSource(declared, max_output_bytes=MAX_BYTES))


_MAKERS: dict[str, Callable[[pytest.FixtureRequest], Sourced]] = {
    "http": _http,
    "openapi": _openapi,
    "mcp_stdio": _mcp_stdio,
    "mcp_http": _mcp_http,
    "python": _python,
}
