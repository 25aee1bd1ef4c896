"""Tools that a test offers to agents, with what was done through them written down."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from frontdesk.ports.tool_source import CallContext, RunsAt, Tool, ToolOutput

Perform = Callable[[Mapping[str, Any]], Awaitable[ToolOutput]]


@dataclass
class OfferedTools:
    """`effects` are the idempotency keys of the calls that were begun, in order."""

    offered: dict[str, tuple[Tool, Perform]] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)

    def offer(self, name: str, perform: Perform | None = None, **fields: Any) -> None:
        """A tool that needs a number `a`; without `perform` it echoes its arguments."""
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
        tool = Tool(name=name, description=f"The tool {name}", parameters=schema, **fields)
        self.offered[name] = (tool, perform or _echo)

    def offer_client(self, name: str, **fields: Any) -> None:
        self.offer(name, runs_at=RunsAt.client, **fields)

    def find(self, name: str) -> Tool | None:
        return self.offered[name][0] if name in self.offered else None

    def fault(self, _name: str, arguments: object) -> str | None:
        valid = isinstance(arguments, dict) and isinstance(arguments.get("a"), int)
        return None if valid else "/a: a number is needed"

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        self.effects.append(context.idempotency_key)
        return await self.offered[name][1](arguments)


async def _echo(arguments: Mapping[str, Any]) -> ToolOutput:
    await asyncio.sleep(0)
    return ToolOutput(content=f"got {arguments['a']}")
