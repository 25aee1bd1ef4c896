"""Server-Sent Events to one reader, with bounds: what a reader does not take stays in the log, not in memory.

One write for each batch of events, through the server's own `send`: the framework's layers see the head of the response
and not every token. A reader that takes nothing for too long is cut, and may resume.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontdesk.conversation.feed import AnswerReader
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.thread_log import Event

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_KEEP_ALIVE = b": keep-alive\n\n"
_KEEP_ALIVE_SECONDS = 15.0
SERVER_SEND = "frontdesk.send"
SERVER_ABORT = "frontdesk.abort"
SERVER_DRAIN = "frontdesk.drain"


class Encoder(Protocol):
    def encode(self, events: Sequence[Event]) -> bytes: ...

    def end(self) -> bytes:
        """What closes the stream when the answer has ended."""
        ...


class OpenStreams:
    """All streams of this process and the one task that looks after them. `patience` is in seconds."""

    def __init__(self, *, measurements: Measurements, patience: float) -> None:
        self._measurements = measurements
        self._patience = patience
        self._streams: set[EventStream] = set()
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._streams)

    async def open(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def add(self, stream: "EventStream") -> None:
        self._streams.add(stream)
        self._measurements.stream_opened()

    def remove(self, stream: "EventStream") -> None:
        self._streams.discard(stream)
        self._measurements.stream_closed()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        interval = min(5.0, self._patience / 4)
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for stream in tuple(self._streams):
                if stream.blocked_since is not None and now - stream.blocked_since > self._patience:
                    self._measurements.stream_cut()
                    stream.cut()
                elif stream.blocked_since is None and now - stream.wrote_at >= _KEEP_ALIVE_SECONDS:
                    stream.reader.nudge()


class EventStream(Response):
    """`blocked_since` is the loop's time at which a write began that has not been taken."""

    def __init__(
        self, reader: AnswerReader, encoder: Encoder, streams: OpenStreams, *, headers: dict[str, str] | None = None
    ) -> None:
        self.reader = reader
        self.blocked_since: float | None = None
        self.wrote_at = 0.0
        self.background = None
        self.status_code = 200
        self._encoder = encoder
        self._streams = streams
        self._extra_headers = headers or {}
        self._pump: asyncio.Task[None] | None = None
        self._abort: Callable[[], None] = _keep
        self._drain: Callable[[], Awaitable[None]] = _go_on
        self._was_cut = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extra = [(name.lower().encode(), value.encode()) for name, value in self._extra_headers.items()]
        leaving = asyncio.create_task(self._watch_for_leaving(receive))
        self._pump = asyncio.current_task()
        self._abort = scope.get(SERVER_ABORT, self._abort)
        self._drain = scope.get(SERVER_DRAIN, self._drain)
        self._streams.add(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *extra]})
            await self._write_all(scope.get(SERVER_SEND, send), leaving)
        except asyncio.CancelledError:
            if not self._was_cut or self._pump is None:
                raise
            self._pump.uncancel()
        finally:
            self._streams.remove(self)
            self.reader.close()
            leaving.cancel()

    def cut(self) -> None:
        """End a stream whose reader takes nothing: the connection is reset, so its buffers are freed."""
        self._was_cut = True
        self._abort()
        if self._pump is not None:
            self._pump.cancel()

    async def _watch_for_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.reader.nudge()

    async def _write_all(self, send: Send, leaving: asyncio.Task[None]) -> None:
        reader, encoder, time = self.reader, self._encoder, asyncio.get_running_loop().time
        while not reader.ended:
            events = await reader.next()
            if leaving.done():
                return
            body = encoder.encode(events)
            if reader.ended:
                body += encoder.end()
            elif not body:
                body = b"" if events else _KEEP_ALIVE
            if body:
                self.blocked_since = self.wrote_at = time()
                await send({"type": "http.response.body", "body": body, "more_body": not reader.ended})
                del events, body  # nothing more is held for a reader than what it is being sent
                await self._drain()
                self.blocked_since = None


def _keep() -> None:
    """The server gave no way to reset a connection."""


async def _go_on() -> None:
    """The server gave no way to wait for the reader; then the next write does."""
