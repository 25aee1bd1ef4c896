"""Tools of a server that speaks the Model Context Protocol, over its standard input and output or over HTTP."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from frontdesk.adapters.tool_source.mcp_connection import McpConnection
from frontdesk.adapters.tool_source.mcp_tools import Listing, read_listing, read_output
from frontdesk.agents.tools.declarations import DeclaredMcpServer
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import CallContext, SourceStatus, Tool, ToolCallError, ToolOutput

_logger = structlog.get_logger(__name__)


class McpToolSource:
    """One server. While it is away its tools stay known, and calls of them end at once.

    None of the caller's headers goes to it. A server that is run gets the few variables of the environment that a
    program needs, such as PATH and HOME, and those that its entry names.
    """

    def __init__(self, declared: DeclaredMcpServer, *, max_output_bytes: int) -> None:
        self._declared = declared
        self._max_output_bytes = max_output_bytes
        self._listing = Listing()
        self._connection = McpConnection(declared, self._take)

    def tools(self) -> Sequence[Tool]:
        return self._listing.tools

    def status(self) -> SourceStatus:
        return SourceStatus(
            name=f"mcp:{self._declared.name}", problem=self._connection.problem, left_out=self._listing.left_out
        )

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:  # noqa: ARG002  the port's
        stated_name = self._listing.stated_names.get(name)
        if stated_name is None:
            raise ToolCallError("unknown_tool", f"There is no tool {name!r}", was_made=False)
        params = {"name": stated_name, "arguments": dict(arguments)}
        result = await self._connection.call(params, patience=self._declared.timeout)
        return read_output(result, self._max_output_bytes)

    async def open(self) -> None:
        command = self._declared.command
        if command is not None and shutil.which(command) is None:
            raise ConfigurationError(
                f"CHAT_TOOLS_FILE: mcp: {self._declared.name}: command: there is no program {command!r}"
            )
        await self._connection.open()

    async def aclose(self) -> None:
        await self._connection.aclose()

    def _take(self, stated: list[Any]) -> None:
        listing = read_listing(stated, self._declared)
        if listing == self._listing:
            return
        for one in listing.left_out:
            if one not in self._listing.left_out:
                _logger.warning("a tool is left out", server=self._declared.name, tool=one.name, reason=one.reason)
        self._listing = listing
