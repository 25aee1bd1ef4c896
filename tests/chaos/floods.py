"""Cheap ways to tire a server out (S15): it refuses what it must before reading it, and goes on answering."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from chaos.findings import Findings, percentile
from harness.server import Server
from harness.threads_client import LOST, ThreadsClient

LAG_SECONDS = 0.1
CPU_SECONDS = 0.1
IDLE = 0.4  # the share of the processor that the dribble and the probe may take meanwhile
ANSWER_SECONDS = 2.0
DRIBBLE_SECONDS = 0.2
HEAD_SECONDS = 20.0
GROWTH_BYTES = 32 * 1024 * 1024
CHUNK = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
GIGABYTE = 1 << 30


class _Probe:
    """Asks for the server's health again and again: how long it takes is how long its loop was busy."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seconds: list[float] = []

    async def run(self) -> None:
        while True:
            begun = perf_counter()
            async with self._server.session.get(f"{self._server.url}/health") as response:
                assert response.status == 200, response.status
            self.seconds.append(perf_counter() - begun)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def _probed(server: Server) -> AsyncIterator[_Probe]:
    probe = _Probe(server)
    running = asyncio.create_task(probe.run())
    try:
        yield probe
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def prove_floods(server: Server, *, connections: int, repeats: int) -> Findings:
    findings = Findings("floods")
    client = await server.user("floods")
    resident = server.resident_bytes
    async with _probed(server) as probe, asyncio.TaskGroup() as group:
        group.create_task(_dribble(findings, server, connections=connections))
        for _ in range(repeats):
            await _refusals(findings, server, client)
    open_now = await server.settled("frontdesk_streams_open", 0, seconds=5)
    findings.expect(f"{open_now} streams are open", when=open_now == 0)
    lag = percentile(probe.seconds, 99)
    findings.at_most(f"health took {lag * 1000:.0f} ms (p99)", lag, LAG_SECONDS)
    grown = server.resident_bytes - resident
    findings.at_most(f"memory grew by {grown / 1e6:.0f} MB", grown, GROWTH_BYTES)
    findings.counts |= {
        "dribbling connections": connections,
        "rounds of hostile requests": repeats,
        "health, ms p99": lag * 1000,
        "health, ms max": max(probe.seconds) * 1000,
        "memory grew by, MB": grown / 1e6,
    }
    return findings


async def _dribble(findings: Findings, server: Server, *, connections: int) -> None:
    """Heads that never end, a byte at a time, until the server has enough of them."""
    ended = 0

    async def one() -> None:
        nonlocal ended
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: chaos\r\nX-Slow: ")
        until = perf_counter() + HEAD_SECONDS
        try:
            while perf_counter() < until and not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(DRIBBLE_SECONDS)
        except LOST:
            pass  # ended by a reset
        finally:
            ended += perf_counter() < until
            writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(connections)))
    findings.expect(f"{ended} of {connections} endless heads were ended", when=ended == connections)


async def _refusals(findings: Findings, server: Server, client: ThreadsClient) -> None:
    deep = b'{"metadata":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001
    # A server that ends a connection while more is coming may take its answer with it: that is the 0.
    attempts: list[tuple[str, set[int], Callable[[], Coroutine[Any, Any, int]]]] = [
        ("deep JSON", {400, 422}, lambda: _post(server, client, deep)),
        ("deep lists", {400, 422}, lambda: _post(server, client, b"[" * 100_000 + b"]" * 100_000)),
        ("a declared gigabyte", {413}, lambda: _post(server, client, b"{}", declared=GIGABYTE)),
        ("endless chunks", {0, 413}, lambda: _pour(server, _head(client, "Transfer-Encoding: chunked"), CHUNK)),
        ("endless fields", {0, 431}, lambda: _pour(server, _head(client)[:-2], b"X-A: " + b"b" * 8_000 + b"\r\n")),
        ("an endless field", {0, 431}, lambda: _pour(server, _head(client)[:-2] + b"X-A: ", b"b" * 65_536)),
        ("an endless address", {0, 431}, lambda: _pour(server, b"GET /", b"a" * 65_536)),
        ("a thousand fields", {200, 201, 400, 431}, lambda: _post(server, client, b"{}", fields=1_000)),
    ]
    for name, wanted, attempt in attempts:
        begun, busy = perf_counter(), server.cpu_seconds
        status = await attempt()
        findings.expect(f"{name}: answered {status}", when=status in wanted)
        took, busy = perf_counter() - begun, server.cpu_seconds - busy
        findings.at_most(f"{name}: took {took:.1f} s", took, ANSWER_SECONDS)
        findings.at_most(f"{name}: took {busy * 1000:.0f} ms of the processor", busy, CPU_SECONDS + IDLE * took)


def _head(client: ThreadsClient, *fields: str) -> bytes:
    named = {"Host": "chaos", "Content-Type": "application/json", **client.headers}
    lines = ["POST /api/threads HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _post(
    server: Server, client: ThreadsClient, content: bytes, *, declared: int | None = None, fields: int = 0
) -> int:
    length = len(content) if declared is None else declared
    extra = [f"X-{number}: {number}" for number in range(fields)]
    return await _pour(server, _head(client, f"Content-Length: {length}", *extra) + content, b"")


async def _pour(server: Server, first: bytes, again: bytes, *, most: int = 64 * 1024 * 1024) -> int:
    """Sends `first` and then `again` until an answer comes, and returns its status; 0 when none does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    answer = asyncio.create_task(_status(reader))
    try:
        writer.write(first)
        sent = len(first)
        while again and not answer.done() and sent < most:
            writer.write(again)
            sent += len(again)
            await asyncio.wait_for(writer.drain(), ANSWER_SECONDS)
    except LOST:
        pass  # the server has ended the connection: what it said before counts
    await asyncio.wait([answer], timeout=ANSWER_SECONDS)
    writer.transport.abort()
    if not answer.done():
        answer.cancel()
        return 0
    return answer.result()


async def _status(reader: asyncio.StreamReader) -> int:
    try:
        line = await reader.readline()
    except LOST:
        return 0
    return int(line.split()[1]) if line else 0
