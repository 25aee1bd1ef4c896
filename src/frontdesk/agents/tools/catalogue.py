"""All tools of all sources under one roof."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from msgspec.structs import replace

from frontdesk.agents.tools.arguments import ArgumentCheck
from frontdesk.ports.tool_source import (
    CallContext,
    Forwarded,
    ForwardingToolSource,
    LeftOut,
    RunsAt,
    SourceStatus,
    Tool,
    ToolCallError,
    ToolOutput,
    ToolSource,
)

_logger = structlog.get_logger(__name__)


class ToolCatalogue:
    """Names are unique: of two tools with one name the earlier source's stays, and the other is left out.

    What sources have may change at any time; the catalogue looks whenever it is asked. Owns its sources.
    """

    def __init__(self, sources: Sequence[ToolSource]) -> None:
        self._sources = tuple(sources)
        self._seen: tuple[Sequence[Tool], ...] = ()
        self._entries: dict[str, _Entry] = {}
        self._losers: dict[int, list[LeftOut]] = {}
        self._known_losers: dict[int, list[LeftOut]] = {}

    async def open(self) -> None:
        """Opens all sources at once. Raises `ConfigurationError`; then none stays open."""
        opened = await asyncio.gather(*(source.open() for source in self._sources), return_exceptions=True)
        if failures := [one for one in opened if isinstance(one, BaseException)]:
            await self.aclose()
            raise failures[0]

    async def aclose(self) -> None:
        await asyncio.gather(*(source.aclose() for source in self._sources))

    def list(self) -> Sequence[Tool]:
        return [entry.tool for entry in self._current().values()]

    def find(self, name: str) -> Tool | None:
        entry = self._current().get(name)
        return None if entry is None else entry.tool

    def status(self) -> Sequence[SourceStatus]:
        """How each source stands, and which of its tools nobody can call, for operators."""
        self._current()
        statuses = [source.status() for source in self._sources]
        return [
            replace(status, left_out=[*status.left_out, *self._losers.get(number, ())])
            for number, status in enumerate(statuses)
        ]

    def fault(self, name: str, arguments: Any) -> str | None:
        """What is wrong with the arguments, with the path of the failing value; None when nothing is.

        Raises `ToolCallError` with a kind of `unknown_tool`.
        """
        return self._get(name).check.fault(arguments)

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        """Check the arguments and call the tool. Raises `ToolCallError`, as `ToolSource.call` does.

        Arguments that the schema does not allow are `invalid_arguments`, and a tool that the client performs is
        `unknown_tool`: neither reaches the source.
        """
        return await self._checked(name, arguments).source.call(name, arguments, context)

    def forward(
        self, name: str, arguments: Mapping[str, Any], context: CallContext
    ) -> AbstractAsyncContextManager[Forwarded]:
        """The same for a tool that has a `route`, with its answer as it comes."""
        entry = self._checked(name, arguments)
        if entry.forwarding is None:
            raise ToolCallError("unknown_tool", f"The tool {name!r} has no route", was_made=False)
        return entry.forwarding.forward(name, arguments, context)

    def _checked(self, name: str, arguments: Mapping[str, Any]) -> "_Entry":
        entry = self._get(name)
        if entry.tool.runs_at is RunsAt.client:
            raise ToolCallError("unknown_tool", f"The tool {name!r} is the client's to perform", was_made=False)
        if (fault := entry.check.fault(arguments)) is not None:
            raise ToolCallError("invalid_arguments", fault, was_made=False)
        return entry

    def _get(self, name: str) -> "_Entry":
        entry = self._current().get(name)
        if entry is None:
            raise ToolCallError("unknown_tool", f"There is no tool {name[:100]!r}", was_made=False)
        return entry

    def _current(self) -> Mapping[str, "_Entry"]:
        seen = tuple(source.tools() for source in self._sources)
        if len(seen) != len(self._seen) or any(new is not old for new, old in zip(seen, self._seen, strict=True)):
            self._seen = seen
            self._gather()
        return self._entries

    def _gather(self) -> None:
        known = {id(entry.tool): entry for entry in self._entries.values()}
        entries: dict[str, _Entry] = {}
        self._known_losers, self._losers = self._losers, {}
        for number, (source, tools) in enumerate(zip(self._sources, self._seen, strict=True)):
            for tool in tools:
                if tool.name in entries:
                    self._lose(number, tool.name)
                else:
                    entries[tool.name] = known.get(id(tool)) or _Entry(tool, source)
        self._entries = entries

    def _lose(self, number: int, name: str) -> None:
        lost = LeftOut(name=name, reason="an earlier source has a tool of this name")
        self._losers.setdefault(number, []).append(lost)
        if lost not in self._known_losers.get(number, ()):
            self._warn(number, lost)

    def _warn(self, number: int, lost: LeftOut) -> None:
        _logger.warning(
            "a tool is left out", source=self._sources[number].status().name, tool=lost.name, reason=lost.reason
        )


class _Entry:
    """A tool, whose it is, and the check of its arguments, which is compiled when it is first needed."""

    def __init__(self, tool: Tool, source: ToolSource) -> None:
        self.tool = tool
        self.source = source
        self.forwarding = source if isinstance(source, ForwardingToolSource) else None
        self._check: ArgumentCheck | None = None

    @property
    def check(self) -> ArgumentCheck:
        if self._check is None:
            self._check = ArgumentCheck(self.tool.parameters)
        return self._check
