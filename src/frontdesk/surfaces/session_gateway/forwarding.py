"""What passes between a caller and the back end: a few headers there, and the answer back as it comes."""

from contextlib import AsyncExitStack

import structlog
from anyio import CancelScope, sleep_forever
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontdesk.conversation.sessions.invoking import bad_arguments
from frontdesk.conversation.sessions.passage import Passage
from frontdesk.errors import (
    BackEndBadResponseError,
    BackEndNotConfiguredError,
    BackEndResponseTooLargeError,
    BackEndTimeoutError,
    BackEndUnreachableError,
    FrontdeskError,
    ToolFailedError,
    UnknownToolError,
)
from frontdesk.http.event_stream import SERVER_WIRE, Wire, holder_of
from frontdesk.http.revocations import Revocations
from frontdesk.http.services import services
from frontdesk.identity.holders import Holder
from frontdesk.ports.tool_source import ToolCallError

_FORWARDED = ("accept", "accept-language", "authorization", "traceparent")
_FOR_EVENTS = ("authorization",)
# Set by this server itself, or meant for all of its origin, which is not the back end's.
_KEPT_BACK = frozenset(
    {
        "alt-svc",
        "clear-site-data",
        "connection",
        "date",
        "nel",
        "origin-agent-cluster",
        "public-key-pins",
        "referrer-policy",
        "refresh",
        "report-to",
        "reporting-endpoints",
        "server",
        "service-worker-allowed",
        "strict-transport-security",
        "x-content-type-options",
        "x-request-id",
    }
)
_ERRORS: dict[str, type[FrontdeskError]] = {
    "backend_bad_response": BackEndBadResponseError,
    "backend_not_configured": BackEndNotConfiguredError,
    "backend_response_too_large": BackEndResponseTooLargeError,
    "backend_timeout": BackEndTimeoutError,
    "backend_unreachable": BackEndUnreachableError,
    "unknown_tool": UnknownToolError,
}
_logger = structlog.get_logger(__name__)


def headers_for_tools(request: Request) -> dict[str, str]:
    """The request's headers that a tool call takes along; of the cookies, those that the configuration names."""
    return _taken(request, _FORWARDED)


def headers_for_events(request: Request) -> dict[str, str]:
    """Those with which the back end is asked for events: who is asking, and nothing else."""
    return _taken(request, _FOR_EVENTS)


def told(error: ToolCallError) -> FrontdeskError:
    """The failure of a call, as callers are told of it."""
    if error.kind == "invalid_arguments":
        return bad_arguments(error.detail)
    return _ERRORS.get(error.kind, ToolFailedError)(error.detail)


def _taken(request: Request, names: tuple[str, ...]) -> dict[str, str]:
    taken = {name: ", ".join(values) for name in names if (values := request.headers.getlist(name))}
    permitted = services(request).settings.forwarded_cookies
    pairs = (pair.strip() for line in request.headers.getlist("cookie") for pair in line.split(";"))
    cookies = [pair for pair in pairs if pair.partition("=")[0].strip() in permitted and pair.isprintable()]
    return taken | ({"cookie": "; ".join(cookies)} if cookies else {})


class ForwardedResponse(Response):
    """Owns the exchange with the back end, which ends with it. A reader that leaves ends it, and one that is slow slows
    the back end down: no more is read than is taken. Needs a server that gives its `Wire`.
    """

    def __init__(self, passage: Passage, exchange: AsyncExitStack, revocations: Revocations) -> None:
        self.background = None
        self.holder: Holder | None = None
        self._revocations = revocations
        self.status_code = passage.status
        self._passage = passage
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI calls it
        self._wire: Wire = scope[SERVER_WIRE]
        wire = self._wire
        self.holder = holder_of(scope)
        headers = [
            (name.encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in self._passage.headers
            if name not in _KEPT_BACK and not name.startswith("access-control-")
        ]
        with CancelScope() as reading:
            wire.watch(lambda: reading.cancel() if wire.lost else None)
            if wire.lost:
                reading.cancel()
            self._revocations.add(self)
            try:
                async with self._exchange:
                    await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
                    async for piece in self._passage.body():
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            except ToolCallError as error:  # the head has left: only an end without an end can tell
                _logger.warning("a forwarded answer broke off", kind=error.kind)
                wire.abort()
                await sleep_forever()  # until it is lost
            finally:
                self._revocations.remove(self)

    def revoke(self) -> None:
        self._wire.reset()

    def readmit(self, holder: Holder) -> None:
        """The call was permitted when it was made."""
