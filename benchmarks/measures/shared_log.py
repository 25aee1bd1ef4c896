"""What it costs to share the log between processes, what it adds to a token's delay, and what a second replica brings.

The first two contenders differ only in the log: one keeps it to itself, the other has Redis beside it. The cost of the
shared one is measured at several loads, since its batches grow with the load.

The others are replicas on PostgreSQL. Nothing of theirs has a core of its own, nor has what loads them, so that neither
is given more than the other; what kept the cores busy stands beside the delays.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from benchmarks.bench import Bench, Make, quiet, say
from benchmarks.client import ask_all
from benchmarks.contenders import Contender, Direct
from benchmarks.figures import Rows, Table, percentile
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import Usage, available, on_every_core
from benchmarks.measures.firehose import ANSWERS, SHORT, answer_round
from benchmarks.measures.paced import Shape, quietest, window_of
from benchmarks.programs import BenchmarkError
from benchmarks.replicas import ReadElsewhere, Redis, Replicas, postgres, redis
from benchmarks.targets import ALONE, ELSEWHERE, HERE, ONE, OWN, SHARED

FIREHOSE = "firehose"
LOADS = (Shape(1, 20), Shape(10, 20), Shape(100, 20), Shape(500, 20))
SPREAD = (Shape(250, 20), Shape(500, 20))
CONCURRENCY = 16
COST = "cpu_ms_per_1000_tokens"


class _Batches:
    """How many events a flush of the shared log carried meanwhile."""

    def __init__(self, server: Frontdesk) -> None:
        self._server = server
        self._before = (0.0, 0.0)

    async def begin(self) -> None:
        self._before = await self._counted()

    async def mean(self) -> float:
        flushes, events = (late - early for late, early in zip(await self._counted(), self._before, strict=True))
        return events / flushes

    async def _counted(self) -> tuple[float, float]:
        flushes = await self._server.measurement("frontdesk_log_flushes_total")
        return flushes, await self._server.measurement("frontdesk_log_sent_events_total")


async def _firehose(contender: Contender, redis: Redis, table: Table) -> float:
    before = redis.cpu_seconds()
    cpu, wall = await answer_round(contender, SHORT, ANSWERS[SHORT])
    tokens = ANSWERS[SHORT] * SHORT
    table.add(contender.name, firehose_tokens_per_second=tokens / wall)
    if contender.name == SHARED:
        table.add(SHARED, firehose_redis_cpu_ms_per_1000_tokens=(redis.cpu_seconds() - before) * 1e6 / tokens)
    return cpu * 1e6 / tokens


async def _load(
    contenders: Sequence[Contender], shape: Shape | None, seconds: float, *, redis: Redis, table: Table
) -> None:
    """At one load, or as fast as it goes for None."""
    costs: dict[str, float] = {}
    name = FIREHOSE if shape is None else shape.name
    for contender in contenders:
        batches = _Batches(cast("Frontdesk", contender))
        if contender.name == SHARED:
            await batches.begin()
        if shape is None:
            costs[contender.name] = await _firehose(contender, redis, table)
        else:
            window = await quietest(contender, shape, seconds)
            costs[contender.name] = window.cpu * 1e6 / window.tokens
        table.add(contender.name, **{f"{name}_{COST}": costs[contender.name]})
        if contender.name == SHARED:
            table.add(SHARED, **{f"{name}_events_per_flush": await batches.mean()})
    table.add(SHARED, **{f"{name}_added_{COST}": costs[SHARED] - costs[ALONE]})


async def _share(bench: Bench, folder: Path, table: Table) -> None:
    with redis(folder / "pinned") as shared:
        makes = [partial(Frontdesk, name=ALONE), partial(Frontdesk, name=SHARED, CHAT_REDIS_URL=shared.url)]
        async with bench.fleet(makes) as (_, contenders):
            for contender in contenders:
                await answer_round(contender, SHORT, 8)
            for number in range(bench.count(2, 5)):
                say(f"  round {number + 1}")
                for shape in (None, *LOADS):
                    await _load(contenders, shape, bench.of(2, 4), redis=shared, table=table)


async def _spread(bench: Bench, folder: Path, table: Table) -> None:
    with ExitStack() as stack:
        stack.enter_context(on_every_core())
        shared = stack.enter_context(redis(folder / "redis"))
        database = stack.enter_context(postgres(folder / "postgres")).database
        together = {"CHAT_REDIS_URL": shared.url}
        makes: list[Make] = [
            Direct,
            partial(Replicas, name=ONE, count=1, CHAT_DATABASE_URL=await database("one"), **together),
            partial(Replicas, name=OWN, count=2, CHAT_DATABASE_URL=await database("own")),
            partial(Replicas, name=HERE, count=2, CHAT_DATABASE_URL=await database("here"), **together),
            partial(ReadElsewhere, name=ELSEWHERE, count=2, CHAT_DATABASE_URL=await database("elsewhere"), **together),
        ]
        async with bench.fleet(makes) as (provider, (direct, one, own, here, elsewhere)):
            clocks = {"load": time.process_time, "provider": provider.cpu_seconds, "redis": shared.cpu_seconds}
            for contender in (one, here):
                await answer_round(contender, SHORT, 16)
            for number in range(bench.count(2, 4)):
                say(f"  replicas, round {number + 1}")
                for count, contender in ((1, one), (2, here)):
                    await _throughput(contender, count, table)
                for shape in SPREAD:
                    await _delays([direct, own, here, elsewhere], shape, bench.of(2, 5), clocks=clocks, table=table)


async def _throughput(contender: Contender, count: int, table: Table) -> None:
    """What so many servers bring, each of which can use one core, and what they would if each had one."""
    answers = ANSWERS[SHORT] * 4
    requests = await contender.requests(f"scripted?tokens={SHORT}", answers)
    await quiet(contender)
    usage, start = Usage(own=contender.cpu_seconds), time.monotonic()
    done = await ask_all(contender.ports, requests, concurrency=CONCURRENCY)
    used, rate = usage.cores(), answers * SHORT / (time.monotonic() - start)
    await quiet(contender)
    if any(answer.tokens != SHORT for answer in done):
        raise BenchmarkError(f"{contender.name} delivered other answers than it was asked for")
    others = used["all"] - used["own"]
    room = min(float(count), len(available()) - others)
    table.add(
        contender.name,
        tokens_per_second=rate,
        cores_used=used["own"],
        cores_taken_by_others=others,
        tokens_per_second_with_a_core_each=rate * count / room,
    )


async def _delays(
    contenders: Sequence[Contender],
    shape: Shape,
    seconds: float,
    *,
    clocks: Mapping[str, Callable[[], float]],
    table: Table,
) -> None:
    p95: dict[str, float] = {}
    for contender in contenders:
        window = await window_of(contender, shape, seconds, replicas=contender.cpu_seconds, **clocks)
        p95[contender.name] = percentile(window.delays, 0.95)
        values = {"p50_ms": percentile(window.delays, 0.5), "p95_ms": p95[contender.name]}
        if contender.name in {HERE, ELSEWHERE}:
            values["p95_ms_over_own_logs"] = p95[contender.name] - p95[OWN]
        values |= {f"cores_of_{name}": used for name, used in window.used.items()}
        values["in_time"] = window.tokens / shape.due(window.seconds)
        if window.cpu:
            values[COST] = window.cpu * 1e6 / window.tokens
        table.add(contender.name, **{f"{shape.name}_{metric}": value for metric, value in values.items()})


async def measure(bench: Bench) -> Rows:
    table = Table()
    with TemporaryDirectory(prefix="frontdesk-shared-") as name:
        await _share(bench, Path(name), table)
        await _spread(bench, Path(name), table)
    return table.rows()
