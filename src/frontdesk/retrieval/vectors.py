"""Meaning: the embedder and the index of vectors as search uses them, opened when they are first needed.

Neither is needed for chat. While they cannot be used, `problem` says why, and nothing else stops.
"""

import asyncio
from collections.abc import Sequence

from frontdesk.errors import ConfigurationError, FrontdeskError, SearchIndexError, UnavailableError
from frontdesk.ports.embedder import Embedder, Vectors
from frontdesk.ports.vector_index import Collection, Neighbour, VectorEntry, VectorIndex, Where
from frontdesk.retrieval.models import Generation, IndexedMessage

NAME = "messages"
FAILURES = (UnavailableError, SearchIndexError, ConfigurationError)


class Meaning:
    """Owns both: it opens and closes them. `reason` is why there are none here, where they could not be made."""

    def __init__(self, embedder: Embedder | None, index: VectorIndex | None, *, reason: str = "") -> None:
        self._embedder = embedder
        self._index = index
        self._opening = asyncio.Lock()
        self._is_open = False
        self.problem: str | None = reason or None

    @property
    def is_configured(self) -> bool:
        return self._embedder is not None

    async def open(self) -> tuple[Embedder, VectorIndex]:
        """Raises `UnavailableError` or `SearchIndexError`; the next call tries again."""
        if self._embedder is None or self._index is None:
            raise UnavailableError(self.problem or "Search by meaning is not set up", retry_after=60)
        async with self._opening:
            if not self._is_open:
                try:
                    await self._embedder.open()
                    await self._index.open()
                except ConfigurationError as error:
                    self.problem = error.detail
                    raise UnavailableError(error.detail, retry_after=60) from error
                except FrontdeskError as error:
                    self.problem = error.detail
                    raise
                self._is_open = True
                self.problem = None
        return self._embedder, self._index

    async def made(self) -> dict[str, str | int]:
        """What is recorded with a generation that is filled here."""
        embedder, _ = await self.open()
        return {"model": embedder.model, "dimension": embedder.dimension}

    async def collection(self, generation: Generation) -> Collection:
        """Raises `SearchIndexError` when its vectors are not of this embedder."""
        embedder, _ = await self.open()
        if generation.model is None or generation.dimension is None:
            raise SearchIndexError("The search index holds no vectors yet")
        if (generation.model, generation.dimension) != (embedder.model, embedder.dimension):
            raise SearchIndexError(
                f"The search index was made by {generation.model} ({generation.dimension} dimensions), and this server"
                f" embeds with {embedder.model} ({embedder.dimension})"
            )
        return collection_of(generation)

    async def put(self, collections: Sequence[Collection], messages: Sequence[IndexedMessage]) -> None:
        """Into each of them, embedded once."""
        if not messages:
            return
        embedder, index = await self.open()
        vectors = await embedder.embed_passages([message.text for message in messages])
        for collection in collections:
            await index.put(collection, [_entry(message) for message in messages], vectors)

    async def remove(
        self, collections: Sequence[Collection], *, messages: Sequence[str], threads: Sequence[str]
    ) -> None:
        _, index = await self.open()
        for collection in collections:
            if messages:
                await index.remove(collection, messages)
            if threads:
                await index.remove_groups(collection, threads)

    async def embed_question(self, question: str) -> Vectors:
        embedder, _ = await self.open()
        return await embedder.embed_queries([question])

    async def nearest(self, collection: Collection, vector: Vectors, *, where: Where, count: int) -> list[Neighbour]:
        _, index = await self.open()
        return await index.nearest(collection, vector, where=where, count=count)

    async def create(self, generation: Generation) -> None:
        _, index = await self.open()
        await index.create(collection_of(generation))

    async def drop(self, generation: Generation) -> None:
        if generation.model is not None:
            _, index = await self.open()
            await index.drop(collection_of(generation))

    async def aclose(self) -> None:
        if self._is_open and self._embedder is not None and self._index is not None:
            self._is_open = False
            await self._index.aclose()
            await self._embedder.aclose()


def collection_of(generation: Generation) -> Collection:
    return Collection(
        name=NAME,
        generation=generation.generation,
        model=generation.model or "",
        dimension=generation.dimension or 0,
    )


def _entry(message: IndexedMessage) -> VectorEntry:
    labels = {"role": message.role} if message.model is None else {"role": message.role, "model": message.model}
    return VectorEntry(
        id=message.id,
        owner=message.user_id,
        group=message.thread_id,
        made_at=message.created_at.timestamp(),
        labels=labels,
    )
