"""What the catalogue's file says, once it is read: one record for each kind of entry."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

DEFAULT_TIMEOUT_SECONDS = 30.0


class HttpCall(Struct, frozen=True, kw_only=True):
    """Where each argument of a tool goes in a request: names in the request, by the argument's name.

    `path` is a template whose placeholders are keys of `path_arguments`' values. With `whole_body` that argument is the
    body; otherwise those in `body` are the members of an object.
    """

    method: str
    path: str
    path_arguments: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    body: Mapping[str, str] = {}
    whole_body: str | None = None
    stream: bool = False


class DeclaredTool(Struct, frozen=True, kw_only=True):
    """A tool that the file describes in full. Without `http` the client performs it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    http: HttpCall | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    retry_safe: bool = False
    requires_approval: bool = False


class DeclaredOpenApi(Struct, frozen=True, kw_only=True):
    """The back end's own description: a path below its address, or a file. Names in `include` may have `*`."""

    path: str | None = None
    file: str | None = None
    include: Sequence[str] = ("*",)
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    retry_safe: bool = False
    requires_approval: bool = False


class DeclaredMcpServer(Struct, frozen=True, kw_only=True):
    """A server of the Model Context Protocol: an address, or a command to run. `include` has the server's own names."""

    name: str
    url: str | None = None
    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] = {}
    include: Sequence[str] = ("*",)
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    retry_safe: bool = False
    requires_approval: bool = False


class DeclaredFunction(Struct, frozen=True, kw_only=True):
    """A Python function, `package.module:function`. It has its own name unless `name` is another."""

    function: str
    name: str | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    retry_safe: bool = False
    requires_approval: bool = False


class ToolsFile(Struct, frozen=True, kw_only=True):
    """`order` are the kinds of entries as the file has them: of two tools with one name the earlier kind's stays."""

    tools: Sequence[DeclaredTool] = ()
    openapi: DeclaredOpenApi | None = None
    mcp: Sequence[DeclaredMcpServer] = ()
    python: Sequence[DeclaredFunction] = ()
    order: Sequence[str] = ()
