"""Messages in the database: how fast they are stored, and whether a long thread opens as fast as a short one."""

import sqlite3
import time
import uuid
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, quiet
from benchmarks.client import Connection, ask_all
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk

LONG, SHORT = 100_000, 100
PAGE = 50
PAGES = 100
INSERTS = 400
CONCURRENCY = 8
MILLISECOND_OF_UUID7 = 1 << 80


def _copies(template: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Rows that follow the template: one millisecond, one position and one parent further each."""
    start = uuid.UUID(template["id"]).int
    ids = [str(uuid.UUID(int=start + number * MILLISECOND_OF_UUID7)) for number in range(count)]
    return [
        {**template, "id": ids[number], "position": number + 1, "parent_id": ids[number - 1]}
        for number in range(1, count)
    ]


def fill(database: Path, thread: str, count: int) -> str:
    """Copies the thread's only message up to `count`; the server must not run. Answers the id of one in the middle."""
    with sqlite3.connect(database) as connection:
        connection.row_factory = sqlite3.Row
        template = dict(connection.execute("SELECT * FROM messages WHERE thread_id = ?", (thread,)).fetchone())
        rows = _copies(template, count)
        names = ", ".join(f'"{name}"' for name in template)
        values = ", ".join(f":{name}" for name in template)
        connection.executemany(f"INSERT INTO messages ({names}) VALUES ({values})", rows)  # noqa: S608  names of columns
        update = "UPDATE threads SET message_count = ?, leaf_message_id = ? WHERE id = ?"
        connection.execute(update, (count, rows[-1]["id"], thread))
    return str(rows[count // 2]["id"])


def _post(server: Frontdesk, thread: str) -> bytes:
    return server.request("POST", f"/api/threads/{thread}/messages", {"text": "How long is the coast?"})


async def _one_by_one(server: Frontdesk, requests: list[bytes]) -> list[float]:
    connection = await Connection.open(server.port)
    try:
        return [(await connection.ask(request)).total_ms for request in requests]
    finally:
        connection.close()


async def _inserts(server: Frontdesk, table: Table) -> None:
    thread = (await server.threads(1))[0]
    waits = await _one_by_one(server, [_post(server, thread)] * INSERTS)
    requests = [_post(server, other) for other in await server.threads(INSERTS)]
    await quiet(server)
    cpu, start = server.cpu_seconds(), time.monotonic()
    await ask_all(server.port, requests, concurrency=CONCURRENCY)
    wall = time.monotonic() - start
    table.add(
        server.name,
        insert_p50_ms=percentile(waits, 0.5),
        insert_p95_ms=percentile(waits, 0.95),
        messages_per_second=INSERTS / wall,
        cpu_ms_per_message=(server.cpu_seconds() - cpu) * 1000 / INSERTS,
    )


async def _pages(server: Frontdesk, table: Table, paths: dict[str, str]) -> None:
    for name, path in paths.items():
        waits = await _one_by_one(server, [server.request("GET", path)] * PAGES)
        table.add(server.name, **{f"page_{name}_p50_ms": percentile(waits, 0.5)})


async def measure(bench: Bench) -> Rows:
    table = Table()
    if Frontdesk.name in bench.without:
        return table.rows()
    async with bench.fleet([partial(Frontdesk, CHAT_LLM_ENABLED="false")]) as (provider, contenders):
        server = contenders[0]
        assert isinstance(server, Frontdesk)
        short, long = await server.threads(2)
        await ask_all(server.port, [_post(server, short), _post(server, long)], concurrency=1)
        server.end()
        fill(server.database, short, SHORT)
        middle = fill(server.database, long, LONG)
        await server.start(provider)
        paths = {
            "short": f"/api/threads/{short}/messages?limit={PAGE}",
            "long": f"/api/threads/{long}/messages?limit={PAGE}",
            "long_deep": f"/api/threads/{long}/messages?limit={PAGE}&after={middle}",
            "open_short": f"/api/threads/{short}",
            "open_long": f"/api/threads/{long}",
        }
        await _pages(server, Table(), paths)
        for _ in range(bench.count(3, 7)):
            await _pages(server, table, paths)
            await _inserts(server, table)
    return table.rows()
