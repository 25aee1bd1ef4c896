"""Meaning: the embedder and the index of vectors as search uses them, opened when they are first needed.

Neither is needed for chat: while they cannot be used, nothing else stops.
"""

from collections.abc import Awaitable, Callable, Sequence

from frontdesk.errors import ConfigurationError, SearchIndexError, UnavailableError
from frontdesk.ports.embedder import Embedder, Vectors
from frontdesk.ports.vector_index import Collection, Neighbour, VectorEntry, VectorIndex, Where
from frontdesk.retrieval.models import Generation, IndexedMessage
from frontdesk.retrieval.opened_once import OpenedOnce

NAME = "messages"
PASSAGE_LENGTH = 2_000  # of a longer message the beginning stands for the whole
Opening = Callable[[], Awaitable[tuple[Embedder, VectorIndex]]]
FAILURES = (UnavailableError, SearchIndexError, ConfigurationError)


class Meaning:
    """`opening` gives both opened, and may be tried again; this closes the index, the embedder is its owner's to close.
    Without it there are none here, for the `reason` given.
    """

    def __init__(self, opening: Opening | None, *, reason: str = "Search by meaning is not set up") -> None:
        self._parts = OpenedOnce(opening, reason=reason)

    @property
    def is_configured(self) -> bool:
        return self._parts.is_configured

    async def open(self) -> tuple[Embedder, VectorIndex]:
        """Raises `UnavailableError` or `SearchIndexError`; the next call tries again."""
        return await self._parts.get()

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
        vectors = await embedder.embed_passages([message.text[:PASSAGE_LENGTH] for message in messages])
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
        held = self._parts.take()
        if held is not None:
            await held[1].aclose()


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
