"""The server's protocol of a WebSocket, uvicorn's own, with what that leaves out: frames are written from callbacks,
what comes is bounded before it is parsed, and a peer that takes nothing does not hold the connection for ever.

RFC 6455 without extensions: compression would cost each socket more memory than all the rest of it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from uvicorn._types import WebSocketScope
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from frontdesk.errors import OverloadedError
from frontdesk.http.admission import ADMISSION, PLACE, Admission, Place
from frontdesk.http.reset import reset

SOCKET_WIRE = "frontdesk.socket"
LINGER_SECONDS = 5.0
_SLICE_BYTES = 4_096  # of what came, parsed before the messages in it are taken
_MOST_FRAGMENTS = 1_000
_RETRY_SECONDS = b"2"
# What uvicorn and websockets would log holds addresses with tickets in them, and headers with tokens.
_silent = logging.getLogger("frontdesk.silent")
_silent.setLevel(logging.CRITICAL + 1)


def text_frame(payload: bytes) -> bytes:
    """A whole text message of a server (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:  # noqa: PLR2004  the lengths of the RFC
        return b"\x81%c%b" % (size, payload)
    if size < 65_536:  # noqa: PLR2004
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


class SocketWire:
    """One socket's connection, as whoever serves it has it. `messages` are those that came and were not taken.

    Nothing more is read while one waits there, or while the peer is behind. Times are the loop's: `heard_at` of the
    last bytes, `partial_since` since when a message is coming.
    """

    __slots__ = ("_protocol", "changed", "heard_at", "messages", "on_shutdown", "partial_since")

    def __init__(self, protocol: "GatewaySocket") -> None:
        self._protocol = protocol
        self.messages: deque[str] = deque()
        self.changed: Callable[[], object] = _nobody_watches
        self.on_shutdown: Callable[[], None] | None = None
        self.heard_at = protocol.loop.time()
        self.partial_since: float | None = None

    @property
    def paused(self) -> bool:
        """Whether the peer is behind, and must be waited for."""
        return self._protocol.write_paused

    @property
    def lost(self) -> bool:
        """Whether nothing can be written any more."""
        return self._protocol.is_over

    def write(self, frames: bytes) -> None:
        if not self._protocol.is_over:
            self._protocol.transport.write(frames)

    def take_message(self) -> str:
        message = self.messages.popleft()
        if not self.messages:
            self._protocol.read_on()
        return message

    def ping(self) -> None:
        self._protocol.ping()

    def close(self, code: int, reason: str = "") -> None:
        """The closing handshake; a peer that does not take part in it is cut off after `LINGER_SECONDS`."""
        self._protocol.close(code, reason)

    def abort(self) -> None:
        """Close the connection. The peer gets what was sent before."""
        self._protocol.transport.abort()

    def reset(self) -> None:
        """Close it and throw away what the peer has not taken."""
        reset(self._protocol.transport)


class GatewaySocket(WebSocketsSansIOProtocol):
    """`config.ws_max_size` bounds a message. An application that has an `ADMISSION` decides by it what is begun."""

    def __init__(self, *, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        super().__init__(config, server_state, app_state)
        self.logger = _silent
        self.conn = ServerProtocol(max_size=config.ws_max_size, logger=_silent)
        self.write_paused = False
        self.wire = SocketWire(self)
        self._unread = b""
        self._is_reading = True

    @property
    def is_over(self) -> bool:
        return self.close_sent or self.disconnected or self.transport.is_closing()

    # What comes.

    def data_received(self, data: bytes) -> None:
        self.wire.heard_at = self.loop.time()
        if self.conn.parser_exc is not None:
            return
        self._unread = self._unread + data if self._unread else data
        self._parse()

    def read_on(self) -> None:
        """What came was taken: parse what came behind it, and let more come."""
        if self._unread:
            self.loop.call_soon(self._parse)
        else:
            self._set_reading()

    def handle_text(self, event: Frame) -> None:
        self.curr_msg_data_type = "text"
        self._begin_message(event)

    def handle_bytes(self, event: Frame) -> None:  # noqa: ARG002  as uvicorn calls it
        self.close(CloseCode.UNSUPPORTED_DATA, "Messages are JSON text")

    def handle_cont(self, event: Frame) -> None:
        self.frames.append(bytes(event.data))
        if len(self.frames) > _MOST_FRAGMENTS:
            self.close(CloseCode.MESSAGE_TOO_BIG, "The message has too many fragments")
        elif event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        data, self.frames = b"".join(self.frames), []
        if self.close_sent:
            return
        try:
            self.wire.messages.append(data.decode())
        except UnicodeDecodeError:
            self.close(CloseCode.INVALID_DATA, "The message is not UTF-8")
        else:
            self.wire.changed()

    def handle_ping(self) -> None:
        if not self.is_over:
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        """That it came is noted like everything that comes."""

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._leave_soon()

    def handle_parser_exception(self) -> None:
        """What else comes is thrown away for a while: closing on it would reset the connection, and lose the reason."""
        if not self.close_sent:
            self._flush()
            self.close_sent = True
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()
        self._unread = b""
        self.wire.messages.clear()
        self._leave_soon()
        self.wire.changed()

    # What goes.

    def ping(self) -> None:
        if not self.is_over and self.conn.state is OPEN:
            self.conn.send_ping(b"")
            self._flush()

    def close(self, code: int, reason: str) -> None:
        if self.is_over or self.conn.state is not OPEN:
            return
        self.conn.send_close(code, reason)
        self._flush()
        self.close_sent = True
        self.wire.messages.clear()
        self.read_on()  # to the peer's own close
        self._leave_soon()
        self.wire.changed()

    def shutdown(self) -> None:
        if self.wire.on_shutdown is not None:
            self.wire.on_shutdown()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_paused = True
        self._set_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.write_paused = False
        self._set_reading()
        self.wire.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.wire.messages.clear()
        super().connection_lost(exc)
        self.wire.changed()

    # The handshake.

    async def run_asgi(self) -> None:
        scope: Any = self.scope
        scope[SOCKET_WIRE] = self.wire
        if await self._is_admitted(scope):
            await super().run_asgi()
        else:
            await self._turn_away()

    async def _is_admitted(self, scope: WebSocketScope) -> bool:
        admission: Admission | None = self.app_state.get(ADMISSION)
        lane = None if admission is None else admission.lane(scope["path"])
        if lane is None:
            return True
        decided: asyncio.Future[bool] = self.loop.create_future()
        place: Place = lane.enter(partial(self._let_in, decided), partial(_set, decided, value=False))
        scope[PLACE] = place  # type: ignore[literal-required]  # an extension of the scope
        return await decided

    def _let_in(self, decided: "asyncio.Future[bool]") -> bool:
        if self.disconnected or decided.done():
            _set(decided, value=False)
            return False
        decided.set_result(True)
        return True

    async def _turn_away(self) -> None:
        if self.disconnected:
            return
        error = OverloadedError()
        headers = [(b"retry-after", _RETRY_SECONDS)]
        await self.send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "websocket.http.response.body", "body": error.detail.encode(), "more_body": False})

    def _begin_message(self, event: Frame) -> None:
        self.frames = [bytes(event.data)]
        if event.fin:
            self.send_receive_event_to_app()

    def _parse(self) -> None:
        while self._unread and not self.wire.messages and not self.disconnected and self.conn.parser_exc is None:
            piece, self._unread = self._unread[:_SLICE_BYTES], self._unread[_SLICE_BYTES:]
            super().data_received(piece)
        self._note_partial()
        self._set_reading()

    def _note_partial(self) -> None:
        is_partial = bool(self.frames) or len(self.conn.reader.buffer) > 0
        if not is_partial or not self.handshake_complete:
            self.wire.partial_since = None
        elif self.wire.partial_since is None:
            self.wire.partial_since = self.loop.time()

    def _set_reading(self) -> None:
        wanted = not (self.wire.messages or self._unread or self.write_paused)
        if wanted == self._is_reading or self.disconnected or self.transport.is_closing():
            return
        self._is_reading = wanted
        if wanted:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _flush(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))

    def _leave_soon(self) -> None:
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(LINGER_SECONDS, reset, self.transport)


def _set(decided: "asyncio.Future[bool]", *, value: bool) -> None:
    if not decided.done():
        decided.set_result(value)


def _nobody_watches() -> None:
    """Until someone does, what comes waits."""
