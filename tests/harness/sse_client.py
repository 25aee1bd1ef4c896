"""A raw client for event streams: it keeps every byte, and can cut, resume and read slowly."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

READ_BYTES = 65_536


@dataclass
class Event:
    """One event as it came: `raw` are its very bytes, with the blank line."""

    raw: bytes
    id: str | None = None
    type: str | None = None
    data: str | None = None
    comment: bool = False


@dataclass
class SseStream:
    """An open response. `body` is every byte of the body so far, without HTTP's own chunk framing."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytearray = field(default_factory=bytearray)
    events: list[Event] = field(default_factory=list)
    ended: bool = False
    _parsed: int = 0
    _given: int = 0
    _wire: bytearray = field(default_factory=bytearray)
    _left: int | None = None

    @property
    def last_id(self) -> str | None:
        return next((event.id for event in reversed(self.events) if event.id is not None), None)

    @property
    def data(self) -> list[str]:
        return [event.data for event in self.events if event.data is not None]

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events as they come, to the end of the stream; goes on where an earlier loop stopped."""
        while True:
            while self._given < len(self.events):
                self._given += 1
                yield self.events[self._given - 1]
            if self.ended:
                return
            await self.read_some()

    async def read_all(self, *, seconds: float) -> list[Event]:
        """All events to the end of the stream."""
        async with asyncio.timeout(seconds):
            while not self.ended:
                await self.read_some()
        return self.events

    async def read_bytes(self, count: int, *, seconds: float) -> bytes:
        """Reads until the body has at least `count` bytes, or has ended."""
        async with asyncio.timeout(seconds):
            while len(self.body) < count and not self.ended:
                await self.read_some(min(READ_BYTES, count - len(self.body)))
        return bytes(self.body)

    async def read_some(self, most: int = READ_BYTES) -> None:
        """One read of the socket. `ended` tells a complete body; a broken one raises `ConnectionError`."""
        data = await self.reader.read(most)
        if data:
            self._wire += data
            self._unwrap()
            self._parse()
        elif "content-length" in self.headers or "transfer-encoding" in self.headers:
            raise ConnectionResetError("The response broke off")
        else:
            self.ended = True

    def cut(self) -> None:
        """Ends the connection at once; what was read stays."""
        self.writer.transport.abort()

    def _unwrap(self) -> None:
        if "transfer-encoding" not in self.headers:
            self.body += self._wire
            self._wire.clear()
            self.ended = len(self.body) >= int(self.headers.get("content-length", len(self.body) + 1))
            return
        while self._wire and not self.ended and self._unwrap_chunk():
            pass

    def _unwrap_chunk(self) -> bool:
        if self._left is None:
            line, found, rest = bytes(self._wire).partition(b"\r\n")
            if not found:
                return False
            self._left = int(line.split(b";")[0], 16) + 2
            self._wire = bytearray(rest)
            self.ended = self._left == len(b"\r\n")
            return not self.ended
        piece = self._wire[: self._left]
        del self._wire[: len(piece)]
        # The two bytes after a chunk are HTTP's; they may come in a read of their own.
        self.body += piece[: max(0, self._left - 2)]
        self._left = self._left - len(piece) or None
        return True

    def _parse(self) -> None:
        while (end := self.body.find(b"\n\n", self._parsed)) >= 0:
            self.events.append(_event(bytes(self.body[self._parsed : end + 2])))
            self._parsed = end + 2


def _event(raw: bytes) -> Event:
    event, data = Event(raw), []
    for line in raw.decode().rstrip("\n").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id":
            event.id = value
        elif name == "event":
            event.type = value
        elif not name:
            event.comment = True
    event.data = "\n".join(data) if data else None
    return event


@asynccontextmanager
async def open_sse(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    last_event_id: str | None = None,
    receive_buffer: int | None = None,
    seconds: float = 60,
) -> AsyncIterator[SseStream]:
    """Sends the request and reads the response's head. The stream is read only when the test asks for it.

    `last_event_id` resumes. `receive_buffer` bounds what the kernel and this client take in for a reader that is slow.
    The host is an IPv4 address or a name that has one.
    """
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setblocking(False)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port or 80))
            reader, writer = await asyncio.open_connection(sock=connection, limit=receive_buffer or READ_BYTES)
    except BaseException:
        connection.close()
        raise
    try:
        head = {"Host": parts.netloc, "Accept": "text/event-stream", **(headers or {})}
        if last_event_id is not None:
            head["Last-Event-ID"] = last_event_id
        if body:
            head["Content-Length"] = str(len(body))
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        async with asyncio.timeout(seconds):
            status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        named = (line.partition(":") for line in fields if line)
        answered = {name.lower(): value.strip() for name, _, value in named}
        yield SseStream(int(status.split()[1]), answered, reader, writer)
    finally:
        writer.transport.abort()
