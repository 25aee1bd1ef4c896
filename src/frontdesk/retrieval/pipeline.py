"""From files and links to chunks in a store: fetched, extracted and cut, embedded, stored, each document by itself."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np

from frontdesk.ports.chunk_store import ChunkStore, DocumentChunk
from frontdesk.ports.embedder import Embedder, Vectors
from frontdesk.retrieval.errors import SourceError
from frontdesk.retrieval.extract import Extracted, Extractor
from frontdesk.retrieval.fetch_url import LinkFetcher
from frontdesk.retrieval.passages import passages_of


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file on this machine, which stays where it is. `document` is the id that its chunks are stored under."""

    document: str
    name: str
    path: Path


class Link(msgspec.Struct, frozen=True, kw_only=True):
    document: str
    url: str


class Stage(StrEnum):
    fetching = "fetching"
    extracting = "extracting"
    embedding = "embedding"
    storing = "storing"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A stage begins with none `done`. `total` is the number of chunks from `embedding` on, and 1 before."""

    document: str
    stage: Stage
    done: int
    total: int


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """`cut` tells that the document has more text than was taken of it."""

    document: str
    chunks: int
    characters: int
    cut: bool


class NotIngested(msgspec.Struct, frozen=True, kw_only=True):
    document: str
    error: SourceError


Report = Callable[[Progress], None]
"""It is called on the event loop, and must return at once and raise nothing."""


class DocumentPipeline:
    """The passages of `batch` chunks are embedded at once; in between others have their turn. To be used within one
    event loop.
    """

    def __init__(
        self,
        *,
        extractor: Extractor,
        fetcher: LinkFetcher,
        embedder: Embedder,
        store: ChunkStore,
        scratch: Path,
        batch: int = 8,
    ) -> None:
        self._extractor = extractor
        self._fetcher = fetcher
        self._embedder = embedder
        self._store = store
        self._scratch = scratch
        self._batch = batch

    async def ingest(self, sources: Sequence[File | Link], report: Report) -> list[Ingested | NotIngested]:
        """What became of each, in their order. One that cannot be used does not keep the others from it.

        Cancelling it leaves nothing running and nothing on disk; what is stored by then is whole. Raises what embedder
        and store raise (`UnavailableError`), since that is no document's fault, and then ends the others too.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ingest(source, report)) for source in sources]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        return [task.result() for task in tasks]

    async def _ingest(self, source: File | Link, report: Report) -> Ingested | NotIngested:
        try:
            extracted = await self._extracted(source, report)
        except SourceError as error:
            return NotIngested(document=source.document, error=error)
        document = source.document
        chunks = extracted.chunks
        vectors = await self._embedded(document, chunks, report)
        count = len(chunks)
        report(Progress(document=document, stage=Stage.storing, done=0, total=count))
        await self._store.put(document, chunks, vectors)
        report(Progress(document=document, stage=Stage.storing, done=count, total=count))
        return Ingested(document=document, chunks=count, characters=len(extracted.text), cut=extracted.cut)

    async def _extracted(self, source: File | Link, report: Report) -> Extracted:
        if isinstance(source, File):
            report(Progress(document=source.document, stage=Stage.extracting, done=0, total=1))
            return await self._extractor.extract(source.path, name=source.name)
        report(Progress(document=source.document, stage=Stage.fetching, done=0, total=1))
        folder = tempfile.mkdtemp(prefix="link-", dir=self._scratch)
        try:
            fetched = await self._fetcher.fetch(source.url, Path(folder) / "content")
            report(Progress(document=source.document, stage=Stage.extracting, done=0, total=1))
            return await self._extractor.extract(fetched.path, name=source.url)
        finally:
            # To remove a large file takes its time.
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _embedded(self, document: str, chunks: Sequence[DocumentChunk], report: Report) -> list[Vectors]:
        made: list[Vectors] = []
        for done in range(0, len(chunks), self._batch):
            report(Progress(document=document, stage=Stage.embedding, done=done, total=len(chunks)))
            passages = await asyncio.to_thread(_passages, chunks[done : done + self._batch])
            rows = await self._embedder.embed_passages([text for texts in passages for text in texts])
            made += np.split(rows, np.cumsum([len(texts) for texts in passages])[:-1])
        return made


def _passages(chunks: Sequence[DocumentChunk]) -> list[list[str]]:
    return [passages_of(chunk) for chunk in chunks]
