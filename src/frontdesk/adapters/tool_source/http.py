"""Tools that are requests to the back end, as the catalogue's file describes them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from frontdesk.adapters.tool_source.answer_text import ACCEPT, read_output
from frontdesk.adapters.tool_source.back_end import BackEnd, BackEndResponse, request_headers
from frontdesk.adapters.tool_source.request_line import request_body, request_target
from frontdesk.agents.tools.declarations import DeclaredTool, HttpCall
from frontdesk.ports.tool_source import (
    CallContext,
    HttpRoute,
    RunsAt,
    SourceStatus,
    Tool,
    ToolCallError,
    ToolOutput,
)

ANY = "*/*"


class HttpToolSource:
    """Each tool is one request to the back end. `max_response_bytes` bounds what `call` takes, and not `forward`.

    Of a tool that the client performs it knows the description only.
    """

    def __init__(self, declared: Iterable[DeclaredTool], back_end: BackEnd, *, max_response_bytes: int) -> None:
        """The back end is closed with the source."""
        self._back_end = back_end
        self._max_response_bytes = max_response_bytes
        self.declare(declared)

    def declare(self, declared: Iterable[DeclaredTool]) -> None:
        """Have these tools from now on, and no others."""
        self._declared = {one.name: one for one in declared}
        self._tools = tuple(_described(one) for one in self._declared.values())

    def tools(self) -> Sequence[Tool]:
        return self._tools

    def status(self) -> SourceStatus:
        return SourceStatus(name="http", problem=None if self._back_end.configured else "API_BASE_URL is not set")

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        _, timeout = self._callable(name)
        try:
            async with asyncio.timeout(timeout), self._sent(name, arguments, context, accept=ACCEPT) as response:
                return await read_output(response, self._max_response_bytes)
        except TimeoutError as error:
            detail = f"The back end took longer than {timeout:g} s"
            raise ToolCallError("backend_timeout", detail, was_made=True) from error

    def forward(
        self, name: str, arguments: Mapping[str, Any], context: CallContext
    ) -> AbstractAsyncContextManager[BackEndResponse]:
        return self._sent(name, arguments, context, accept=ANY)

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        await self._back_end.aclose()

    def _callable(self, name: str) -> tuple[HttpCall, float]:
        """The request that a tool is, and its timeout."""
        declared = self._declared.get(name)
        if declared is None or declared.http is None:
            raise ToolCallError("unknown_tool", f"There is no tool {name!r} to call here", was_made=False)
        return declared.http, declared.timeout

    def _sent(
        self, name: str, arguments: Mapping[str, Any], context: CallContext, *, accept: str
    ) -> AbstractAsyncContextManager[BackEndResponse]:
        call, timeout = self._callable(name)
        target = request_target(call, arguments)
        body = request_body(call, arguments)
        headers = request_headers(context, accept=accept, has_body=body is not None)
        return self._back_end.send(call.method, target, headers=headers, body=body, patience=timeout)


def _described(declared: DeclaredTool) -> Tool:
    call = declared.http
    return Tool(
        name=declared.name,
        description=declared.description,
        parameters=declared.parameters,
        runs_at=RunsAt.client if call is None else RunsAt.server,
        requires_approval=declared.requires_approval,
        retry_safe=declared.retry_safe,
        timeout=declared.timeout,
        route=None if call is None else HttpRoute(method=call.method, path=call.path, streaming=call.stream),
    )
