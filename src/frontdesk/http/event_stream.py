"""Server-Sent Events to one reader, with bounds: what a reader does not take stays in the log, not in memory.

A batch of events is written in the callback that brings it, straight to the reader's connection: no task is woken for a
token. A reader that takes nothing for too long is cut, and may resume.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import randint
from typing import Generic, Protocol, TypeVar

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontdesk.errors import UnavailableError
from frontdesk.http.revocations import HOLDER, Revocations
from frontdesk.identity.holders import Holder
from frontdesk.observability.measurements import Measurements

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_KEEP_ALIVE = b": keep-alive\n\n"
_KEEP_ALIVE_SECONDS = 15.0
_RETRY_MILLISECONDS = (200, 3000)  # how long readers wait that are sent away, so that they do not come back together
SERVER_WIRE = "frontdesk.wire"
_logger = structlog.get_logger(__name__)


E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)
E_contra = TypeVar("E_contra", contravariant=True)


class Reader(Protocol[E_co]):
    """What a stream is made of: `take` and `on_ready` never wait, and `look_around` may."""

    @property
    def ended(self) -> bool: ...

    @property
    def more(self) -> bool:
        """Whether there is something to take now."""
        ...

    def take(self) -> Sequence[E_co]: ...

    def on_ready(self, ready: Callable[[], None]) -> None:
        """Have `ready` called whenever there may be something to take, or a reason to look around."""
        ...

    async def look_around(self) -> None:
        """Nothing is there to take: see whether that is so elsewhere. Raises `UnavailableError`."""
        ...

    def close(self) -> None: ...


class Encoder(Protocol[E_contra]):
    def encode(self, events: Sequence[E_contra]) -> bytes: ...

    def end(self) -> bytes:
        """What closes the stream when its reader has ended."""
        ...


class Wire(Protocol):
    """The connection under a response that has begun: the server's extension of the scope, under `SERVER_WIRE`."""

    @property
    def paused(self) -> bool:
        """Whether the reader is behind, and must be waited for."""
        ...

    @property
    def lost(self) -> bool: ...

    def write(self, body: bytes) -> None: ...

    def abort(self) -> None:
        """Close the connection without an end of the body. The reader gets what was sent before."""
        ...

    def reset(self) -> None:
        """Close it and throw away what the reader has not taken, so that what is buffered for it is freed."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when the reader has caught up, and when it is lost."""
        ...


class OpenStream(Protocol):
    """A response that is being written. Times are the loop's. One that `is_endless` goes on for as long as its client
    wants.
    """

    is_endless: bool
    blocked_since: float | None
    """Since when the reader has not taken what was written for it."""
    wrote_at: float

    @property
    def holder(self) -> Holder | None: ...

    def wake(self) -> None:
        """Look around, and show that the stream is alive if it has long been silent."""
        ...

    def send_away(self) -> None:
        """End it: its reader is to come again elsewhere."""
        ...

    def cut(self) -> None:
        """End it, since its reader takes nothing."""
        ...

    def revoke(self) -> None:
        """As `Held` has it."""
        ...

    def readmit(self, holder: Holder) -> None:
        """As `Held` has it."""
        ...


class OpenStreams:
    """All streams of this process and the one task that looks after them. `patience` is in seconds."""

    def __init__(self, revocations: Revocations, *, measurements: Measurements, patience: float) -> None:
        self._revocations = revocations
        self._measurements = measurements
        self._patience = patience
        self._streams: set[OpenStream] = set()
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._streams)

    async def open(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def send_away(self, *, only_endless: bool = False) -> None:
        """End streams without their readers' end: their clients return, each at a moment of its own, elsewhere."""
        for stream in tuple(self._streams):
            if stream.is_endless or not only_endless:
                stream.send_away()

    def add(self, stream: OpenStream) -> None:
        self._streams.add(stream)
        self._revocations.add(stream)
        self._measurements.stream_opened()

    def remove(self, stream: OpenStream) -> None:
        self._streams.discard(stream)
        self._revocations.remove(stream)
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
                    stream.wake()


def _nobody_listens() -> None:
    """The stream has ended."""


def holder_of(scope: Scope, *, is_endless: bool = False) -> Holder | None:
    """With what a request was admitted. What ends by itself may outlast its token; what is endless may not."""
    holder: Holder | None = scope.get(HOLDER)
    return holder if holder is None or is_endless else holder.outlasting()


class EventStream(Response, Generic[E]):
    """`blocked_since` is the loop's time since when the reader has not taken what was written for it. One that
    `is_endless` goes on for as long as its client wants.

    Needs a server that gives its `Wire`.
    """

    def __init__(
        self,
        reader: Reader[E],
        encoder: Encoder[E],
        streams: OpenStreams,
        *,
        headers: dict[str, str] | None = None,
        is_endless: bool = False,
    ) -> None:
        self.is_endless = is_endless
        self.holder: Holder | None = None
        self.blocked_since: float | None = None
        self.wrote_at = 0.0
        self.background = None
        self.status_code = 200
        self._reader = reader
        self._encoder = encoder
        self._streams = streams
        self._extra_headers = headers or {}
        self._time = asyncio.get_running_loop().time
        self._woken = asyncio.Event()
        self._is_sent_away = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  it reads no more
        extra = [(name.lower().encode(), value.encode()) for name, value in self._extra_headers.items()]
        self._wire: Wire = scope[SERVER_WIRE]
        self.holder = holder_of(scope, is_endless=self.is_endless)
        self._streams.add(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, *extra]})
            self._wire.watch(self._on_change)
            self._reader.on_ready(self._on_change)
            await self._run()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams.remove(self)
            self._reader.close()
            self._reader.on_ready(_nobody_listens)  # or the two would keep each other for the garbage collector

    def wake(self) -> None:
        """Look around, and show that the stream is alive if it has long been silent."""
        self._woken.set()

    def send_away(self) -> None:
        self._is_sent_away = True
        if not self._wire.lost:
            self._wire.write(b"retry: %d\n\n" % randint(*_RETRY_MILLISECONDS))  # noqa: S311  no secret
        self._woken.set()

    def cut(self) -> None:
        """End a stream whose reader takes nothing."""
        self._wire.reset()

    def revoke(self) -> None:
        """What its reader has not taken is not theirs any more either."""
        if self._wire.paused:
            self._wire.reset()
        self._is_sent_away = True
        self._woken.set()

    def readmit(self, holder: Holder) -> None:
        if self.holder is not None and not self.holder.may_use_as(holder):
            self.send_away()

    async def _run(self) -> None:
        """Until the answer or the reader ends. It is woken when the callbacks find nothing to write."""
        self.wrote_at = self._time()
        while True:
            if not self._pump() and not self._wire.paused:
                try:
                    await self._reader.look_around()
                except UnavailableError:  # it has begun, so that its reader can only be told to come again
                    self.send_away()
                if not self._pump() and self._time() - self.wrote_at >= _KEEP_ALIVE_SECONDS:
                    self._write(_KEEP_ALIVE)
            if self._reader.ended or self._wire.lost or self._is_sent_away:
                return
            await self._woken.wait()
            self._woken.clear()

    def _on_change(self) -> None:
        """The log has something, or the reader has caught up or is lost."""
        if self._wire.paused:
            return
        self.blocked_since = None
        try:
            wrote = self._pump()
        except Exception:  # the socket pump's boundary: a reader's trouble is not the writer's
            _logger.exception("stream broke")
            self._wire.abort()
            return
        if not wrote or self._reader.ended:
            self._woken.set()

    def _pump(self) -> bool:
        """Write what is there, as long as the reader takes it; whether there was anything."""
        reader, wire, wrote = self._reader, self._wire, False
        while not (reader.ended or wire.paused or wire.lost or self._is_sent_away):
            events = reader.take()
            body = self._encoder.encode(events)
            if reader.ended:
                body += self._encoder.end()
            if body:
                self._write(body)
                wrote = True
            if not reader.more:
                break
        return wrote

    def _write(self, body: bytes) -> None:
        self._wire.write(body)
        self.wrote_at = self._time()
        if self._wire.paused:
            self.blocked_since = self.wrote_at
