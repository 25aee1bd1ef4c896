"""A store of chunks in memory: what was put, whole documents only."""

from collections.abc import Sequence

from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.ports.embedder import Vectors


class MemoryChunkStore:
    def __init__(self) -> None:
        self.documents: dict[str, tuple[list[DocumentChunk], list[Vectors]]] = {}

    async def put(self, document: str, chunks: Sequence[DocumentChunk], vectors: Sequence[Vectors]) -> None:
        assert len(chunks) == len(vectors)
        self.documents[document] = (list(chunks), list(vectors))
