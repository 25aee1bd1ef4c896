"""The load client's sockets: raw RFC 6455 on asyncio protocols, which parses only what the figures need.

Tokens are counted by looking for their text. A message that a read has cut is held back for the next one.
"""

import asyncio
import json
import os
import time
from typing import cast

from benchmarks.client import STAMP, STAMP_START, Recorder
from benchmarks.programs import HOST, BenchmarkError

TOKEN = b'"token":"t'
FINAL = b'"is_final":true'
HELD = 64
MESSAGE = json.dumps({"type": "user_message", "content": "How long is the coast?"}).encode()


def masked(payload: bytes) -> bytes:
    """A client's text message of less than 126 bytes."""
    mask = os.urandom(4)
    return b"\x81" + bytes([0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class SocketConnection(asyncio.Protocol):
    """One socket; one answer at a time. With a recorder, tokens must carry their time of sending."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        self._held = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None
        self.tokens = 0

    @classmethod
    async def open(cls, port: int, session: str, *, token: str, recorder: Recorder | None = None) -> "SocketConnection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(recorder), HOST, port)
        head = [
            f"GET /ws/{session} HTTP/1.1",
            f"Host: {HOST}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            f"Authorization: Bearer {token}",
        ]
        connection.write("\r\n".join([*head, "", ""]).encode())
        await connection.opened
        return connection

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def ask(self) -> "asyncio.Future[int]":
        """The number of tokens of the whole answer."""
        self.tokens, self._done = 0, asyncio.get_running_loop().create_future()
        self.write(masked(MESSAGE))
        return self._done

    def close(self) -> None:
        if self._done is not None:
            self._done.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self.opened, self._done):
            if waiting is not None and not waiting.done():
                waiting.set_exception(BenchmarkError(f"the socket was closed early: {exc} {self._held[-200:]!r}"))
                waiting.exception()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self._held + data
        if not self.opened.done():
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._held = head
                return
            if b" 101 " not in head:
                self.opened.set_exception(BenchmarkError(f"no socket: {head[:200]!r}"))
                return
            self.opened.set_result(None)
        counted = self._count_stamped(now, data) if self._recorder else self._count(data)
        if FINAL in data and self._done is not None and not self._done.done():
            self._done.set_result(self.tokens)
            counted = len(data)
        elif b'"type":"error"' in data and self._done is not None:
            self._done.set_exception(BenchmarkError(f"an error: {data[-200:]!r}"))
        self._held = data[max(counted, len(data) - HELD) :]

    def _count(self, data: bytes) -> int:
        tokens = data.count(TOKEN)
        self.tokens += tokens
        return data.rfind(TOKEN) + len(TOKEN) if tokens else 0

    def _count_stamped(self, now: int, data: bytes) -> int:
        stamps, recorder = STAMP.findall(data), self._recorder
        if not stamps or recorder is None:
            return 0
        self.tokens += len(stamps)
        if recorder.open:
            recorder.tokens += len(stamps)
            recorder.delays.extend([now - int(stamp) for stamp in stamps])
        last = data.rfind(STAMP_START)
        return last + 1 if STAMP.match(data, last) else last
