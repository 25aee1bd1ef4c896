"""How soon search answers, and what it finds, with more and more messages on PostgreSQL.

Messages are mixes of real ones in English and Russian, with vectors between theirs; a few thousand are real and have
their own. Questions are real, and so is their embedding, which counts. PostgreSQL has one core, the program the other.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from benchmarks.bench import Bench, say
from benchmarks.corpus.bulk import Filled, fill
from benchmarks.corpus.help_pages import help_pages
from benchmarks.corpus.kept_embedder import KeptEmbedder
from benchmarks.corpus.manual_pages import manual_pages
from benchmarks.corpus.mixed import Mixes
from benchmarks.corpus.packages import unpacked
from benchmarks.corpus.pages import Page
from benchmarks.corpus.stored import Said, Searching, searching, store
from benchmarks.figures import Rows, Table, percentile
from benchmarks.machine import cores, cpu_seconds
from deploy.parts.postgres import PostgresServer
from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.adapters.vector_index.pgvector import PgvectorIndex
from frontdesk.database import open_database
from frontdesk.database.migrations import upgrade
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Where

LOT, FEW, RARE = "the-owner-of-most", "the-owner-of-few", "a-rare-model"
WRITERS = {"en": "who-writes-english", "ru": "who-writes-russian"}
EMBEDDING, RECALL, ACROSS = "embedding", "recall of pgvector", "across languages"
QUESTIONS = 60
COUNT = 10
LIMIT = 20
# The graph of 100,000 vectors takes 200 MB, and what does not fit is read from the system's cache each time.
SHARED_BUFFERS = "1GB"
PATTERNS = {
    "regex": ("LibreOffice Calc", r"спис(ок|ки) файлов", r"(?i)error.{0,40}file", r"\bfopen\(\)", "the .* of", "шрифт"),
    "regex without prefilter": (".*", "[0-9]{9}", "a.b.c.d", "[a-z]{20}"),
}
SCENES = {
    "all": Where(owner=LOT),
    "1_percent": Where(owner=LOT, labels={"model": RARE}),
    "small_owner": Where(owner=FEW),
}


class TimedEmbedder:
    """The packaged one, and how long each question took it, in ms."""

    def __init__(self) -> None:
        self._embedder = PackagedE5Embedder()
        self.model, self.dimension = self._embedder.model, self._embedder.dimension
        self.waits: list[float] = []
        self.open, self.embed_passages, self.aclose = (
            self._embedder.open,
            self._embedder.embed_passages,
            self._embedder.aclose,
        )

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        begun = time.perf_counter()
        vectors = await self._embedder.embed_queries(texts)
        self.waits.append((time.perf_counter() - begun) * 1000)
        return vectors


class _Scene(NamedTuple):
    search: Searching
    filled: Filled
    index: PgvectorIndex
    embedder: TimedEmbedder
    size: int


def _threads(mixes: Mixes, pages: Sequence[Page], count: int) -> Iterator[Said]:
    """The real ones stand in the middle, those of each language with an owner of their own."""
    texts = list(mixes.texts(count - sum(len(page.messages) for page in pages)))
    for number, start in enumerate(range(0, len(texts), 10)):
        if start <= len(texts) // 2 < start + 10:
            yield from (Said(WRITERS[page.language], page.messages) for page in pages)
        owner = FEW if number % 100 == 3 else LOT
        yield Said(owner, texts[start : start + 10], RARE if number % 50 == 7 else "a-model")


async def _times(
    table: Table, scene: _Scene, name: str, mode: str, *, questions: Sequence[str], of_asking: Callable[[], float]
) -> None:
    waits, used = [], of_asking()
    for question in questions:
        begun = time.perf_counter()
        await scene.search.find(LOT, question, mode, limit=LIMIT)
        waits.append((time.perf_counter() - begun) * 1000)
    cpu = (of_asking() - used) * 1000 / len(questions)
    values = {"p50_ms": percentile(waits, 0.5), "p95_ms": percentile(waits, 0.95), "max_ms": max(waits), "cpu_ms": cpu}
    table.add(name, **{f"{scene.size}_{metric}": value for metric, value in values.items()})


async def _recall(table: Table, scene: _Scene, questions: Vectors) -> None:
    rows = np.array(scene.filled.rows)
    for name, where in SCENES.items():
        fitting = [
            at
            for at, entry in enumerate(scene.filled.entries)
            if entry.owner == where.owner and where.labels.items() <= entry.labels.items()
        ]
        hits, waits = 0, []
        for question in questions:
            similarities = rows[fitting] @ question
            least = np.sort(similarities)[-COUNT] - 1e-6  # of those that are as near, each is as right
            near = {scene.filled.entries[fitting[at]].id for at in np.flatnonzero(similarities >= least)}
            begun = time.perf_counter()
            found = await scene.index.nearest(scene.filled.collection, question[None], where=where, count=COUNT)
            waits.append((time.perf_counter() - begun) * 1000)
            hits += len(near & {each.id for each in found})
        table.add(
            RECALL,
            **{
                f"{scene.size}_{name}": hits / (COUNT * len(questions)),
                f"{scene.size}_{name}_p95_ms": percentile(waits, 0.95),
                f"{scene.size}_{name}_fitting": len(fitting),
            },
        )


async def _across(table: Table, scene: _Scene, pages: Sequence[Page], threads: dict[str, str]) -> None:
    """Whether a title finds the same page in the other language among the first ten of who has pages in that alone."""
    keys = {key: page for page in pages if (key := page.key) in threads}
    for language, name in (("ru", "russian_finds_english"), ("en", "english_finds_russian")):
        asked = [page for page in pages if page.language == language and page.twin in keys][:: max(1, len(keys) // 400)]
        others = WRITERS["en" if language == "ru" else "ru"]
        for mode in ("semantic", "hybrid"):
            found = 0
            for page in asked[:QUESTIONS]:
                hits = (await scene.search.find(others, page.question, mode, limit=COUNT)).hits
                found += threads[page.twin or ""] in [hit.thread_id for hit in hits]
            table.add(ACROSS, **{f"{scene.size}_{name}_{mode}": found / len(asked[:QUESTIONS])})


async def _measure(table: Table, bench: Bench, scene: _Scene, pages: Sequence[Page], own: Callable[[], float]) -> None:
    asked = [page.question for page in pages][:: max(1, len(pages) // QUESTIONS)]
    await scene.search.find(LOT, "warm up", "hybrid")
    for question in asked:
        await scene.search.find(LOT, question, "hybrid")
    for _ in range(bench.count(1, 2)):
        for mode in ("hybrid", "semantic", "text"):
            scene.embedder.waits.clear()
            await _times(table, scene, mode, mode, questions=asked, of_asking=own)
            if mode == "semantic":
                waits = scene.embedder.waits
                values = {"p50_ms": percentile(waits, 0.5), "p95_ms": percentile(waits, 0.95)}
                table.add(EMBEDDING, **{f"{scene.size}_{metric}": value for metric, value in values.items()})
        for name, patterns in PATTERNS.items():
            await _times(table, scene, name, "regex", questions=patterns * 3, of_asking=own)


async def _sized(
    bench: Bench, table: Table, server: PostgresServer, *, folder: Path, size: int, pages: Sequence[Page]
) -> None:
    embedder = KeptEmbedder(unpacked() / "vectors.sqlite3")
    await embedder.open()
    vectors = await embedder.embed_passages([text for page in pages for text in page.messages])
    mixes = Mixes(pages, vectors)
    url = server.ensure_database(f"of_{size}")
    await asyncio.to_thread(upgrade, url)
    database = open_database(url, pool_size=4, timeout=600)
    said = list(_threads(mixes, pages, size))
    ids = await store(database, iter(said))
    real = {each.texts: thread_id for each, thread_id in zip(said, ids, strict=True) if isinstance(each.texts, tuple)}
    filled = await fill(database, mixes.known)
    say(f"  {len(filled.entries):,} messages are stored")
    timed = TimedEmbedder()
    async with searching(database, timed, PgvectorIndex(database)) as search:
        scene = _Scene(search, filled, PgvectorIndex(database), timed, size)
        pid = _postmaster(folder)
        await _measure(table, bench, scene, pages, lambda: time.process_time() + cpu_seconds(pid))
        questions = [page.question for page in pages][:: max(1, len(pages) // 50)]
        await _recall(table, scene, await embedder.embed_queries(questions))
        await _across(table, scene, pages, {page.key: real[page.messages] for page in pages})
    await embedder.aclose()
    await database.aclose()


def _postmaster(folder: Path) -> int:
    return int((folder / "postmaster.pid").read_text().split()[0])


def _started(folder: Path) -> PostgresServer:
    """On the first core, with room for the graphs."""
    server = PostgresServer(folder).start()
    server.ask(f"ALTER SYSTEM SET shared_buffers = '{SHARED_BUFFERS}';")
    server.stop()
    server = PostgresServer(folder).start()
    os.sched_setaffinity(_postmaster(folder), {cores()[0]})
    return server


async def measure(bench: Bench) -> Rows:
    table = Table()
    corpus = unpacked()
    pages = [*help_pages(corpus), *manual_pages(corpus)]
    with TemporaryDirectory(prefix="fdl") as made:
        folder = Path(made) / "pg"
        server = _started(folder)
        try:
            for size in (5_000, 10_000) if bench.quick else (10_000, 100_000):
                await _sized(bench, table, server, folder=folder, size=size, pages=pages)
        finally:
            server.stop()
    return table.rows()
