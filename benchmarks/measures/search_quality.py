"""How good the answers of search are, on real text in English and Russian, beside plain Chroma and plain BM25.

A question is the title of a help page or the summary of a manual page (`known`), which are not in the index, or the
page's first entry in the printed index or its name (`keyword`): what is known to answer it is the page itself. Of a
`topic` it is the pages that the page's writers refer to as related. All pages of both
languages are in one index, in chunks of the same cut for everybody, and count as one answer each.
"""

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import bm25s
import chromadb
from chromadb.config import Settings

from benchmarks.bench import Bench, say
from benchmarks.corpus.help_pages import help_pages
from benchmarks.corpus.kept_embedder import KeptEmbedder
from benchmarks.corpus.manual_pages import manual_pages
from benchmarks.corpus.packages import unpacked
from benchmarks.corpus.pages import Page
from benchmarks.corpus.ranking import DEPTH, ndcg, recall, reciprocal_rank
from benchmarks.corpus.stored import Said, searching, store
from benchmarks.figures import Rows, Table
from benchmarks.machine import on_every_core
from benchmarks.replicas import postgres
from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.adapters.vector_index.pgvector import PgvectorIndex
from frontdesk.database import Database, open_database
from frontdesk.database.migrations import upgrade
from frontdesk.ports.vector_index import VectorIndex
from frontdesk.retrieval.words import stems_of

OWNER = "the-owner-of-all"
EVERY = 3  # page is asked for; all are in the index
LOOKED_AT = 4  # of so many questions one was looked at while search was made, and is not asked here
MODES = ("semantic", "text", "hybrid")
PLAIN_CHROMA, BM25S, BM25S_STEMS = "plain Chroma", "bm25s", "bm25s, our stems"
MOST_CHUNKS = 60  # so that ten pages and the asked one are among them
Rank = Callable[[str], Awaitable[list[str]]]


class Asked(NamedTuple):
    """`besides` is left out of the ranking: the page that the question is taken from, where others are asked for."""

    kind: str
    text: str
    right: frozenset[str]
    besides: str | None = None


def questions(pages: Sequence[Page]) -> list[Asked]:
    keys = {page.key for page in pages}
    named: dict[str, set[str]] = {}
    for page in pages:
        named.setdefault(page.keyword, set()).add(page.key)
    asked = []
    for page in pages[::EVERY]:
        asked.append(Asked(f"{page.language}_known", page.question, frozenset({page.key})))
        if page.keyword:
            asked.append(Asked(f"{page.language}_keyword", page.keyword, frozenset(named[page.keyword])))
        if topic := page.topic.intersection(keys) - {page.key}:
            asked.append(Asked(f"{page.language}_topic", page.question, topic, besides=page.key))
    return asked


async def _rate(table: Table, name: str, asked: Sequence[Asked], rank: Rank) -> None:
    kinds: dict[str, list[tuple[float, float, float]]] = {}
    rankings: dict[str, list[str]] = {}
    for each in asked:
        if each.text not in rankings:
            rankings[each.text] = await rank(each.text)
        ranking = [key for key in rankings[each.text] if key != each.besides]
        rated = (ndcg(ranking, each.right), reciprocal_rank(ranking, each.right), recall(ranking, each.right))
        for kind in (each.kind, each.kind[:2], "all"):
            kinds.setdefault(kind, []).append(rated)
    for kind, ratings in kinds.items():
        means = (sum(values) / len(ratings) for values in zip(*ratings, strict=True))
        table.add(name, **{f"{kind}_{m}": value for m, value in zip(("ndcg10", "mrr", "recall10"), means, strict=True)})
    say(f"  {name}")


async def _ours(table: Table, name: str, pages: Sequence[Page], asked: Sequence[Asked], parts: "_Parts") -> None:
    database, embedder, index = parts
    async with searching(database, embedder, index) as search:
        ids = await store(database, (Said(OWNER, page.messages) for page in pages))
        keys = dict(zip(ids, (page.key for page in pages), strict=True))
        await search.indexer.run()
        for mode in MODES:

            async def rank(text: str, mode: str = mode) -> list[str]:
                found = await search.find(OWNER, text, mode, limit=DEPTH + 1)
                return [keys[hit.thread_id] for hit in found.hits]

            await _rate(table, f"{mode}, {name}", asked, rank)


class _Parts(NamedTuple):
    database: Database
    embedder: KeptEmbedder
    index: VectorIndex


@asynccontextmanager
async def _embedded(folder: Path, corpus: Path) -> AsyncIterator[_Parts]:
    url = f"sqlite:///{folder / 'search.db'}"
    upgrade(url)
    database = open_database(url, pool_size=2, timeout=60)
    yield _Parts(database, KeptEmbedder(corpus / "vectors.sqlite3"), ChromaVectorIndex(str(folder / "chroma")))
    await database.aclose()


@asynccontextmanager
async def _shared(folder: Path, corpus: Path) -> AsyncIterator[_Parts]:
    with postgres(folder / "pg") as server:
        database = open_database(await server.database("quality"), pool_size=4, timeout=60)
        yield _Parts(database, KeptEmbedder(corpus / "vectors.sqlite3"), PgvectorIndex(database))
        await database.aclose()


class _Chunks(NamedTuple):
    keys: list[str]
    texts: list[str]

    def pages(self, numbers: Sequence[int]) -> list[str]:
        """Each page once, in the order of its first chunk."""
        return list(dict.fromkeys(self.keys[number] for number in numbers))


async def _plain_chroma(table: Table, chunks: _Chunks, asked: Sequence[Asked], *, corpus: Path, folder: Path) -> None:
    """As its tutorial has it, with the same embedder: a collection with its defaults and the cosine."""
    embedder = KeptEmbedder(corpus / "vectors.sqlite3")
    await embedder.open()
    client = chromadb.PersistentClient(str(folder / "plain"), Settings(anonymized_telemetry=False))
    collection = client.create_collection("plain", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None)
    vectors = await embedder.embed_passages(chunks.texts)
    for start in range(0, len(vectors), 1_000):
        numbers = range(start, min(start + 1_000, len(vectors)))
        collection.add(ids=[str(number) for number in numbers], embeddings=vectors[start : start + 1_000])

    async def rank(text: str) -> list[str]:
        vector = await embedder.embed_queries([text])
        found = collection.query(query_embeddings=vector, n_results=MOST_CHUNKS, include=[])
        return chunks.pages([int(number) for number in found["ids"][0]])

    await _rate(table, PLAIN_CHROMA, asked, rank)
    await embedder.aclose()


async def _bm25(table: Table, name: str, chunks: _Chunks, asked: Sequence[Asked]) -> None:
    """With its own words and English stop words, or with our stems."""

    def tokens(texts: Sequence[str]) -> list[list[str]]:
        if name == BM25S_STEMS:
            return [stems_of(text) for text in texts]
        found: list[list[str]] = bm25s.tokenize(list(texts), return_ids=False, show_progress=False)
        return found

    retriever = bm25s.BM25()
    retriever.index(tokens(chunks.texts), show_progress=False)

    async def rank(text: str) -> list[str]:
        numbers, scores = retriever.retrieve(tokens([text]), k=MOST_CHUNKS, show_progress=False)
        return chunks.pages([int(n) for n, score in zip(numbers[0], scores[0], strict=True) if score > 0])

    await _rate(table, name, asked, rank)


async def measure(bench: Bench) -> Rows:
    table = Table()
    corpus = unpacked()
    pages = [*help_pages(corpus), *manual_pages(corpus)][:: bench.count(4, 1)]
    asked = [each for each in questions(pages) if zlib.crc32(each.text.encode()) % LOOKED_AT]
    say(f"  {len(pages):,} pages, {len(asked):,} questions")
    chunks = _Chunks(
        [page.key for page in pages for _ in page.messages], [text for page in pages for text in page.messages]
    )
    with TemporaryDirectory(prefix="fdq") as made, on_every_core():
        folder = Path(made)
        for kind, opened in (("SQLite and Chroma", _embedded), ("PostgreSQL and pgvector", _shared)):
            async with opened(folder, corpus) as parts:
                await _ours(table, kind, pages, asked, parts)
        await _plain_chroma(table, chunks, asked, corpus=corpus, folder=folder)
        for name in (BM25S, BM25S_STEMS):
            await _bm25(table, name, chunks, asked)
    return table.rows()
