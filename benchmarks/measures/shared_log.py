"""What it costs to share the log between processes, and what a second replica brings.

The first two contenders differ only in the log: one keeps it to itself, the other has Redis beside it. The cost of the
shared one is measured at several loads, since its batches grow with the load. Replicas stand on PostgreSQL and Redis.
"""

import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bench import Bench, say
from benchmarks.contenders import Contender
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import busy_seconds, cores
from benchmarks.measures.firehose import ANSWERS, SHORT, answer_round
from benchmarks.measures.paced import Shape, quietest
from benchmarks.replicas import Redis, Replicas, postgres, redis

ALONE, SHARED = "in process", "shared"
LOADS = (Shape(1, 20), Shape(10, 20), Shape(100, 20), Shape(500, 20))
SPREAD = Shape(500, 20)


async def _firehose(contender: Contender, redis: Redis | None, table: Table) -> None:
    before = redis.cpu_seconds() if redis else 0.0
    cpu, wall = await answer_round(contender, SHORT, ANSWERS[SHORT])
    tokens = ANSWERS[SHORT] * SHORT
    values = {"firehose_cpu_ms_per_1000_tokens": cpu * 1e6 / tokens, "firehose_tokens_per_second": tokens / wall}
    if redis:
        values["firehose_redis_cpu_ms_per_1000_tokens"] = (redis.cpu_seconds() - before) * 1e6 / tokens
    table.add(contender.name, **values)


async def _paced(contender: Contender, shape: Shape, seconds: float, *, floor: float, table: Table) -> float:
    """The median delay in milliseconds."""
    window = await quietest(contender, shape, seconds)
    median = percentile(window.delays, 0.5)
    values = {f"{shape.name}_cpu_ms_per_1000_tokens": window.cpu * 1e6 / window.tokens}
    if floor:
        values[f"{shape.name}_added_p95_ms"] = percentile(window.delays, 0.95) - floor
    table.add(contender.name, **values)
    return median


async def _share(bench: Bench, shared: Redis, table: Table) -> None:
    alone = partial(Frontdesk, name=ALONE)
    with_redis = partial(Frontdesk, name=SHARED, CHAT_REDIS_URL=shared.url)
    async with bench.fleet([alone, with_redis]) as (_, contenders):
        for contender in contenders:
            await answer_round(contender, SHORT, 8)
        for number in range(bench.count(2, 5)):
            say(f"  round {number + 1}")
            for contender in contenders:
                await _firehose(contender, shared if contender.name == SHARED else None, table)
            for shape in LOADS:
                for contender in contenders:
                    await _paced(contender, shape, bench.of(2, 4), floor=0, table=table)


async def _spread(bench: Bench, shared: Redis, folder: Path, table: Table) -> None:
    """Throughput is per core that the load leaves: with two replicas they share one with it."""
    async with AsyncExitStack() as stack:
        makes = []
        for count in (1, 2):
            url = await stack.enter_async_context(postgres(folder, str(count)))
            makes.append(partial(Replicas, count=count, CHAT_DATABASE_URL=url, CHAT_REDIS_URL=shared.url))
        fleet = stack.enter_async_context(bench.fleet(makes))
        _, contenders = await fleet
        for contender in contenders:
            await answer_round(contender, SHORT, 16)
        for number in range(bench.count(2, 5)):
            say(f"  replicas, round {number + 1}")
            for contender in contenders:
                await _throughput(contender, table)
                await _paced(contender, SPREAD, bench.of(2, 4), floor=1e-9, table=table)


async def _throughput(contender: Contender, table: Table) -> None:
    before, start, own = _busy(), time.monotonic(), contender.cpu_seconds()
    answers = ANSWERS[SHORT] * 2
    _, wall = await answer_round(contender, SHORT, answers)
    seconds, cpu = time.monotonic() - start, contender.cpu_seconds() - own
    others = (_busy() - before - cpu) / seconds
    tokens = answers * SHORT
    table.add(
        contender.name,
        tokens_per_second=tokens / wall,
        tokens_per_cpu_second=tokens / cpu,
        cores_taken_by_others=others,
    )


def _busy() -> float:
    return sum(busy_seconds(core) for core in set(cores()))


async def measure(bench: Bench) -> Rows:
    table = Table()
    with TemporaryDirectory(prefix="frontdesk-shared-") as name:
        folder = Path(name)
        async with redis(folder) as shared:
            await _share(bench, shared, table)
            await _spread(bench, shared, folder, table)
    return table.rows()
