"""The HTTP server's protocol, uvicorn's own, with what that leaves out: a stream may write from a callback and reset
its connection, and the head of a request is bounded in bytes and in time.

ASGI wants a task woken for each write, and has no way to reset: a reader that takes nothing would keep its buffers for
ever. An endless address or field would be collected in memory, and the loop be busy copying it.
"""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from frontdesk.errors import BadRequestError, FrontdeskError, HeadTooLargeError
from frontdesk.http.event_stream import SERVER_WIRE
from frontdesk.http.problems import render

HEAD_BYTES = 65_536
HEAD_SECONDS = 10.0
LINGER_SECONDS = 2.0


class ServerWire:
    """One response's connection, as `event_stream.Wire` has it."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: "GatewayProtocol", cycle: RequestResponseCycle) -> None:
        self._protocol = protocol
        self._cycle = cycle

    @property
    def paused(self) -> bool:
        return self._protocol.flow.write_paused

    @property
    def lost(self) -> bool:
        return self._cycle.disconnected

    def write(self, body: bytes) -> None:
        """One chunk of the chunked coding."""
        self._cycle.transport.write(b"%x\r\n%b\r\n" % (len(body), body))

    def abort(self) -> None:
        self._cycle.transport.abort()

    def watch(self, changed: Callable[[], None]) -> None:
        self._protocol.changed = changed


class GatewayProtocol(HttpToolsProtocol):
    """A head may have `HEAD_BYTES` (and what comes with them in one read) and must be whole within `HEAD_SECONDS` to
    twice that.
    """

    _in_head = True
    _head_bytes = 0
    _head_since: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _refused = False
    changed: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._check_head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        if self.changed is not None:
            self.changed()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.changed is not None:
            self.changed()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_since is None:
                self._head_since = self.loop.time()
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES and not self._refused:
            self._refuse(HeadTooLargeError())

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequestError(msg))

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes, self._head_since = False, 0, None
        super().on_headers_complete()
        wire = ServerWire(self, self.cycle)
        self.scope[SERVER_WIRE] = wire  # type: ignore[literal-required]  # an extension of the scope

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.changed = None
        super().on_response_complete()

    def _refuse(self, error: FrontdeskError) -> None:
        """The last answer on a connection whose bytes cannot be read any further.

        What else comes is thrown away for a while: closing on it would reset the connection and lose the answer. While
        an earlier request is being answered there is no place for another answer, so that one stays the last.
        """
        self._refused = True
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body):
            cycle.keep_alive = False
            return
        response = render(error, None)
        fields = [b"connection: close", *(name + b": " + value for name, value in response.raw_headers)]
        head = b"\r\n".join([STATUS_LINE[error.status].rstrip(), *fields, b"", b""])
        self.transport.write(head + bytes(response.body))
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _check_head(self) -> None:
        now = self.loop.time()
        if self._head_since is not None and now - self._head_since >= HEAD_SECONDS:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._check_head)
