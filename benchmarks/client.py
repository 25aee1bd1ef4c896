"""The load client: raw HTTP/1.1 on asyncio protocols, which parses only what the figures need.

Tokens are counted by looking for their text, so the cost is per read and not per token. Chunk framing can cut a
token anywhere; what may still belong to a cut token is held back for the next read.
"""

import asyncio
import re
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from benchmarks.programs import HOST, BenchmarkError

TOKEN = b'"content":"t'
STAMP_START = b"@"
STAMP = re.compile(rb"@(\d+)[^\d]")
FRAMING = re.compile(rb"\r\n[1-9a-fA-F][0-9a-fA-F]*\r\n")
END = b"\r\n0\r\n\r\n"
HELD = 48


@dataclass(slots=True)
class Answer:
    """Times are monotonic nanoseconds; `first` is the first content token's arrival, 0 while there is none."""

    status: int = 0
    tokens: int = 0
    asked: int = 0
    first: int = 0
    ended: int = 0
    body: bytes = b""

    @property
    def first_token_ms(self) -> float:
        return (self.first - self.asked) / 1e6

    @property
    def total_ms(self) -> float:
        return (self.ended - self.asked) / 1e6


@dataclass(slots=True)
class Recorder:
    """Takes arrivals while it is open: how many tokens, and how long after their sending (nanoseconds)."""

    open: bool = False
    tokens: int = 0
    delays: "array[int]" = field(default_factory=lambda: array("q"))


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time. With a recorder, tokens must carry their time of sending."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder = recorder
        self._held = b""
        self._in_body = False
        self._remaining = -1
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Answer] | None = None
        self.answer = Answer()

    @classmethod
    async def open(cls, port: int, recorder: Recorder | None = None) -> "Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(recorder), HOST, port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done and not self._done.done():
            self._done.set_exception(BenchmarkError(f"the connection was closed early: {exc} {self._held[-200:]!r}"))
            # Whoever waits gets it; a stream that nobody waits for may end unseen.
            self._done.exception()

    async def ask(self, request: bytes) -> Answer:
        return await self.begin(request)

    def begin(self, request: bytes) -> asyncio.Future[Answer]:
        """Sends; the answer so far is in `answer`, the whole one in the future."""
        assert self._transport is not None
        self._held, self._in_body, self._remaining = b"", False, -1
        self._done = asyncio.get_running_loop().create_future()
        self.answer = Answer(asked=time.monotonic_ns())
        self._transport.write(request)
        return self._done

    def close(self) -> None:
        """Leaves at once; what is under way is given up without an error."""
        if self._done is not None:
            self._done.cancel()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self._in_body:
            self._held += data
            end = self._held.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self._head(end)
        if self._remaining >= 0:
            self._plain(now, data)
        else:
            self._stream(now, self._held + data if self._held else data)

    def _head(self, end: int) -> bytes:
        head, body = self._held[:end].lower(), self._held[end + 2 :]
        self.answer.status = int(head[9:12])
        length = re.search(rb"content-length: *(\d+)", head)
        if length:
            self._remaining, body = int(length[1]), body[2:]
        elif self.answer.status == 204:
            self._remaining, body = 0, b""
        self._in_body, self._held = True, b""
        return body

    def _plain(self, now: int, data: bytes) -> None:
        self.answer.body += data
        self._remaining -= len(data)
        if self._remaining <= 0:
            self._finish(now)

    def _stream(self, now: int, data: bytes) -> None:
        ended = data.endswith(END)
        text = FRAMING.sub(b"", data)
        counted = self._count_stamped(now, text) if self._recorder else self._count(now, text)
        if ended:
            self.answer.body = text[-400:] if self.answer.status != 200 else b""
            self._finish(now)
        else:
            self._held = text[max(counted, len(text) - HELD) :]

    def _count(self, now: int, text: bytes) -> int:
        tokens = text.count(TOKEN)
        if not tokens:
            return 0
        if not self.answer.first:
            self.answer.first = now
        self.answer.tokens += tokens
        return text.rfind(TOKEN) + len(TOKEN)

    def _count_stamped(self, now: int, text: bytes) -> int:
        stamps = STAMP.findall(text)
        recorder = self._recorder
        if not stamps or recorder is None:
            return 0
        if not self.answer.first:
            self.answer.first = now
        self.answer.tokens += len(stamps)
        if recorder.open:
            recorder.tokens += len(stamps)
            recorder.delays.extend([now - int(stamp) for stamp in stamps])
        last = text.rfind(STAMP_START)
        return last + 1 if STAMP.match(text, last) else last

    def _finish(self, now: int) -> None:
        self.answer.ended = now
        assert self._done is not None
        if self.answer.status >= 300:
            self._done.set_exception(BenchmarkError(f"status {self.answer.status}: {self.answer.body[-400:]!r}"))
        else:
            self._done.set_result(self.answer)


async def ask_all(port: int | Sequence[int], requests: Sequence[bytes], *, concurrency: int) -> list[Answer]:
    """Every request once, over as many keep-alive connections as `concurrency` says; answers in order of ending.

    The connections take the ports in turns.
    """
    ports = [port] if isinstance(port, int) else port
    waiting: Iterator[bytes] = iter(requests)
    answers: list[Answer] = []

    async def work(number: int) -> None:
        connection = await Connection.open(ports[number % len(ports)])
        try:
            for request in waiting:
                answers.append(await connection.ask(request))  # noqa: PERF401  the iterator is shared by the workers
        finally:
            connection.close()

    async with asyncio.TaskGroup() as group:
        for number in range(min(concurrency, len(requests))):
            group.create_task(work(number))
    return answers
