"""Requests one after another on a quiet server: how much later the first token comes than from the provider itself."""

from benchmarks.bench import Bench
from benchmarks.client import Connection
from benchmarks.contenders import Contender
from benchmarks.figures import Rows, Table, percentile

MODEL = "scripted?tokens=5"
WARM_UP = 10


async def first_tokens(contender: Contender, count: int) -> list[float]:
    requests = await contender.requests(MODEL, count + WARM_UP)
    connection = await Connection.open(contender.port)
    try:
        answers = [await connection.ask(request) for request in requests]
    finally:
        connection.close()
    return [answer.first_token_ms for answer in answers[WARM_UP:]]


async def measure(bench: Bench) -> Rows:
    table = Table()
    async with bench.fleet(bench.contenders()) as (_, contenders):
        for _ in range(bench.count(3, 7)):
            floor = 0.0
            for contender in contenders:
                values = await first_tokens(contender, bench.count(60, 150))
                half = percentile(values, 0.5)
                floor = half if contender.name == "direct" else floor
                late = percentile(values, 0.95)
                table.add(
                    contender.name, p50_ms=half, p95_ms=late, added_p50_ms=half - floor, added_p95_ms=late - floor
                )
    return table.rows()
