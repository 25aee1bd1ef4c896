"""The tools that answers can call: the gateway's own, and behind them those of the catalogue."""

from collections.abc import Mapping
from typing import Any

from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.ports.tool_source import CallContext, Tool, ToolOutput


class AnswerTools:
    """What is `own` is in no agent's list and in nobody's catalogue: it is given to an answer that can use it."""

    def __init__(self, own: ToolCatalogue, catalogue: ToolCatalogue) -> None:
        self._own = own
        self._catalogue = catalogue

    def find(self, name: str) -> Tool | None:
        return self._own.find(name) or self._catalogue.find(name)

    def fault(self, name: str, arguments: object) -> str | None:
        """As `ToolCatalogue.fault` does."""
        return self._holder(name).fault(name, arguments)

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        """As `ToolCatalogue.call` does."""
        return await self._holder(name).call(name, arguments, context)

    def _holder(self, name: str) -> ToolCatalogue:
        return self._catalogue if self._own.find(name) is None else self._own
