"""Finding chunks: a session's vectors are all compared with the question, and the best by its words.

Exact, so that nothing is ever missed and nobody else's vectors are looked at; a session has `MOST_CHUNKS` at most.
"""

import asyncio
import math
from collections.abc import Sequence

import numpy as np

from frontdesk.database import Database
from frontdesk.ports.embedder import Embedder, Vectors
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import FoundChunk
from frontdesk.retrieval.words import asked_stems, stem_set

_CANDIDATES = 24
_MOST_STEMS = 32
_WEIGHT_OF_WORDS = 0.08  # of cosines of E5 that lie within 0.15 of each other; measured by benchmarks.attachments


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
        model, wanted = self._embedder.model, max(count, _CANDIDATES)
        ids, packed = await self._database.read(lambda connection: sources.list_vectors(connection, session_id, model))
        best = await asyncio.to_thread(_nearest, ids, packed, vector, count=wanted)
        if not best:
            return []
        found = await self._database.read(lambda connection: sources.list_chunks(connection, session_id, best))
        return (await asyncio.to_thread(_ranked, question, found))[:count]


def packed_rows(vectors: Vectors) -> list[bytes]:
    """As they are stored: little-endian, four bytes a number."""
    return [row.tobytes() for row in np.ascontiguousarray(vectors, dtype="<f4")]


def _nearest(ids: Sequence[str], packed: bytes, vector: Vectors, *, count: int) -> dict[str, float]:
    """Cosines of the nearest, by their ids. Rows of another length were made with other options of the same model."""
    width = vector.shape[1] * 4
    if not ids or len(packed) != len(ids) * width:
        return {}
    similarities = np.frombuffer(packed, dtype="<f4").reshape(len(ids), -1) @ vector[0]
    top = np.argsort(-similarities, kind="stable")[:count]
    return {ids[place]: float(similarities[place]) for place in top}


def _ranked(question: str, found: Sequence[FoundChunk]) -> list[FoundChunk]:
    """By meaning, and by how many of the question's words a chunk has, the rare ones before the common ones."""
    asked = asked_stems(question, limit=_MOST_STEMS)
    stems = {chunk.id: stem_set(chunk.content) for chunk in found}
    held = {stem: sum(stem in one for one in stems.values()) for stem in asked}
    weights = {stem: math.log(1 + len(found) / count) for stem, count in held.items() if count}
    total = sum(weights.values()) or 1.0

    def score(chunk: FoundChunk) -> float:
        shared = sum(weight for stem, weight in weights.items() if stem in stems[chunk.id])
        return chunk.similarity + _WEIGHT_OF_WORDS * shared / total

    return sorted(found, key=lambda chunk: (-score(chunk), chunk.id))
