"""A load of raw HTTP requests that costs less to make than to answer: closed, or open at a rate that nobody's answers
slow down.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

LENGTH = re.compile(rb"content-length: (\d+)\r\n")
LAST_CHUNK = b"0\r\n\r\n"
TICK_SECONDS = 0.005


@dataclass
class Tally:
    """Seconds until an answer was whole, by its status; 0 for connections that were lost with a request on them."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    sent: int = 0
    unsent: int = 0
    without_retry_after: int = 0

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    @property
    def statuses(self) -> Counter[int]:
        return Counter({status: len(taken) for status, taken in self.seconds.items()})


class _Connection(asyncio.Protocol):
    """One request at a time; `idle` takes the connection back after each answer."""

    def __init__(self, tally: Tally, idle: list["_Connection"]) -> None:
        self._tally = tally
        self._idle = idle
        self._begun = 0.0
        self._answer = b""
        self._answered: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, *, answered: asyncio.Future[None] | None = None) -> None:
        self._answered = answered
        self._answer, self._begun = b"", perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, blank, body = self._answer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = LENGTH.search(head + b"\r\n")
        whole = body.endswith(LAST_CHUNK) if length is None else len(body) >= int(length[1])
        if not whole:
            return
        status = int(head[9:12])
        self._tally.without_retry_after += status in {429, 503} and b"\r\nretry-after: " not in head
        self._end(status)
        self._idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  as asyncio calls it
        if self._begun:
            self._end(0)
        elif self in self._idle:
            self._idle.remove(self)

    def _end(self, status: int) -> None:
        self._tally.add(status, perf_counter() - self._begun)
        self._begun = 0.0
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)


class Load:
    """`requests` are whole ones, bodies and all; they are sent in turn. `most` connections are open at once."""

    def __init__(self, port: int, requests: Iterator[bytes], *, most: int = 1_000) -> None:
        self.tally = Tally()
        self._port = port
        self._requests = requests
        self._most = most
        self._opened: list[_Connection] = []
        self._idle: list[_Connection] = []
        self._opening: set[asyncio.Task[None]] = set()

    async def closed(self, *, workers: int, seconds: float) -> Tally:
        """Each worker sends its next request when the last one is answered."""
        until = perf_counter() + seconds

        async def work() -> None:
            while perf_counter() < until:
                answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                await self._send(answered=answered)
                await answered

        await asyncio.gather(*(work() for _ in range(workers)))
        return self._taken()

    async def open(self, *, rate: float, seconds: float) -> Tally:
        """`rate` requests a second, whatever comes of them; it takes no longer than `seconds`."""
        begun, due = perf_counter(), 0
        while (now := perf_counter() - begun) < seconds:
            while due < now * rate:
                due += 1
                self._send_now()
            await asyncio.sleep(TICK_SECONDS)
        return self._taken()

    async def aclose(self) -> None:
        await asyncio.gather(*self._opening)
        for connection in self._opened:
            connection.transport.abort()

    def _taken(self) -> Tally:
        """What was seen by now; what is still under way counts for what comes after."""
        tally = Tally(dict(self.tally.seconds), self.tally.sent, self.tally.unsent, self.tally.without_retry_after)
        self.tally.seconds = {}
        self.tally.sent = self.tally.unsent = self.tally.without_retry_after = 0
        return tally

    def _send_now(self) -> None:
        if self._idle:
            self.tally.sent += 1
            self._idle.pop().ask(next(self._requests))
        elif len(self._opened) + len(self._opening) < self._most:
            task = asyncio.create_task(self._send())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self.tally.unsent += 1

    async def _send(self, *, answered: asyncio.Future[None] | None = None) -> None:
        if self._idle:
            connection = self._idle.pop()
        else:
            made = lambda: _Connection(self.tally, self._idle)  # noqa: E731  a factory
            _, connection = await asyncio.get_running_loop().create_connection(made, "127.0.0.1", self._port)
            self._opened.append(connection)
        self.tally.sent += 1
        connection.ask(next(self._requests), answered=answered)
