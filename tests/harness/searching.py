"""Search put together over a real database, with an exact index in memory and an embedder that knows a few meanings."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import text as sql

from frontdesk.errors import SearchIndexError, UnavailableError
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import HeldClock, SystemClock
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, Neighbour, VectorEntry, Where
from frontdesk.retrieval import generations
from frontdesk.retrieval.indexing import Indexer
from frontdesk.retrieval.likeness import Likeness
from frontdesk.retrieval.repository import Filters, Scope
from frontdesk.retrieval.service import Findings, Mode, Question, SearchService
from frontdesk.retrieval.vectors import Meaning
from frontdesk.retrieval.words import stems_of
from harness.conversations import Core, open_core

MEANINGS = (
    {"cat", "kitten", "кошк", "pet"},
    {"invoic", "счет", "payment", "оплат"},
    {"printer", "принтер", "paper"},
    {"holiday", "отпуск", "vacat", "beach"},
)
UNREACHABLE = "http://127.0.0.1:9/v1"


class MeaningEmbedder:
    """A direction for each meaning; texts without one are unlike everything."""

    def __init__(self, model: str = "meanings") -> None:
        self.model = model
        self.dimension = len(MEANINGS) + 1
        self.away = False

    async def open(self) -> None:
        if self.away:
            raise UnavailableError("The embedder is away")

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        if self.away:
            raise UnavailableError("The embedder is away")
        return np.stack([self._vector(text) for text in texts])

    embed_passages = embed_queries

    async def aclose(self) -> None: ...

    def _vector(self, text: str) -> Vectors:
        stems = set(stems_of(text))
        counts = np.array([0.01, *(len(stems & meaning) for meaning in MEANINGS)], dtype=np.float32)
        return counts / np.linalg.norm(counts)


class ExactIndex:
    """Survives `aclose`, as a store on disk does. `lost` is what a corrupt one says; `before_put` happens once."""

    def __init__(self) -> None:
        self.collections: dict[Collection, dict[str, tuple[VectorEntry, Vectors]]] = {}
        self.lost = False
        self.puts = 0
        self.before_put: Callable[[], Awaitable[object]] | None = None

    async def open(self) -> None: ...

    async def check(self) -> None:
        if self.lost:
            raise SearchIndexError("The vectors are lost")

    async def create(self, collection: Collection) -> None:
        self.collections.setdefault(collection, {})

    async def drop(self, collection: Collection) -> None:
        self.collections.pop(collection, None)

    async def put(self, collection: Collection, entries: Sequence[VectorEntry], vectors: Vectors) -> None:
        if self.before_put is not None:
            act, self.before_put = self.before_put, None
            await act()
        self.puts += len(entries)
        held = await self._held(collection)
        held.update({entry.id: (entry, vector) for entry, vector in zip(entries, vectors, strict=True)})

    async def remove(self, collection: Collection, ids: Sequence[str]) -> None:
        held = await self._held(collection)
        for each in ids:
            held.pop(each, None)

    async def remove_groups(self, collection: Collection, groups: Sequence[str]) -> None:
        held = await self._held(collection)
        await self.remove(collection, [each for each, (entry, _) in held.items() if entry.group in groups])

    async def nearest(self, collection: Collection, vector: Vectors, *, where: Where, count: int) -> list[Neighbour]:
        held = await self._held(collection)
        near = [
            Neighbour(entry.id, entry.group, float(known @ vector[0]))
            for entry, known in held.values()
            if entry.owner == where.owner
            and (where.groups is None or entry.group in where.groups)
            and all(entry.labels.get(name) == value for name, value in where.labels.items())
            and (where.since or entry.made_at) <= entry.made_at <= (where.until or entry.made_at)
        ]
        return sorted(near, key=lambda neighbour: -neighbour.similarity)[:count]

    async def ids(self, collection: Collection, *, after: str | None, count: int) -> list[str]:
        return sorted(each for each in await self._held(collection) if after is None or each > after)[:count]

    async def count(self, collection: Collection) -> int:
        return len(await self._held(collection))

    async def aclose(self) -> None: ...

    async def _held(self, collection: Collection) -> dict[str, tuple[VectorEntry, Vectors]]:
        if self.lost or collection not in self.collections:
            raise SearchIndexError("The vectors are lost")
        return self.collections[collection]

    def held(self) -> set[str]:
        """Ids in any collection."""
        return {each for entries in self.collections.values() for each in entries}


@dataclass
class Searching:
    """A core and the search over it. `indexer` works when it is told to, by a `clock` that is held."""

    core: Core
    index: ExactIndex
    embedder: MeaningEmbedder
    clock: HeldClock
    meaning: Meaning
    indexer: Indexer
    service: SearchService

    def another_indexer(self) -> Indexer:
        """As another process has it."""
        return Indexer(database=self.core.database, clock=self.clock, meaning=self.meaning)

    async def rows(self, table: str) -> list[Any]:
        statement = sql(f"SELECT * FROM {table}")  # noqa: S608  a test's own word
        return list(await self.core.database.read(lambda connection: connection.execute(statement).mappings().all()))

    async def request_rebuilding(self) -> int:
        now = self.clock.now()
        row = await self.core.database.write(lambda connection: generations.request(connection, now=now))
        return row.generation

    async def say(self, text: str, *, thread_id: str | None = None, **metadata: Any) -> tuple[str, str]:
        """The thread, a new one unless it is given, and the message."""
        thread_id = thread_id or await self.core.thread(**metadata)
        return thread_id, (await self.core.send(thread_id, text)).id

    async def find(
        self,
        text: str,
        mode: str = "hybrid",
        *,
        user: Principal | None = None,
        limit: int = 20,
        offset: int = 0,
        **filters: Any,
    ) -> Findings:
        scope = Scope(user or self.core.user, Filters(**filters))
        return await self.service.search(Question(scope=scope, text=text, mode=Mode(mode), limit=limit, offset=offset))

    async def threads_of(self, text: str, mode: str = "hybrid", **options: Any) -> list[str]:
        return [hit.thread_id for hit in (await self.find(text, mode, **options)).hits]


@asynccontextmanager
async def open_searching(
    database_url: str,
    *,
    index: ExactIndex | None = None,
    embedder: MeaningEmbedder | None = None,
    user: Principal | None = None,
    model: str | None = None,
) -> AsyncIterator[Searching]:
    """With a `model`'s address messages are answered."""
    index, embedder = index or ExactIndex(), embedder or MeaningEmbedder()
    clock = HeldClock(SystemClock().now())
    async with open_core(database_url, model or UNREACHABLE, llm_enabled=model is not None, user=user) as core:
        held = (embedder, index)

        async def opening() -> tuple[MeaningEmbedder, ExactIndex]:
            await embedder.open()
            return held

        meaning = Meaning(opening)
        likeness = Likeness(database=core.database, meaning=meaning, least=0.3)
        yield Searching(
            core=core,
            index=index,
            embedder=embedder,
            clock=clock,
            meaning=meaning,
            indexer=Indexer(database=core.database, clock=clock, meaning=meaning),
            service=SearchService(database=core.database, likeness=likeness, enabled=True),
        )
        await meaning.aclose()
