"""Memory of the server: what an open stream holds, and whether streams that are gone leave something behind."""

import asyncio
import statistics
import time
from functools import partial

from benchmarks.bench import Bench, quiet, say
from benchmarks.client import Connection, ask_all
from benchmarks.contenders import Contender
from benchmarks.figures import Rows, Table
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import MIB
from benchmarks.programs import BenchmarkError

STREAMS = 1000
STALLED = "scripted?tokens=10&stall_at=5"
SHORT = "scripted?tokens=1"
WARM_UP = 50
OPEN_SECONDS = 60.0
CONCURRENCY = 8
ANSWERS_PER_THREAD = 10
CHECKPOINTS = 20
CHURN_SECONDS = 420.0
CHURN_WARM_UP = 2_500
# What is kept for readers who return must be gone before growth can be told from retention.
CHURN_RETENTION = "2"


async def open_stalled(contender: Contender, streams: int) -> list[Connection]:
    """Streams that have brought five tokens and then stand still."""
    connections = []
    for request in await contender.requests(STALLED, streams):
        connection = await Connection.open(contender.port)
        connection.begin(request)
        connections.append(connection)
        await asyncio.sleep(0.002)
    deadline = time.monotonic() + OPEN_SECONDS
    while not all(connection.answer.tokens == 5 for connection in connections):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{contender.name} did not bring {streams} streams to their fifth token")
        await asyncio.sleep(0.05)
    return connections


async def _per_stream(contender: Contender, table: Table) -> None:
    await ask_all(contender.port, await contender.requests(SHORT, WARM_UP), concurrency=CONCURRENCY)
    await contender.requests(SHORT, STREAMS)
    await quiet(contender)
    before = contender.private_bytes()
    connections = await open_stalled(contender, STREAMS)
    await quiet(contender)
    held = contender.private_bytes() - before
    for connection in connections:
        connection.close()
    table.add(contender.name, kib_per_open_stream=held / STREAMS / 1024, idle_mib=before / MIB)


async def _come_and_go(server: Frontdesk, streams: int) -> int:
    """The server's private bytes when all of them have gone."""
    threads = await server.threads(streams // ANSWERS_PER_THREAD)
    for _ in range(ANSWERS_PER_THREAD):
        requests = [server.stream_request(thread, SHORT) for thread in threads]
        await ask_all(server.port, requests, concurrency=CONCURRENCY)
    await quiet(server)
    return server.private_bytes()


async def _churn(server: Frontdesk, streams: int) -> list[int]:
    """Private bytes after each twentieth of the streams, or of as many as fit into the time."""
    await _come_and_go(server, CHURN_WARM_UP)
    samples = []
    deadline = time.monotonic() + CHURN_SECONDS
    for _ in range(CHECKPOINTS):
        samples.append(await _come_and_go(server, streams // CHECKPOINTS))
        if time.monotonic() > deadline:
            break
    return samples


async def measure(bench: Bench) -> Rows:
    table = Table()
    makes = bench.contenders(peers=False)[1:]
    for make in makes:
        async with bench.fleet([make]) as (_, contenders):
            say(f"  {contenders[0].name}")
            await _per_stream(contenders[0], table)
    if Frontdesk.name in bench.without:
        return table.rows()
    streams = bench.count(5_000, 100_000)
    async with bench.fleet([partial(Frontdesk, CHAT_LOG_RETENTION_SECONDS=CHURN_RETENTION)]) as (_, contenders):
        server = contenders[0]
        assert isinstance(server, Frontdesk)
        samples = await _churn(server, streams)
    done = streams // CHECKPOINTS * len(samples)
    early, late = statistics.median(samples[:3]), statistics.median(samples[-3:])
    table.add(server.name, churned_streams=done, growth_mib=(late - early) / MIB)
    say("  after each part, MiB: " + " ".join(f"{sample / MIB:.1f}" for sample in samples))
    return table.rows()
