"""A thousand open streams beside a database pool of five: what other requests wait, with and without them."""

from functools import partial

from benchmarks.bench import Bench, quiet
from benchmarks.client import ask_all
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.measures.memory import open_stalled

STREAMS = 1000
CONCURRENCY = 4


async def _waits(server: Frontdesk, count: int) -> list[float]:
    requests = [server.request("GET", "/api/threads")] * count
    return [answer.total_ms for answer in await ask_all(server.port, requests, concurrency=CONCURRENCY)]


async def measure(bench: Bench) -> Rows:
    table = Table()
    if Frontdesk.name in bench.without:
        return table.rows()
    async with bench.fleet([partial(Frontdesk, CHAT_DATABASE_POOL_SIZE="5")]) as (_, contenders):
        server = contenders[0]
        assert isinstance(server, Frontdesk)
        await server.threads(STREAMS)
        await _waits(server, 50)
        for state in ("without", "with"):
            connections = await open_stalled(server, STREAMS) if state == "with" else []
            await quiet(server)
            for _ in range(bench.count(3, 7)):
                waits = await _waits(server, 200)
                values = {f"{state}_streams_p{share}_ms": percentile(waits, share / 100) for share in (50, 95)}
                table.add(server.name, **values)
            for connection in connections:
                connection.close()
    return table.rows()
