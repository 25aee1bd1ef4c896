"""A TCP proxy that makes a network bad on purpose, in the test's own event loop."""

import asyncio
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

READ_BYTES = 65_536
SLICES_PER_SECOND = 20


@dataclass
class Faults:
    """What happens to bytes on their way; changed at run time, in force from the next bytes on.

    `latency` delays each read by seconds. `bytes_per_second` throttles, each connection and direction by itself.
    `reset_after` and `cut_after` end each connection with RST or FIN after that many bytes from the server.
    `half_open` forwards nothing more, ends included, and keeps the sockets. `refuse` resets new connections.
    """

    latency: float = 0
    bytes_per_second: int | None = None
    reset_after: int | None = None
    cut_after: int | None = None
    half_open: bool = False
    refuse: bool = False


class FaultProxy:
    """Forwards a port of its own to `host:port`. `faults` may be set at any time; leaving closes everything."""

    def __init__(self, host: str, port: int) -> None:
        self.faults = Faults()
        self.accepted = 0
        self._target = (host, port)
        self._links: set[asyncio.Task[None]] = set()
        self._opened = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for link in tuple(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def switch(self, faults: Faults) -> None:
        """Puts other faults in force; a connection that was half open goes on where it stopped."""
        self.faults = faults
        self._opened.set()
        self._opened = asyncio.Event()

    def lead_to(self, port: int) -> None:
        """Connections from now on go there."""
        self._target = (self._target[0], port)

    @property
    def open_connections(self) -> int:
        return len(self._links)

    def reset_all(self) -> None:
        """Resets every connection now."""
        for link in tuple(self._links):
            link.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            if not self.faults.refuse:
                await self._link(reader, writer)
        except asyncio.CancelledError:
            pass  # The server's own task: it ends here by `reset_all` or when the proxy closes.
        finally:
            self._links.discard(task)
            _reset(writer)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return
        try:
            async with asyncio.TaskGroup() as group:
                upward = group.create_task(self._pump(reader, far_writer, None))
                await self._pump(far_reader, writer, Tally())
                upward.cancel()
        finally:
            _reset(far_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tally: "Tally | None") -> None:
        try:
            while True:
                data = await reader.read(self._at_once())
                await self._delay(data)
                if tally is not None and await self._ends(data, writer, tally):
                    return
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            await self._delay(b"")
            _reset(writer)

    def _at_once(self) -> int:
        rate = self.faults.bytes_per_second
        return READ_BYTES if rate is None else max(1, rate // SLICES_PER_SECOND)

    async def _delay(self, data: bytes) -> None:
        while self.faults.half_open:
            await self._opened.wait()
        rate = self.faults.bytes_per_second
        wait = self.faults.latency + (len(data) / rate if rate else 0)
        if wait:
            await asyncio.sleep(wait)

    async def _ends(self, data: bytes, writer: asyncio.StreamWriter, tally: "Tally") -> bool:
        """Writes the last bytes and ends the connection, if this read reaches the limit."""
        limits = [limit for limit in (self.faults.reset_after, self.faults.cut_after) if limit is not None]
        if not limits or tally.sent + len(data) < min(limits):
            tally.sent += len(data)
            return False
        writer.write(data[: max(0, min(limits) - tally.sent)])
        await writer.drain()
        if self.faults.reset_after == min(limits):
            _reset(writer)
        else:
            writer.close()
        return True


@dataclass
class Tally:
    sent: int = 0


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
