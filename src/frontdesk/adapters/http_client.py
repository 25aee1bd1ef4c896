"""HTTP/1.1 to one origin, for what is called often or streams: what arrives is handed on in the socket's own callback.

No task, no future and no queue stand between a read and its reader, which is what a token costs elsewhere. Finished
connections are kept for the next call. It knows one origin and follows nothing: no redirect, no proxy of the
environment, no cookies, no compression.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

IDLE_SECONDS = 15.0
HEAD_BYTES = 65_536
# A server's last HTTP chunk often comes in a read of its own, just after the end of what it says.
GOODBYE_SECONDS = 0.1
_FIRST_STATUS = 200  # what is below announces a response and is none


class HttpError(Exception):
    """A call that broke. `kind` is `connect`, `reset` (the connection ended too early) or `bad_response`."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class BodyReader(Protocol):
    def feed(self, data: bytes) -> None:
        """What one read brought of the body. It must raise nothing."""
        ...

    def end(self, error: HttpError | None) -> None:
        """The body ended, well or with an error; nothing follows."""
        ...


class HttpClient:
    """Calls to paths below `base_url`. `connect_timeout` is in seconds, as is `idle_timeout`, for which a finished
    connection is kept. To be used within one event loop.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        connect_timeout: float,
        idle_timeout: float = IDLE_SECONDS,
    ) -> None:
        url = urlsplit(base_url)
        self._host = url.hostname or ""
        self._ssl = ssl.create_default_context() if url.scheme == "https" else None
        self._port = url.port or (443 if self._ssl else 80)
        self._path = url.path.rstrip("/")
        given = {"Host": url.netloc.rpartition("@")[2], **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._lines = len(given) + 2
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._idle: list[_Connection] = []
        self._connections: set[_Connection] = set()

    async def send(self, method: str, path: str, body: bytes | None, *, headers: Mapping[str, str]) -> "Response":
        """The response, once its head is there. Raises `HttpError`, and `ValueError` for what would be more than one
        line in the head. Cancelling it closes the connection.
        """
        given = {**headers, "Content-Length": str(len(body))} if body is not None else headers
        fields = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}{fields}\r\n"
        if not head.count("\r") == head.count("\n") == self._lines + len(given):
            raise ValueError("A line of the request's head is more than one")
        connection = await self._connected()
        try:
            return await connection.ask(head.encode() + (body or b""))
        except BaseException:
            connection.abort()
            raise

    async def aclose(self) -> None:
        closing = [connection.closed for connection in self._connections]
        for connection in tuple(self._connections):
            connection.abort()
        if closing:
            await asyncio.wait(closing)

    async def _connected(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.wake():
                return connection
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(self._connection, self._host, self._port, ssl=self._ssl)
        except (OSError, ValueError) as error:  # a name that cannot be one is a ValueError
            raise HttpError("connect") from error
        return connection

    def _connection(self) -> "_Connection":
        return _Connection(self._idle, self._connections, idle_timeout=self._idle_timeout)


class Response:
    """`fields` are the head's, with lower-case names, and `headers` the last of each. Its body goes to one reader; what
    came earlier, at once.
    """

    __slots__ = ("_connection", "_early", "_ended", "_reader", "fields", "headers", "status")

    def __init__(self, connection: "_Connection", status: int, fields: list[tuple[str, str]]) -> None:
        self.status = status
        self.fields = fields
        self.headers = dict(fields)
        self._connection = connection
        self._reader: BodyReader | None = None
        self._early: list[bytes] = []
        self._ended: tuple[HttpError | None] | None = None

    def read(self, reader: BodyReader) -> None:
        self._reader = reader
        if self._early:
            reader.feed(b"".join(self._early))
            self._early.clear()
        if self._ended is not None:
            reader.end(*self._ended)

    def hold(self) -> None:
        """Read no more for now, so that the sender has to wait."""
        self._connection.hold()

    def go_on(self) -> None:
        self._connection.go_on()

    def leave(self, *, at_once: bool) -> None:
        """No more is wanted. A connection whose response is whole is kept; any other is closed, `at_once` or in a
        moment in which its end may still come.
        """
        self._reader = None
        self._early.clear()
        self._connection.leave(at_once=at_once)

    def feed(self, data: bytes) -> None:
        if self._reader is None:
            self._early.append(data)
        else:
            self._reader.feed(data)

    def end(self, error: HttpError | None) -> None:
        self._ended = (error,)
        if self._reader is not None:
            self._reader.end(error)


class _Connection(asyncio.Protocol):
    """One socket, one call at a time."""

    def __init__(self, idle: "list[_Connection]", all_of_them: "set[_Connection]", *, idle_timeout: float) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._idle = idle
        self._all = all_of_them
        self._idle_timeout = idle_timeout
        self._parser = httptools.HttpResponseParser(self)
        self._asked: asyncio.Future[Response] | None = None
        self._response: Response | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pieces: list[bytes] = []
        self._fields: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._whole = False
        self._reusable = False
        self._spoiled = False
        self._left = False
        self._held = False

    def ask(self, request: bytes) -> "asyncio.Future[Response]":
        self._asked = self._loop.create_future()
        self._transport.write(request)
        return self._asked

    def wake(self) -> bool:
        """From idling to work; False when it has died meanwhile."""
        self._stop_timer()
        self._response, self._whole, self._left = None, False, False
        return not self._transport.is_closing()

    def leave(self, *, at_once: bool) -> None:
        self._left = True
        if self._whole:
            self._rest()
        elif at_once:
            self.abort()
        else:
            self._timer = self._loop.call_later(GOODBYE_SECONDS, self.abort)

    def hold(self) -> None:
        if not self._held and not self._transport.is_closing():
            self._held = True
            self._transport.pause_reading()

    def go_on(self) -> None:
        if self._held and not self._transport.is_closing():
            self._held = False
            self._transport.resume_reading()

    def abort(self) -> None:
        self._stop_timer()
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._all.discard(self)
        if self in self._idle:
            self._idle.remove(self)
        framed = {"content-length", "transfer-encoding"}
        by_end = exc is None and self._response is not None and not framed & self._response.headers.keys()
        self._finish(None if by_end else HttpError("reset"))
        self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._deliver()
            self._finish(HttpError("bad_response"))
            self.abort()
            return
        if self._response is None:
            self._head_bytes += len(data)
            if self._asked is None or self._head_bytes > HEAD_BYTES:
                self._finish(HttpError("bad_response"))
                self.abort()
            return
        self._deliver()
        if self._whole:
            self._finish(None)

    def on_message_begin(self) -> None:
        self._spoiled = self._whole  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        fields, self._fields, self._head_bytes = self._fields, [], 0
        status = self._parser.get_status_code()
        if status < _FIRST_STATUS or self._asked is None or self._spoiled:
            return
        self._response = Response(self, status, fields)
        if not self._asked.done():
            self._asked.set_result(self._response)

    def on_body(self, body: bytes) -> None:
        if not self._spoiled:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self._response is not None and not self._spoiled:
            self._whole = True
            self._reusable = self._parser.should_keep_alive()

    def _deliver(self) -> None:
        if self._pieces:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            if self._response is not None and not self._left:
                self._response.feed(data)

    def _finish(self, error: HttpError | None) -> None:
        """The call's end, told once."""
        asked, self._asked = self._asked, None
        if self._response is None:
            if asked is not None and not asked.done():
                asked.set_exception(error or HttpError("reset"))
        elif asked is not None and not self._left:
            self._response.end(error)
        elif self._left and self._whole:
            self._rest()

    def _rest(self) -> None:
        self._stop_timer()
        self.go_on()
        self._response = None
        if self._spoiled or not self._reusable or self._transport.is_closing():
            self._transport.abort()
            return
        self._timer = self._loop.call_later(self._idle_timeout, self.abort)
        self._idle.append(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
