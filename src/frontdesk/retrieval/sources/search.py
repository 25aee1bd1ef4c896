"""Finding chunks: a session's are all compared with the question, by their vectors and by their words.

A chunk has a vector for each of its passages, and is as near as the nearest of them. Exact, so that nothing is ever
missed and nobody else's vectors are looked at; a session has `MOST_CHUNKS` at most.
"""

import asyncio
from collections.abc import Sequence

import numpy as np

from frontdesk.database import Database
from frontdesk.ports.embedder import Embedder, Vectors
from frontdesk.retrieval.passages import packed_words
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import FoundChunk, Searchable
from frontdesk.retrieval.sources.ranking import best_of
from frontdesk.retrieval.words import asked_stems

_MOST_STEMS = 32


class SourceSearch:
    """`embedder` is open, and somebody else's to close."""

    def __init__(self, *, database: Database, embedder: Embedder) -> None:
        self._database = database
        self._embedder = embedder

    async def find(self, session_id: str, question: str, *, count: int) -> list[FoundChunk]:
        """The session's chunks that are likeliest to answer, best first. Raises `UnavailableError`."""
        vector = await self._embedder.embed_queries([question])
        return await self.nearest(session_id, question, vector, count=count)

    async def nearest(self, session_id: str, question: str, vector: Vectors, *, count: int) -> list[FoundChunk]:
        """The same with the question's vector, a row of its own."""
        all_of_it = await self._read(session_id)
        if None in all_of_it.words:
            await self._fill_in(session_id)
            all_of_it = await self._read(session_id)
        best = await asyncio.to_thread(_best, all_of_it, question, vector, count=count)
        if not best:
            return []
        found = await self._database.read(lambda connection: sources.list_chunks(connection, session_id, best))
        by_id = {chunk.id: chunk for chunk in found}
        return [by_id[one] for one in best if one in by_id]

    async def _read(self, session_id: str) -> Searchable:
        model = self._embedder.model
        return await self._database.read(lambda connection: sources.list_searchable(connection, session_id, model))

    async def _fill_in(self, session_id: str) -> None:
        """The words of chunks that a program without them has stored."""
        lacking = await self._database.read(lambda connection: sources.list_without_words(connection, session_id))
        made = await asyncio.to_thread(lambda: {one: packed_words(*texts) for one, texts in lacking.items()})
        await self._database.write(lambda connection: sources.set_words(connection, made))


def packed_rows(vectors: Sequence[Vectors]) -> list[bytes]:
    """As they are stored, a chunk's behind each other: little-endian, four bytes a number."""
    return [np.ascontiguousarray(rows, dtype="<f4").tobytes() for rows in vectors]


def _best(all_of_it: Searchable, question: str, vector: Vectors, *, count: int) -> dict[str, float]:
    """The ids of the best with their cosines, best first. Rows of another length were made with other options of the
    same model.
    """
    ids, width = all_of_it.ids, vector.shape[1] * 4
    passages = np.array([len(rows) // width for rows in all_of_it.vectors])
    if not ids or passages.min() < 1 or any(len(rows) % width for rows in all_of_it.vectors):
        return {}
    cosines = np.frombuffer(b"".join(all_of_it.vectors), dtype="<f4").reshape(-1, vector.shape[1]) @ vector[0]
    similarities = np.maximum.reduceat(cosines, np.cumsum(passages) - passages).astype(np.float64)
    words = [row or b"" for row in all_of_it.words]
    best = best_of(similarities, asked_stems(question, limit=_MOST_STEMS), words, count=count)
    return {ids[place]: float(similarities[place]) for place in best}
