"""What the indexes of vectors find of what is there, how soon, and what embedding costs beside it.

Vectors are synthetic, of 384 dimensions, about subjects as texts are. Nearly all are one owner's: asking for them is
asking for everything; a label that one in a hundred has is the filter; another owner has one in a hundred.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from benchmarks.bench import Bench, say
from benchmarks.figures import Rows, Table, percentile
from benchmarks.machine import on_every_core
from benchmarks.replicas import postgres
from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.adapters.vector_index.pgvector import PgvectorIndex
from frontdesk.database import open_database
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, VectorEntry, VectorIndex, Where

CHROMA, PGVECTOR, PACKAGED = "Chroma", "pgvector", "packaged E5"
DIMENSION = 384
SUBJECTS = 200
QUESTIONS = 50
COUNT = 10
LOT, FEW = "the-owner-of-most", "the-owner-of-few"
SCENES = {
    "all": Where(owner=LOT),
    "1_percent": Where(owner=LOT, labels={"share": "7"}),
    "small_owner": Where(owner=FEW),
}
LAG_SECONDS = 0.001
PASSAGE = "The gateway keeps one log for each thread, and whoever reads it may come and go as they like. " * 4


class Corpus(NamedTuple):
    entries: list[VectorEntry]
    rows: Vectors
    questions: Vectors

    def best(self, question: Vectors, where: Where) -> set[str]:
        """By comparing all of them."""
        fitting = [
            at
            for at, each in enumerate(self.entries)
            if each.owner == where.owner and where.labels.items() <= each.labels.items()
        ]
        nearest = np.argsort(-(self.rows[fitting] @ question))[:COUNT]
        return {self.entries[fitting[at]].id for at in nearest}


def _corpus(size: int) -> Corpus:
    random = np.random.default_rng(size)
    centres = random.standard_normal((SUBJECTS, DIMENSION))

    def drawn(count: int) -> Vectors:
        rows = centres[random.integers(0, SUBJECTS, count)] + 0.7 * random.standard_normal((count, DIMENSION))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    entries = [
        VectorEntry(
            id=f"{number:012}",
            owner=FEW if number % 100 == 3 else LOT,
            group=f"thread-{number // 50}",
            made_at=float(number),
            labels={"share": str(number % 100)},
        )
        for number in range(size)
    ]
    return Corpus(entries, drawn(size), drawn(QUESTIONS))


class _Lag:
    """The longest that the event loop did not come round, in ms."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(LAG_SECONDS)
            self.longest = max(self.longest, (time.perf_counter() - begun - LAG_SECONDS) * 1000)


@asynccontextmanager
async def _watched() -> AsyncIterator[_Lag]:
    lag = _Lag()
    watching = asyncio.create_task(lag.watch())
    try:
        yield lag
    finally:
        watching.cancel()


async def _index(table: Table, name: str, index: VectorIndex, corpus: Corpus) -> None:
    size = len(corpus.entries)
    collection = Collection(name=f"of_{size}", generation=1, model="synthetic", dimension=DIMENSION)
    await index.create(collection)
    async with _watched() as lag:
        begun = time.perf_counter()
        for start in range(0, size, 500):
            part = slice(start, start + 500)
            await index.put(collection, corpus.entries[part], corpus.rows[part])
        seconds = time.perf_counter() - begun
    table.add(name, **{f"{size}_puts_per_second": size / seconds, f"{size}_put_loop_lag_ms": lag.longest})
    for scene, where in SCENES.items():
        waits, hits, wanted = [], 0, 0
        for question in corpus.questions:
            begun = time.perf_counter()
            found = await index.nearest(collection, question[None], where=where, count=COUNT)
            waits.append((time.perf_counter() - begun) * 1000)
            best = corpus.best(question, where)
            hits += len(best & {neighbour.id for neighbour in found})
            wanted += len(best)
        values = {"recall": hits / wanted, "p50_ms": percentile(waits, 0.5), "p95_ms": percentile(waits, 0.95)}
        table.add(name, **{f"{size}_{scene}_{metric}": value for metric, value in values.items()})


async def _indexes(bench: Bench, table: Table, folder: Path) -> None:
    corpora = [_corpus(size) for size in ((1_000, 10_000) if bench.quick else (1_000, 10_000, 100_000))]
    if CHROMA not in bench.without:
        chroma = ChromaVectorIndex(str(folder / "chroma"))
        await chroma.open()
        for corpus in corpora:
            await _index(table, CHROMA, chroma, corpus)
            say(f"  {CHROMA}, {len(corpus.entries):,} vectors")
        await chroma.aclose()
    if PGVECTOR not in bench.without:
        with postgres(folder / "pg") as server:
            database = open_database(await server.database("vectors"), pool_size=4, timeout=60)
            index = PgvectorIndex(database)
            await index.open()
            for corpus in corpora:
                await _index(table, PGVECTOR, index, corpus)
                say(f"  {PGVECTOR}, {len(corpus.entries):,} vectors")
            await database.aclose()


async def _query_ms(embedder: PackagedE5Embedder) -> float:
    begun = time.perf_counter()
    await embedder.embed_queries(["How much protein is there in an egg?"])
    return (time.perf_counter() - begun) * 1000


async def _embedder(bench: Bench, table: Table) -> None:
    embedder = PackagedE5Embedder()
    await embedder.open()
    for _ in range(bench.count(2, 5)):
        alone = [await _query_ms(embedder) for _ in range(20)]
        passages = bench.count(16, 64)
        begun = time.perf_counter()
        async with _watched() as lag:
            filling = asyncio.create_task(embedder.embed_passages([PASSAGE] * passages))
            beside = []
            while not filling.done():
                beside.append(await _query_ms(embedder))
                await asyncio.sleep(0.1)
            await filling
        table.add(
            PACKAGED,
            query_p50_ms=percentile(alone, 0.5),
            query_p95_ms=percentile(alone, 0.95),
            query_beside_passages_p50_ms=percentile(beside, 0.5),
            query_beside_passages_p95_ms=percentile(beside, 0.95),
            passages_per_second=passages / (time.perf_counter() - begun),
            loop_lag_ms=lag.longest,
        )
    await embedder.aclose()


async def measure(bench: Bench) -> Rows:
    table = Table()
    with TemporaryDirectory(prefix="fdv") as folder, on_every_core():
        await _indexes(bench, table, Path(folder))
        if PACKAGED not in bench.without:
            await _embedder(bench, table)
    return table.rows()
