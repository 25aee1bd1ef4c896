"""The outermost layer: gives each request its id, measures it, logs it, and is the last boundary for failures."""

import re
from collections.abc import Callable
from time import perf_counter

import structlog
from opentelemetry import trace
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontdesk.errors import FrontdeskError
from frontdesk.http.admission import PLACE, Place
from frontdesk.http.problems import render
from frontdesk.kit.ids import new_id
from frontdesk.observability.measurements import Measurements

REFUSAL = "frontdesk.refusal"  # in a request's scope, where its surface tells failures in words of its own
Refusal = Callable[[FrontdeskError], Response]
_logger = structlog.get_logger(__name__)
_tracer = trace.get_tracer(__name__)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SERVER_ERROR = 500
_POLICY = b"content-security-policy"
_UNFRAMED = [(_POLICY, b"frame-ancestors 'none'"), (b"x-frame-options", b"DENY")]


class Edge:
    def __init__(self, app: ASGIApp, *, measurements: Measurements) -> None:
        self._app = app
        self._measurements = measurements

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._measurements)
        scope["request_id"] = exchange.request_id
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        with _tracer.start_as_current_span("request", attributes={"request.id": exchange.request_id}):
            try:
                await self._app(scope, receive, exchange.send)
            except Exception:  # the request's boundary: whatever it is, the client gets a problem and not its text
                _logger.exception("request broke", route=_route(scope))
                if exchange.started:
                    raise
                await _told(scope, exchange.request_id)(scope, receive, exchange.send)
            finally:
                exchange.leave_place()


class _Exchange:
    __slots__ = ("_begun", "_measurements", "_scope", "_send", "request_id", "started")

    def __init__(self, scope: Scope, send: Send, measurements: Measurements) -> None:
        self._scope = scope
        self._send = send
        self._measurements = measurements
        self._begun = perf_counter()
        self.started = False
        self.request_id = _given_id(scope) or new_id()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.leave_place()
            self._note(message["status"])
            given = message.get("headers", ())
            headers = [
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"no-referrer"),
            ]
            if not any(name == _POLICY for name, _ in given):  # a page that may be framed has a policy of its own
                headers += _UNFRAMED
            message = {**message, "headers": [*given, *headers]}
        await self._send(message)

    def leave_place(self) -> None:
        """Once it is answered: a stream that is open holds none."""
        place: Place | None = self._scope.get(PLACE)
        if place is not None:
            place.leave()

    def _note(self, status: int) -> None:
        seconds = perf_counter() - self._begun
        route = _route(self._scope)
        method = self._scope["method"]
        self._measurements.request(method=method, route=route, status=status, seconds=seconds)
        level = "error" if status >= _SERVER_ERROR else "info"
        getattr(_logger, level)(
            "request", method=method, route=route, status=status, milliseconds=round(seconds * 1000, 1)
        )


def _told(scope: Scope, request_id: str) -> Response:
    """In the words of the surface that broke."""
    refusal: Refusal | None = scope.get(REFUSAL)
    error = FrontdeskError()
    return render(error, request_id, path=scope["path"]) if refusal is None else refusal(error)


def _route(scope: Scope) -> str:
    """Not the path, which may hold somebody's token."""
    return getattr(scope.get("route"), "path", "unmatched")


def _given_id(scope: Scope) -> str | None:
    """The caller's own id for the request, if it is harmless."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode() if _REQUEST_ID.fullmatch(value) else None
    return None
