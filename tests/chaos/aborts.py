"""Streams that wait, and connections that break off, hold nothing (R10, R11, R21)."""

import asyncio
import json
import random
import socket
import struct
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

from chaos.findings import Findings, percentile
from chaos.footing import Footing
from harness.server import Server
from harness.threads_client import LOST, ThreadsClient

IN_USE = "frontdesk_database_connections_in_use"
IDLE_IN_TRANSACTION = "SELECT pid, query FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
CLEAR_SECONDS = 5.0
BACKLOG_SECONDS = 60.0
POOLED_DESCRIPTORS = 16  # the pool may grow to its bound meanwhile; a connection to SQLite has three
GROWTH_BYTES = 20 * 1024 * 1024
SETTINGS = {"database_pool_size": 5, "llm_timeout_seconds": 600}


async def prove_idle_streams(server: Server, *, streams: int, requests: int = 200) -> Findings:
    """So many readers of answers that say nothing; meanwhile other requests are answered."""
    findings = Findings("idle streams")
    client = await server.user("idle")
    async with AsyncExitStack() as stack:
        begun = []
        for _ in range(streams):
            thread_id = await client.new_thread()
            execution_id = await client.begin(thread_id, "scripted?tokens=5&stall_at=3")
            stream = await stack.enter_async_context(client.join(thread_id, execution_id))
            await stream.read_bytes(1, seconds=10)
            begun.append((thread_id, execution_id))
        opened = await server.metric("frontdesk_streams_open")
        findings.expect(f"{opened} of {streams} streams are open", when=opened == streams)
        in_use = await server.settled(IN_USE, 0, seconds=1)  # the engine's own ticks use one for a moment
        findings.expect(f"idle streams hold {in_use} connections", when=in_use == 0)
        seconds = [await _timed_request(client, begun[0][0]) for _ in range(requests)]
        for thread_id, execution_id in begun:
            stopped = await client.cancel(thread_id, execution_id)
            findings.expect(f"a stop was {stopped}", when=stopped.status == 202)
    closed = await server.settled("frontdesk_streams_open", 0, seconds=CLEAR_SECONDS)
    findings.expect(f"{closed} streams stay open", when=closed == 0)
    slow = percentile(seconds, 99)
    findings.at_most(f"other requests took {slow * 1000:.0f} ms (p99)", slow, 0.1)
    findings.counts |= {"streams": streams, "other requests, ms p99": slow * 1000}
    return findings


async def _timed_request(client: ThreadsClient, thread_id: str) -> float:
    begun = perf_counter()
    reply = await client.ask("GET", f"/threads/{thread_id}")
    assert reply.status == 200, reply
    return perf_counter() - begun


class _Aborter:
    """Opens connections, sends a request on each, and leaves at a random moment in a random way."""

    def __init__(self, server: Server, client: ThreadsClient, thread_id: str, execution_id: str) -> None:
        self._server = server
        self._requests = [
            self._request(client, "GET", f"/threads/{thread_id}/executions/{execution_id}/stream"),
            self._request(client, "GET", f"/threads/{thread_id}/messages?limit=100"),
            self._request(client, "POST", "/threads", {"title": "left"}),
            self._request(
                client,
                "POST",
                f"/threads/{thread_id}/messages/stream",
                {"text": "left", "model": "scripted?tokens=3&pause_ms=2", "if_active": "queue"},
            ),
        ]

    @staticmethod
    def _request(client: ThreadsClient, method: str, path: str, body: object = None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        fields = {"Host": "chaos", "Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{name}: {value}" for name, value in (client.headers | fields).items()]
        return "\r\n".join([f"{method} /api{path} HTTP/1.1", *lines, "", ""]).encode() + content

    async def wait_in_line(self) -> None:
        """Until the server has taken every connection before this one: who only leaves is faster than it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(BACKLOG_SECONDS):
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.transport.abort()

    async def leave_once(self) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(connection, ("127.0.0.1", self._server.port))
            request = random.choice(self._requests)
            whole = random.random() < 0.7
            await loop.sock_sendall(connection, request if whole else request[: random.randint(0, len(request))])
            await asyncio.sleep(random.choice((0.0, random.uniform(0.0, 0.05))))
            if random.random() < 0.7:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except LOST:
            pass
        finally:
            connection.close()


async def prove_aborts(server: Server, database: Footing, *, aborts: int, parallel: int = 20) -> Findings:
    """RST and FIN at random moments of requests and streams, some of them half sent."""
    findings = Findings("aborts")
    client = await server.user("aborts")
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, "scripted?tokens=3&stall_at=2")
    other = await client.new_thread()
    aborter = _Aborter(server, client, thread_id, execution_id)
    await _leave(aborter, max(100, aborts // 10), parallel)
    await _judge_clear(findings, server, database, "after the warm-up")
    descriptors, resident = server.descriptors, server.resident_bytes
    await _leave(aborter, aborts, parallel)
    await _judge_clear(findings, server, database, "afterwards")
    await _timed_request(client, other)
    grown = server.resident_bytes - resident
    left = await settled_descriptors(server, descriptors + POOLED_DESCRIPTORS)
    findings.expect(f"{left - descriptors} descriptors more than before", when=left <= descriptors + POOLED_DESCRIPTORS)
    findings.at_most(f"memory grew by {grown / 1e6:.0f} MB", grown, GROWTH_BYTES)
    stopped = await client.cancel(thread_id, execution_id)
    findings.expect(f"a stop was {stopped}", when=stopped.status == 202)
    findings.counts |= {"aborts": aborts, "memory grew by, MB": grown / 1e6, "descriptors": left}
    return findings


async def _leave(aborter: _Aborter, times: int, parallel: int) -> None:
    numbers = iter(range(times))

    async def keep_leaving() -> None:
        for _ in numbers:
            await aborter.leave_once()

    await asyncio.gather(*(keep_leaving() for _ in range(parallel)))
    await aborter.wait_in_line()


async def _judge_clear(findings: Findings, server: Server, database: Footing, when: str) -> None:
    streams = await server.settled("frontdesk_streams_open", 0, seconds=CLEAR_SECONDS)
    findings.expect(f"{streams} streams are open {when}", when=streams == 0)
    in_use = await server.settled(IN_USE, 0, seconds=CLEAR_SECONDS)
    findings.expect(f"{in_use} database connections are in use {when}", when=in_use == 0)
    if database.is_postgres:
        idle = await _left_in_transactions(database)
        findings.expect(f"idle in transaction {when}: {idle}", when=not idle)


async def _left_in_transactions(database: Footing) -> list[Any]:
    """Those that stay so; the server's own ticks are in one for a moment."""
    deadline = asyncio.get_running_loop().time() + CLEAR_SECONDS
    while True:
        idle = await database.rows(IDLE_IN_TRANSACTION)
        if not idle or asyncio.get_running_loop().time() > deadline:
            return idle
        await asyncio.sleep(0.1)


async def settled_descriptors(server: Server, baseline: int) -> int:
    """Once they are down to `baseline`, or what they are when the time is over."""
    deadline = asyncio.get_running_loop().time() + CLEAR_SECONDS
    while True:
        found = server.descriptors
        if found <= baseline or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.1)
