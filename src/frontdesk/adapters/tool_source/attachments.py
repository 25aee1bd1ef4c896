"""The tool with which an agent searches what its visitor has brought."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from frontdesk.errors import UnavailableError
from frontdesk.ports.tool_source import CallContext, SourceStatus, Tool, ToolCallError, ToolOutput
from frontdesk.retrieval.sources.documents import Documents
from frontdesk.retrieval.sources.models import SEARCH_TOOL

_MOST = 10
_USUAL = 5
_TOOL = Tool(
    name=SEARCH_TOOL,
    description="Searches the files and links that the visitor attached to this chat, by meaning and by words. Gives "
    "excerpts with labels; cite an excerpt by its label in brackets, such as [1.2].",
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 2000, "description": "What is sought"},
            "top_k": {"type": "integer", "minimum": 1, "maximum": _MOST, "description": "How many excerpts"},
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    retry_safe=True,
)


class AttachmentSearch:
    """Searches the call's own thread, whatever the arguments say."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._tools = (_TOOL,)

    def tools(self) -> Sequence[Tool]:
        return self._tools

    def status(self) -> SourceStatus:
        return SourceStatus(name="attachments")

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        del name
        if context.thread_id is None:
            raise ToolCallError("tool_failed", "There is no chat to search in", was_made=False)
        count = arguments.get("top_k", _USUAL)
        try:
            found = await self._documents.find(context.thread_id, arguments["query"], count=count)
        except UnavailableError as error:
            raise ToolCallError("tool_failed", error.detail, was_made=False) from error
        results = [
            {"label": chunk.label, **chunk.source(), "page": chunk.page, "content": chunk.content} for chunk in found
        ]
        return ToolOutput(content=msgspec.json.encode({"results": results}).decode())

    async def open(self) -> None:
        pass

    async def aclose(self) -> None:
        pass
