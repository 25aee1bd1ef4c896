"""Where tools come from and how they are called: a back end over HTTP, an MCP server, a Python function.

Owns the source's own wire: addresses, connections, processes, schemas as the source states them. It refuses to decide:
whether a call may be made, is approved, was made before or is too long, and what is written down of it, is the business
of `agents.tools`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import msgspec

from frontdesk.errors import ProviderError


class RunsAt(StrEnum):
    """`server`: a source calls it. `client`: whoever talks with the agent does it, and delivers the result."""

    server = "server"
    client = "client"


class HttpRoute(msgspec.Struct, frozen=True, kw_only=True):
    """How a back end's tool is reached: `path` is a template, such as `/api/v1/documents/{document_id}/versions`."""

    method: str
    path: str
    streaming: bool = False


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a tool before it is called.

    `parameters` is the JSON Schema of its arguments, an object. `timeout` is in seconds. One that is `retry_safe` may
    be called again when nobody knows whether it was; any other is called at most once. `route` is there for HTTP's.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    runs_at: RunsAt = RunsAt.server
    requires_approval: bool = False
    retry_safe: bool = False
    timeout: float = 30.0
    route: HttpRoute | None = None


class CallContext(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf a tool is called. `headers` are the few of the caller's that may go along, named in lower case.

    `idempotency_key` is the same whenever the same call is made again. `thread_id` is that of the answer which calls.
    """

    idempotency_key: str
    session_id: str | None = None
    thread_id: str | None = None
    headers: Mapping[str, str] = {}


class ToolOutput(msgspec.Struct, frozen=True, kw_only=True):
    """`content` is what the model is given. `is_error` when the tool itself says that it failed; `status` is HTTP's."""

    content: str
    is_error: bool = False
    status: int | None = None


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that a source states and nobody can call. `reason` is for operators."""

    name: str
    reason: str


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a source stands, for operators. `problem` is None while it can be called."""

    name: str
    problem: str | None = None
    left_out: Sequence[LeftOut] = ()


class Forwarded(Protocol):
    """A back end's answer as it comes. Nothing more is read from the back end than is taken from `body`."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Named in lower case, without those of the hop and without `set-cookie`."""
        ...

    def body(self) -> AsyncIterator[bytes]:
        """The body in pieces of any size, once. Raises `ToolCallError` when it breaks off or falls silent."""
        ...


class ToolCallError(ProviderError):
    """A call that brought no output. `kind` is stable, `detail` is fit for the model and the client.

    `was_made` is False only when the tool certainly has not been called.
    """

    def __init__(self, kind: str, detail: str, *, was_made: bool) -> None:
        super().__init__(detail)
        self.kind = kind
        self.was_made = was_made


class ToolSource(Protocol):
    def tools(self) -> Sequence[Tool]:
        """What the source has now, each name once: the same object until something changes, which may happen."""
        ...

    def status(self) -> SourceStatus: ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        """Call one of its tools, with arguments that its schema allows. Cancelling gives the call up.

        Raises `ToolCallError` with a kind of `unknown_tool`, `invalid_arguments` (those that a schema lets through and
        the wire can't carry), `backend_not_configured`, `backend_unreachable`, `backend_timeout`,
        `backend_response_too_large`, `backend_bad_response` or `tool_failed`.
        """
        ...

    async def open(self) -> None:
        """Raises `ConfigurationError` for what can never work, and nothing when the source is only away."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class ForwardingToolSource(ToolSource, Protocol):
    """A source whose tools have a `route`: its answers can be passed on whole, whatever they are and however large."""

    def forward(
        self, name: str, arguments: Mapping[str, Any], context: CallContext
    ) -> AbstractAsyncContextManager[Forwarded]:
        """Call a tool and hand on the answer. Leaving the context ends the exchange.

        Raises `ToolCallError` as `call` does, except that no status and no content is refused.
        """
        ...
