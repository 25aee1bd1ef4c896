"""Making the search index again: what it adds to the embedder's own time, and its memory over many messages.

`of_embedder` is how fast messages come into the index with the packaged embedder, over how fast it embeds the same
texts by itself just before. For the memory the embedder is a hash and the vectors go nowhere, so that what is measured
is the reindexing itself: `growth_mib` is the last three of 20 samples less the first three.
"""

import gc
import os
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np

from benchmarks.bench import Bench, say
from benchmarks.corpus.stored import Said, Searching, searching, store
from benchmarks.figures import Rows, Table
from benchmarks.machine import MIB, on_every_core, private_bytes
from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.database import Database, open_database
from frontdesk.database.migrations import upgrade
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, VectorEntry, VectorIndex
from frontdesk.retrieval import generations

PACKAGED, CHEAP = "packaged E5", "a hash for an embedder"
OWNER = "the-owner-of-all"
PASSAGES = 64
SAMPLES, COMPARED = 20, 3
WARM_UP = 0.1
WORDS = [
    "invoice",
    "printer",
    "holiday",
    "passport",
    "kettle",
    "violin",
    "счёт",
    "принтер",
    "отпуск",
    "паспорт",
    "чайник",
    "скрипка",
]


class HashEmbedder:
    """A direction for each text, with no meaning."""

    model, dimension = "hash", 8

    async def open(self) -> None: ...

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([np.eye(self.dimension)[hash(text) % self.dimension] for text in texts], dtype=np.float32)

    embed_passages = embed_queries

    async def aclose(self) -> None: ...


class NowhereIndex:
    """An index of vectors that holds nothing."""

    async def open(self) -> None: ...

    async def create(self, _collection: Collection) -> None: ...

    async def put(self, _collection: Collection, _entries: Sequence[VectorEntry], _vectors: Vectors) -> None: ...

    async def drop(self, _collection: Collection) -> None: ...

    async def aclose(self) -> None: ...


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{folder / 'search.db'}"
    upgrade(url)
    database = open_database(url, pool_size=2, timeout=60)
    yield database
    await database.aclose()


def _threads(messages: int) -> Iterator[Said]:
    drawn = random.Random(messages)
    for number in range(messages // 10):
        yield Said(OWNER, [" ".join(drawn.choices(WORDS, k=12)) + f" {number} {place}" for place in range(10)])


async def _anew(database: Database, search: Searching) -> int:
    """All of it once more; how many messages there were."""
    now = search.now()
    made = await database.write(lambda connection: generations.request(connection, now=now))
    while await search.indexer.rebuild():
        pass
    found = await database.read(lambda connection: generations.find(connection, made.generation))
    assert found is not None
    assert found.is_complete
    return found.done


async def _throughput(bench: Bench, table: Table, folder: Path) -> None:
    passage = "The gateway keeps one log for each thread, and whoever reads it may come and go as they like. " * 4
    embedder = PackagedE5Embedder()
    texts = [f"{passage}{number}" for number in range(PASSAGES)]
    async with _database(folder) as database:
        await store(database, (Said(OWNER, [text]) for text in texts))
        async with searching(database, embedder, ChromaVectorIndex(str(folder / "chroma"))) as search:
            await _anew(database, search)
            for _ in range(bench.count(1, 3)):
                begun = time.perf_counter()
                await embedder.embed_passages(texts)
                alone = PASSAGES / (time.perf_counter() - begun)
                begun = time.perf_counter()
                rate = await _anew(database, search) / (time.perf_counter() - begun)
                table.add(
                    PACKAGED, messages_per_second=rate, embedder_passages_per_second=alone, of_embedder=rate / alone
                )


async def _memory(bench: Bench, table: Table, folder: Path) -> None:
    messages = int(os.environ.get("BENCH_REINDEX_MESSAGES", bench.count(10_000, 200_000)))
    samples: list[float] = []
    async with _database(folder) as database:
        await store(database, _threads(messages))
        async with searching(database, HashEmbedder(), cast(VectorIndex, NowhereIndex())) as search:
            begun = time.perf_counter()
            while await search.indexer.rebuild():
                share = await _share(database, messages)
                if share >= WARM_UP + (1 - WARM_UP) * len(samples) / SAMPLES and len(samples) < SAMPLES:
                    gc.collect()
                    samples.append(private_bytes(os.getpid()) / MIB)
            seconds = time.perf_counter() - begun
    growth = (sum(samples[-COMPARED:]) - sum(samples[:COMPARED])) / COMPARED
    table.add(
        CHEAP,
        messages=messages,
        messages_per_second=messages / seconds,
        most_mib=max(samples),
        growth_mib=growth,
    )
    say(f"  {messages:,} messages, {seconds:.0f} s, samples {', '.join(f'{sample:.1f}' for sample in samples)} MiB")


async def _share(database: Database, messages: int) -> float:
    row = await database.read(generations.find_live)
    return 0.0 if row is None else row.done / messages


async def measure(bench: Bench) -> Rows:
    table = Table()
    with TemporaryDirectory(prefix="fdr") as made, on_every_core():
        folder = Path(made)
        for name, taken in (("throughput", _throughput), ("memory", _memory)):
            (folder / name).mkdir()
            await taken(bench, table, folder / name)
    return table.rows()
