"""Keeps one MCP server connected: starts it or calls on it again, with growing pauses, for as long as it is wanted."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from random import uniform
from typing import Any

import httpx2
import structlog
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream, fail_after
from mcp import ClientSession, MCPError, StdioServerParameters, stdio_client
from mcp.client.session import IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.types import CONNECTION_CLOSED, METHOD_NOT_FOUND, Implementation, ToolListChangedNotification

from frontdesk.adapters.tool_source.mcp_tools import StatementError
from frontdesk.agents.tools.declarations import DeclaredMcpServer
from frontdesk.ports.tool_source import ToolCallError

CONNECT_SECONDS = 10.0
LIST_SECONDS = 20.0
PING_SECONDS = 20.0
PING_ANSWER_SECONDS = 10.0
RELIST_PAUSE_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.25
LAST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 30.0
CLOSE_SECONDS = 8.0
MAX_PAGES = 50
MAX_DETAIL = 500
_READ_SECONDS = 300.0
_FAILURES = (
    OSError,
    RuntimeError,
    ValueError,
    MCPError,
    httpx2.HTTPError,
    httpx2.StreamError,
    httpx2.InvalidURL,
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    # What a server says may also trip the package up.
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
)

_logger = structlog.get_logger(__name__)


class McpConnection:
    """Speaks the protocol's versions that have a handshake, to 2025-11-25. `take` gets every list, in a thread.

    The server's answers are handed on as they are: the package would check them against schemas that the server itself
    states, in time that the server determines.
    """

    def __init__(self, declared: DeclaredMcpServer, take: Callable[[list[Any]], None]) -> None:
        self._declared = declared
        self._take = take
        self._dispatcher: _Dispatcher | None = None
        self._wake = asyncio.Event()
        self._changed = False
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = "it has not been reached"

    async def open(self) -> None:
        """Returns when the tools are known, or the first try has failed."""
        self._task = asyncio.create_task(self._stay_connected())
        await self._settled.wait()

    async def aclose(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        _, waiting = await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        for one in waiting:
            one.cancel()
            await asyncio.wait({one})

    async def call(self, params: dict[str, Any], *, patience: float) -> dict[str, Any]:
        """The result of `tools/call`. Raises `ToolCallError`; a call that is given up is cancelled at the server."""
        dispatcher = self._dispatcher
        if dispatcher is None:
            detail = f"The server {self._declared.name} is not connected"
            raise ToolCallError("backend_unreachable", detail, was_made=False)
        try:
            async with asyncio.timeout(patience):
                return await dispatcher.send_raw_request("tools/call", params)
        except TimeoutError as error:
            raise ToolCallError(
                "backend_timeout", f"The tool took longer than {patience:g} s", was_made=True
            ) from error
        except MCPError as error:
            self._wake.set()
            if error.code == CONNECTION_CLOSED:
                detail = f"The server {self._declared.name} broke the connection off"
                raise ToolCallError("backend_unreachable", detail, was_made=True) from error
            raise ToolCallError("tool_failed", error.message[:MAX_DETAIL], was_made=True) from error

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = loop.time()
            with self._failures_told():
                async with self._connected() as dispatcher:
                    await self._attend(dispatcher)
            if loop.time() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(uniform(pause / 2, pause))  # noqa: S311  no secret
            pause = min(pause * 2, LAST_PAUSE_SECONDS)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["_Dispatcher"]:
        async with _transport(self._declared) as (read, write):
            dispatcher = _Dispatcher(read, write, ended=self._wake.set)
            client = Implementation(name="frontdesk", version="1")
            async with ClientSession(dispatcher=dispatcher, message_handler=self._hear, client_info=client) as session:
                with fail_after(CONNECT_SECONDS):
                    await session.initialize()
                yield dispatcher

    async def _attend(self, dispatcher: "_Dispatcher") -> None:
        """Lists the tools whenever they change, and looks whether the server is there. Ends by raising."""
        self._changed = True
        while True:
            self._wake.clear()
            if dispatcher.has_ended:
                raise ConnectionError("the connection ended")
            if self._changed:
                self._changed = False
                with fail_after(LIST_SECONDS):
                    stated = await _list_tools(dispatcher)
                await asyncio.to_thread(self._take, stated)
                self._dispatcher, self.problem = dispatcher, None
                self._settled.set()
                await asyncio.sleep(RELIST_PAUSE_SECONDS)
            else:
                await _ping(dispatcher)
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _hear(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed = True
            self._wake.set()

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        """The connection is over inside: what ended it becomes the problem that operators are told."""
        problem = "the connection ended"
        try:
            yield
        except* _FAILURES as failures:
            problem = _described(failures)
        finally:
            self._dispatcher = None
            self._settled.set()
        if problem != self.problem:
            _logger.warning("an MCP server is not connected", server=self._declared.name, reason=problem)
        self.problem = problem


class _Dispatcher(JSONRPCDispatcher):
    """Tells when the connection ends, which the package keeps to itself until the next request."""

    def __init__(self, read: Any, write: Any, *, ended: Callable[[], None]) -> None:
        super().__init__(read, write)
        self._tell = ended
        self.has_ended = False

    async def run(self, *arguments: Any, **named: Any) -> None:
        try:
            await super().run(*arguments, **named)
        finally:
            self.has_ended = True
            self._tell()


def _transport(declared: DeclaredMcpServer) -> AbstractAsyncContextManager[Any]:
    if declared.command is not None:
        parameters = StdioServerParameters(command=declared.command, args=list(declared.args), env=dict(declared.env))
        return stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr)
    return _http_transport(declared.url or "")


@asynccontextmanager
async def _http_transport(url: str) -> AsyncIterator[Any]:
    patience = httpx2.Timeout(CONNECT_SECONDS, read=_READ_SECONDS)
    async with (
        httpx2.AsyncClient(timeout=patience, trust_env=False) as client,
        streamable_http_client(url, http_client=client) as streams,
    ):
        yield streams


async def _list_tools(dispatcher: _Dispatcher) -> list[Any]:
    stated: list[Any] = []
    cursor = None
    for _ in range(MAX_PAGES):
        page = await dispatcher.send_raw_request("tools/list", None if cursor is None else {"cursor": cursor})
        tools = page.get("tools")
        if not isinstance(tools, list):
            raise StatementError("it answers tools/list with no list")
        stated += tools
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str):
            break
    return stated


async def _ping(dispatcher: _Dispatcher) -> None:
    try:
        with fail_after(PING_ANSWER_SECONDS):
            await dispatcher.send_raw_request("ping", None)
    except MCPError as error:
        if error.code != METHOD_NOT_FOUND:
            raise


def _described(failures: BaseExceptionGroup[BaseException]) -> str:
    first: BaseException = failures
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return (str(first) or type(first).__name__)[:MAX_DETAIL]
