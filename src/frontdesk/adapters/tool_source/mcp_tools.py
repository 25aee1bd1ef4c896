"""What an MCP server states, turned into tools and outputs. Nothing that it says is believed before it is checked."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from time import monotonic
from typing import Any

import msgspec

from frontdesk.agents.tools.arguments import ArgumentCheck
from frontdesk.agents.tools.declarations import DeclaredMcpServer
from frontdesk.ports.tool_source import LeftOut, Tool, ToolCallError, ToolOutput

MAX_TOOLS = 500
MAX_SECONDS = 5.0
MAX_NAME = 64
MAX_STATED_NAME = 256
MAX_DESCRIPTION = 4_000
_DIGEST = 8


class StatementError(ValueError):
    """What is wrong with a server's statement, for operators."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """`stated_names` are the server's own, by ours."""

    tools: Sequence[Tool] = ()
    stated_names: Mapping[str, str] = {}
    left_out: Sequence[LeftOut] = ()


def read_listing(stated: Sequence[Any], declared: DeclaredMcpServer) -> Listing:
    """The server's tools that `declared` includes and that can be called, and why the others can't."""
    tools: dict[str, Tool] = {}
    stated_names: dict[str, str] = {}
    left_out = []
    deadline = monotonic() + MAX_SECONDS
    for one in stated:
        stated_name = one.get("name") if isinstance(one, dict) else None
        if isinstance(stated_name, str) and not any(fnmatchcase(stated_name, pattern) for pattern in declared.include):
            continue
        try:
            _require_time(deadline)
            tool = _tool(one, stated_name, declared)
            _require_room(tool.name, tools)
        except ValueError as error:
            left_out.append(LeftOut(name=str(stated_name)[:MAX_NAME], reason=str(error)))
        else:
            tools[tool.name] = tool
            stated_names[tool.name] = str(stated_name)
    return Listing(tools=tuple(tools.values()), stated_names=stated_names, left_out=tuple(left_out))


def public_name(server: str, stated_name: str) -> str:
    """`{server}_{tool}` in `[A-Za-z0-9_-]{1,64}`. What is cut off is told apart by a digest of the whole."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}_{stated_name}")
    if len(name) <= MAX_NAME:
        return name
    digest = sha256(stated_name.encode(errors="replace")).hexdigest()[:_DIGEST]
    return f"{name[: MAX_NAME - _DIGEST - 1]}_{digest}"


def read_output(result: Mapping[str, Any], max_bytes: int) -> ToolOutput:
    """The texts of a tool's result, or its structured content when it has none. Raises `ToolCallError`."""
    content = result.get("content")
    texts = [_text(one) for one in content] if isinstance(content, list) else []
    if not texts and result.get("structuredContent") is not None:
        texts = [msgspec.json.encode(result["structuredContent"]).decode()]
    text = "\n".join(texts)
    if len(text.encode(errors="replace")) > max_bytes:
        detail = f"The tool's output is larger than {max_bytes} bytes"
        raise ToolCallError("backend_response_too_large", detail, was_made=True)
    return ToolOutput(content=text, is_error=result.get("isError") is True)


def _require_time(deadline: float) -> None:
    if monotonic() > deadline:
        raise StatementError(f"checking the server's tools took longer than {MAX_SECONDS:g} s")


def _require_room(name: str, tools: Mapping[str, Tool]) -> None:
    if name in tools:
        raise StatementError("another of its tools has this name")
    if len(tools) >= MAX_TOOLS:
        raise StatementError(f"the server has more than {MAX_TOOLS} tools")


def _tool(one: Any, stated_name: Any, declared: DeclaredMcpServer) -> Tool:
    if not isinstance(stated_name, str) or not 0 < len(stated_name) <= MAX_STATED_NAME:
        raise StatementError("it has no name, or one that is too long")
    schema = one.get("inputSchema")
    if not isinstance(schema, dict):
        raise StatementError("inputSchema: it is not an object")
    try:
        ArgumentCheck(schema)
    except ValueError as error:
        raise StatementError(f"inputSchema: {error}") from error
    description = one.get("description")
    return Tool(
        name=public_name(declared.name, stated_name),
        description=description[:MAX_DESCRIPTION] if isinstance(description, str) else stated_name,
        parameters=schema,
        requires_approval=declared.requires_approval,
        retry_safe=declared.retry_safe,
        timeout=declared.timeout,
    )


def _text(block: Any) -> str:
    if not isinstance(block, dict):
        return ""
    if isinstance(text := block.get("text"), str):
        return text
    resource = block.get("resource")
    if isinstance(resource, dict) and isinstance(text := resource.get("text"), str):
        return text
    return f"[{block.get('type')}, not shown]"
