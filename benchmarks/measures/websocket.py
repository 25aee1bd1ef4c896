"""Sockets beside event streams of the same program: what a token costs on each, how late it comes, and what a socket
holds that stands still.

Each answer is begun on its own wire: by a message over the socket, or by the request that streams. Ratios are made
within a round.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import ceil

from benchmarks.bench import Bench, quiet, say
from benchmarks.client import Connection, Recorder, ask_all
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.programs import BenchmarkError
from benchmarks.socket_client import SocketConnection

SSE, SOCKETS = "event streams", "sockets"
TOKENS, CONCURRENCY = 2_000, 8
STREAMS, PAUSE_MS = 500, 20
OPENED_PER_SECOND = 100
WARM_UP_SECONDS = 4.0
SECONDS = (4, 8)
MARGIN_SECONDS = 20
IDLE = 2_000


async def _over_streams(server: Frontdesk, model: str, answers: int) -> None:
    requests = await server.requests(model, answers)
    await quiet(server)
    for answer in await ask_all(server.port, requests, concurrency=CONCURRENCY):
        if answer.tokens != TOKENS:
            raise BenchmarkError(f"{answer.tokens} tokens instead of {TOKENS}")


async def _over_sockets(server: Frontdesk, _model: str, answers: int) -> None:
    threads = await server.threads(CONCURRENCY)
    opened = [await SocketConnection.open(server.port, thread, token=server.token()) for thread in threads]
    await quiet(server)

    async def ask(connection: SocketConnection) -> None:
        for _ in range(answers // CONCURRENCY):
            if (tokens := await connection.ask()) != TOKENS:
                raise BenchmarkError(f"{tokens} tokens instead of {TOKENS}")

    async with asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(ask(connection))
    for connection in opened:
        connection.close()


async def _firehose(server: Frontdesk, table: Table, model: str, bench: Bench) -> None:
    answers = bench.count(32, 64)
    ways: dict[str, Callable[[Frontdesk, str, int], Awaitable[None]]] = {SSE: _over_streams, SOCKETS: _over_sockets}
    for name, over in ways.items():
        await quiet(server)
        cpu, start = server.cpu_seconds(), time.monotonic()
        await over(server, model, answers)
        await quiet(server)
        cpu, wall = server.cpu_seconds() - cpu, time.monotonic() - start
        table.add(
            name,
            tokens_per_cpu_second=answers * TOKENS / cpu,
            cpu_us_per_token=cpu * 1e6 / answers / TOKENS,
            tokens_per_second=answers * TOKENS / wall,
        )


async def _window(
    server: Frontdesk,
    begin: Callable[[Frontdesk, str, Recorder], Awaitable[Connection | SocketConnection]],
    seconds: float,
) -> Recorder:
    recorder, start = Recorder(), time.monotonic()
    opened = []
    for number, thread in enumerate(await server.threads(STREAMS)):
        opened.append(await begin(server, thread, recorder))
        await asyncio.sleep(max(0.0, start + number / OPENED_PER_SECOND - time.monotonic()))
    await asyncio.sleep(WARM_UP_SECONDS)
    recorder.open = True
    await asyncio.sleep(seconds)
    recorder.open = False
    for connection in opened:
        connection.close()
    await quiet(server)
    if not recorder.tokens:
        raise BenchmarkError("no token came in time")
    return recorder


async def _paced(bench: Bench, table: Table, model: str) -> None:
    """Each way has a server of its own: the second would have to live with what the first has left in memory."""
    seconds = bench.of(*SECONDS)

    async def stream(server: Frontdesk, thread: str, recorder: Recorder) -> Connection:
        connection = await Connection.open(server.port, recorder)
        connection.begin(server.stream_request(thread, model))
        return connection

    async def socket(server: Frontdesk, thread: str, recorder: Recorder) -> SocketConnection:
        connection = await SocketConnection.open(server.port, thread, token=server.token(), recorder=recorder)
        connection.ask()
        return connection

    for name, begin in ((SSE, stream), (SOCKETS, socket)):
        async with _server(bench, model) as server:
            recorder = await _window(server, begin, seconds)
        delays = [delay / 1e6 for delay in recorder.delays]
        table.add(
            name,
            p50_ms=percentile(delays, 0.5),
            p95_ms=percentile(delays, 0.95),
            in_time=recorder.tokens / (STREAMS * seconds * 1000 / PAUSE_MS),
        )


async def _idle(server: Frontdesk, table: Table) -> None:
    threads = await server.threads(IDLE)
    warm = [await SocketConnection.open(server.port, thread, token=server.token()) for thread in threads[:50]]
    for connection in warm:
        connection.close()
    await quiet(server)
    before = server.private_bytes()
    opened = [await SocketConnection.open(server.port, thread, token=server.token()) for thread in threads]
    await quiet(server)
    table.add(SOCKETS, kib_per_idle_socket=(server.private_bytes() - before) / IDLE / 1024)
    cpu, start = server.cpu_seconds(), time.monotonic()
    await asyncio.sleep(10)
    table.add(SOCKETS, idle_core_used=(server.cpu_seconds() - cpu) / (time.monotonic() - start))
    for connection in opened:
        connection.close()


async def measure(bench: Bench) -> Rows:
    table = Table()
    if Frontdesk.name in bench.without:
        return table.rows()
    rounds = bench.count(1, 3)
    tokens = ceil(
        (STREAMS / OPENED_PER_SECOND + WARM_UP_SECONDS + bench.of(*SECONDS) + MARGIN_SECONDS) * 1000 / PAUSE_MS
    )
    firehose = f"scripted?tokens={TOKENS}"
    paced = f"scripted?tokens={tokens}&pause_ms={PAUSE_MS}&stamp=1"
    for number in range(rounds):
        say(f"  round {number + 1}")
        async with _server(bench, firehose) as server:
            await _firehose(server, table, firehose, bench)
        await _paced(bench, table, paced)
    async with _server(bench, paced) as server:  # one that has not held more before
        await _idle(server, table)
    return table.rows()


@asynccontextmanager
async def _server(bench: Bench, model: str) -> AsyncIterator[Frontdesk]:
    async with bench.fleet([partial(Frontdesk, CHAT_LLM_DEFAULT_MODEL=model)]) as (_, contenders):
        server = contenders[0]
        assert isinstance(server, Frontdesk)
        yield server
