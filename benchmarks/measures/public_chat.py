"""Visitors of a public chat: how much later their first token comes than that of users of the threads API.

Fifty of each kind, in turns: everybody says something, reads the answer at the pace of a model, thinks for a moment and
goes on. A visitor has a stream open and sends beside it; a user sends and reads in one request. Sending counts the
message against its limit, keeps the session and the counters, and the answer comes over the session's stream.
"""

import asyncio
import json
import random
import time
from functools import partial

from benchmarks.bench import Bench, quiet
from benchmarks.client import Connection
from benchmarks.contenders import http_request
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk

VISITORS = 50
MODEL = "scripted?tokens=20&pause_ms=20"
THINKING_SECONDS = 4.0
TOKEN = b'"token":"t'
END = b"event: execution_completed"
THREADS, PUBLIC = "threads API", "public chat"


class Stream(Connection):
    """A visitor's open stream: when an answer's first token came, and that it has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.first = 0
        self.ended = asyncio.Event()

    @classmethod
    async def of(cls, port: int, request: bytes) -> "Stream":
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(cls, "127.0.0.1", port)
        stream.begin(request)
        return stream

    def expect(self) -> None:
        self.first = 0
        self.ended.clear()

    def _count(self, now: int, text: bytes) -> int:
        if not self.first and TOKEN in text:
            self.first = now
        if END in text:
            self.ended.set()
            return len(text)
        return 0


async def _think(dice: random.Random) -> None:
    await asyncio.sleep(dice.uniform(0, THINKING_SECONDS))


async def _user(server: Frontdesk, thread: str, number: int, count: int) -> list[float]:
    dice, waits = random.Random(number), []
    connection = await Connection.open(server.port)
    try:
        for _ in range(count):
            await _think(dice)
            waits.append((await connection.ask(server.stream_request(thread, MODEL))).first_token_ms)
    finally:
        connection.close()
    return waits


async def _visitor(server: Frontdesk, path: str, token: str, number: int, *, count: int) -> list[float]:
    dice, waits = random.Random(number), []
    reading = http_request("GET", f"{path}/stream?follow=1&sessionToken={token}", port=server.port)
    body = {"sessionToken": token, "message": "How long is the coast?"}
    sending = http_request("POST", f"{path}/messages", port=server.port, body=body)
    stream, connection = await Stream.of(server.port, reading), await Connection.open(server.port)
    try:
        for _ in range(count):
            await _think(dice)
            stream.expect()
            asked = time.monotonic_ns()
            await connection.ask(sending)
            await stream.ended.wait()
            waits.append((stream.first - asked) / 1e6)
    finally:
        connection.close()
        stream.close()
    return waits


async def _publish(server: Frontdesk) -> str:
    async def made(path: str, body: object) -> dict[str, str]:
        found: dict[str, str] = json.loads((await server.call("POST", path, body)).body)
        return found

    agent = await made("/api/agents", {"name": "Guide", "model": MODEL})
    limits = {"rateLimitMessages": 10_000, "rateLimitWindowSeconds": 60}
    interface = await made("/api/chat-interfaces", {"name": "Help", "agentId": agent["id"], **limits})
    await made(f"/api/chat-interfaces/{interface['id']}/publish", {})
    return f"/api/public/chat-interfaces/{interface['slug']}"


async def _all(work: list["asyncio.Task[list[float]]"]) -> list[float]:
    return [wait for waits in await asyncio.gather(*work) for wait in waits]


async def measure(bench: Bench) -> Rows:
    table = Table()
    if Frontdesk.name in bench.without:
        return table.rows()
    async with bench.fleet([partial(Frontdesk, CHAT_VISITOR_SESSIONS_PER_ADDRESS="100000")]) as (_, contenders):
        server = contenders[0]
        assert isinstance(server, Frontdesk)
        path, count = await _publish(server), bench.count(3, 8)
        for _ in range(bench.count(3, 5)):
            threads = await server.threads(VISITORS)
            tokens = [
                json.loads((await server.call("POST", f"{path}/sessions", {})).body)["sessionToken"] for _ in threads
            ]
            await quiet(server)
            cpu = server.cpu_seconds()
            users = [_user(server, thread, number, count) for number, thread in enumerate(threads)]
            theirs = await _all([asyncio.ensure_future(each) for each in users])
            await quiet(server)
            between = server.cpu_seconds()
            visits = [_visitor(server, path, token, number, count=count) for number, token in enumerate(tokens)]
            ours = await _all([asyncio.ensure_future(each) for each in visits])
            await quiet(server)
            after, messages = server.cpu_seconds(), VISITORS * count
            _add(table, THREADS, theirs, (between - cpu) * 1000 / messages)
            _add(table, PUBLIC, ours, (after - between) * 1000 / messages)
            over = percentile(ours, 0.5) - percentile(theirs, 0.5)
            table.add(
                PUBLIC, over_threads_p50_ms=over, over_threads_p95_ms=percentile(ours, 0.95) - percentile(theirs, 0.95)
            )
    return table.rows()


def _add(table: Table, name: str, waits: list[float], cpu_ms: float) -> None:
    table.add(name, p50_ms=percentile(waits, 0.5), p95_ms=percentile(waits, 0.95), cpu_ms_per_answer=cpu_ms)
