"""The HTTP server's protocol, uvicorn's own, with what that leaves out: a stream may write from a callback and reset
its connection, the head of a request is bounded in bytes and in time, and overload is turned away.

ASGI wants a task woken for each write, and has no way to reset: a reader that takes nothing would keep its buffers for
ever. An endless address or field would be collected in memory, and the loop be busy copying it.
"""

import asyncio
import struct
from collections.abc import Callable
from fcntl import ioctl
from functools import partial
from random import randrange
from termios import FIONREAD

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from frontdesk.errors import BadRequestError, FrontdeskError, HeadTooLargeError, OverloadedError
from frontdesk.http.admission import ADMISSION, PLACE, Admission
from frontdesk.http.event_stream import SERVER_WIRE
from frontdesk.http.openai_errors import PREFIX, speaks_openai
from frontdesk.http.problems import render
from frontdesk.http.reset import reset

HEAD_BYTES = 65_536
HEAD_SECONDS = 10.0
IDLE_SECONDS = 75.0  # longer than proxies keep one, 60 s as a rule, so that it is they who close it
LINGER_SECONDS = 2.0
_INT = struct.Struct("i")
_RETRY_SECONDS = 3  # spread, so that those who are turned away do not come back together


def _response(error: FrontdeskError, *, close: bool, path: str = "") -> bytes:
    response = render(error, None, path=path)
    fields = [
        *([b"connection: close"] if close else []),
        *(name + b": " + value for name, value in response.raw_headers),
    ]
    return b"\r\n".join([STATUS_LINE[error.status].rstrip(), *fields, b"", bytes(response.body)])


# By whether the connection is closed, and whether OpenAI's API was asked.
_OVERLOADED = {
    (close, bool(path)): [
        _response(OverloadedError(retry_after=1 + extra), close=close, path=path) for extra in range(_RETRY_SECONDS)
    ]
    for close in (True, False)
    for path in ("", PREFIX)
}


class ServerWire:
    """A connection under its responses, as `event_stream.Wire` has it."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: "GatewayProtocol") -> None:
        self._protocol = protocol

    @property
    def paused(self) -> bool:
        return self._protocol.flow.write_paused

    @property
    def lost(self) -> bool:
        return self._protocol.is_lost

    def write(self, body: bytes) -> None:
        """One chunk of the chunked coding."""
        self._protocol.transport.write(b"%x\r\n%b\r\n" % (len(body), body))

    def abort(self) -> None:
        self._protocol.transport.abort()

    def reset(self) -> None:
        reset(self._protocol.transport)

    def watch(self, changed: Callable[[], None]) -> None:
        self._protocol.changed = changed


class GatewayProtocol(HttpToolsProtocol):
    """A head may have `HEAD_BYTES` (and what comes with them in one read) and must be whole within `HEAD_SECONDS` to
    twice that; so must a body that nobody reads, after its answer. A connection is kept for `IDLE_SECONDS` between two
    requests, and then closed if none is coming: one timer sees to both, not one for each answer.

    An application that has an `ADMISSION` in its lifespan's state decides by it what is begun.
    """

    _in_head = True
    _head_bytes = 0
    _head_since: float | None = None
    _idle_since: float | None = None
    _timer: asyncio.TimerHandle | None = None
    _refused = False
    _is_last = False
    is_lost = False
    changed: Callable[[], None] | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if self._is_last:
            cycle.keep_alive = False
        admission: Admission | None = self.app_state.get(ADMISSION)
        lane = None if admission is None else admission.lane(cycle.scope["path"])
        if lane is None or cycle.scope["method"] == "HEAD":  # whose answers have no body, so not that of a refusal
            super()._start_asgi_task(cycle, app)
            return
        place = lane.enter(partial(self._begin, cycle, app), partial(self._turn_away, cycle))
        cycle.scope[PLACE] = place  # type: ignore[literal-required]  # an extension of the scope

    def _begin(self, cycle: RequestResponseCycle, app: ASGI3Application) -> bool:
        if cycle.disconnected:
            return False
        super()._start_asgi_task(cycle, app)
        return True

    def _turn_away(self, cycle: RequestResponseCycle) -> None:
        """Without a task. What still comes of the request's body is dropped where it is parsed."""
        if cycle.disconnected or self.transport.is_closing():
            return
        close = not cycle.keep_alive or cycle.waiting_for_100_continue
        cycle.response_started = cycle.response_complete = True
        answers = _OVERLOADED[close, speaks_openai(cycle.scope["path"])]
        self.transport.write(answers[randrange(_RETRY_SECONDS)])  # noqa: S311  no secret
        if close:
            self.transport.close()
        if self.pipeline:  # each would turn away the next one inside of this call
            self.loop.call_soon(self.on_response_complete)
        else:
            self.on_response_complete()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wire = ServerWire(self)
        self._head_since = self.loop.time()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._check_time)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        if self.changed is not None:
            self.changed()

    def handle_websocket_upgrade(self) -> None:
        """From here on the connection is another protocol's."""
        if self._timer is not None:
            self._timer.cancel()
        super().handle_websocket_upgrade()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.changed is not None:
            self.changed()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._idle_since = None
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
        self.scope[SERVER_WIRE] = self._wire  # type: ignore[literal-required]  # an extension of the scope

    def on_message_complete(self) -> None:
        self._in_head, self._head_since = True, None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete:
            self._idle_since = self.loop.time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn does it, but for the timer."""
        self.changed = None
        if not self._in_head and self.cycle.response_complete:
            self._head_since = self.loop.time()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    def shutdown(self) -> None:
        """A request that has come already is still answered, as the last one."""
        self._is_last = True
        cycle: RequestResponseCycle | None = self.cycle
        is_idle = cycle is None or cycle.response_complete
        if not (is_idle and self._has_unread()):
            super().shutdown()

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
        self.transport.write(_response(error, close=True))
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _check_time(self) -> None:
        now = self.loop.time()
        if self._head_since is not None and now - self._head_since >= HEAD_SECONDS:
            self.transport.abort()
            return
        if self._idle_since is not None and now - self._idle_since >= IDLE_SECONDS and not self._has_unread():
            self.transport.close()
            return
        self._timer = self.loop.call_later(HEAD_SECONDS, self._check_time)

    def _has_unread(self) -> bool:
        """Whether something has come that the loop has not read yet: closing on it would reset the connection."""
        if self.transport.is_closing():
            return False
        waiting = bytearray(_INT.size)
        ioctl(self.transport.get_extra_info("socket").fileno(), FIONREAD, waiting)
        return _INT.unpack(waiting) != (0,)
