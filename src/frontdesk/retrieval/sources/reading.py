"""Reading what was brought: each source by itself, out of the blob store or from its link, into chunks with vectors.

What is read of one source is stored in one transaction with the state that says so. So whoever begins again, in any
process, reads what is not settled yet and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import NotFoundError, UnavailableError
from frontdesk.kit.ids import new_id
from frontdesk.ports.blob_store import BlobStore
from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.ports.embedder import Embedder, Vectors
from frontdesk.retrieval.errors import BrokenDocumentError, SessionFullError, SourceError, SourceTooSlowError
from frontdesk.retrieval.extract import Extractor
from frontdesk.retrieval.fetch_url import LinkFetcher
from frontdesk.retrieval.passages import packed_words
from frontdesk.retrieval.pipeline import DocumentPipeline, File, Link, NotIngested, Progress
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import MOST_CHUNKS, Source, SourceType
from frontdesk.retrieval.sources.search import packed_rows

_SECONDS = 240.0  # for one source, its wait for the others included
_TRIES = 3
_RETRY_SECONDS = 1.0
_WRITE_BYTES = 1_048_576
Report = Callable[[Source, dict[str, Any]], None]
"""It is called on the event loop with a source and what is told of it, and must return at once and raise nothing."""


class SourceReader:
    """`scratch` is a directory of its own. To be used within one event loop."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        extractor: Extractor,
        fetcher: LinkFetcher,
        embedder: Embedder,
        scratch: Path,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._embedder = embedder
        self._scratch = scratch
        self._pipeline = DocumentPipeline(
            extractor=extractor,
            fetcher=fetcher,
            embedder=embedder,
            store=_Store(database, embedder.model),
            scratch=scratch,
        )

    async def read(self, pending: Sequence[Source], report: Report) -> None:
        """To the end of each. One that cannot be used has failed, with the reason, and keeps no other from being read.

        Cancelled, it leaves what is not settled for the next one; so it does when it raises `UnavailableError`, since
        the database is away.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for source in pending:
                    group.create_task(self._read(source, report))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _read(self, source: Source, report: Report) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                await self._ingest(source, report)
        except TimeoutError:
            await self._fail(source, SourceTooSlowError(source.source_name), report)
        except SourceError as error:
            await self._fail(source, error, report)
        except UnavailableError as error:
            await self._fail(source, SourceError(source.source_name, error.detail), report)

    async def _ingest(self, source: Source, report: Report) -> None:
        """Raises `SourceError`, and `UnavailableError` for what stays away."""
        for _ in range(_TRIES - 1):
            try:
                await self._ingest_once(source, report)
            except UnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return
        await self._ingest_once(source, report)

    async def _ingest_once(self, source: Source, report: Report) -> None:
        def tell(progress: Progress) -> None:
            report(source, {"stage": progress.stage, "done": progress.done, "total": progress.total})

        async with self._opened(source) as document:
            (outcome,) = await self._pipeline.ingest([document], tell)
        if isinstance(outcome, NotIngested):
            raise outcome.error
        if outcome.cut:
            await self._database.write(lambda connection: sources.note_cut(connection, source.id))
        report(source, {"stage": "ready", "done": outcome.chunks, "total": outcome.chunks})

    @asynccontextmanager
    async def _opened(self, source: Source) -> AsyncIterator[File | Link]:
        if source.source_type is SourceType.url:
            yield Link(document=source.id, url=source.source_name)
            return
        path = self._scratch / new_id()
        try:
            await self._copy(source, path)
            yield File(document=source.id, name=source.source_name, path=path)
        finally:
            path.unlink(missing_ok=True)

    async def _copy(self, source: Source, path: Path) -> None:
        """Raises `BrokenDocumentError` when it is gone."""
        waiting = bytearray()
        try:
            async with self._blobs.open(source.blob_key or "") as blob:
                async for piece in blob.body():
                    waiting += piece
                    if len(waiting) >= _WRITE_BYTES:
                        await asyncio.to_thread(_append, path, waiting)
                        waiting = bytearray()
        except NotFoundError as error:
            raise BrokenDocumentError(source.source_name, "The file is not there any more") from error
        await asyncio.to_thread(_append, path, waiting)

    async def _fail(self, source: Source, error: SourceError, report: Report) -> None:
        await self._database.write(
            lambda connection: sources.settle_failed(connection, source.id, code=error.code, message=error.detail)
        )
        report(source, {"stage": "failed", "error": {"code": error.code, "message": error.detail}})


class _Store:
    """As `ChunkStore` has it, for sources."""

    def __init__(self, database: Database, model: str) -> None:
        self._database = database
        self._model = model

    async def put(self, document: str, chunks: Sequence[DocumentChunk], vectors: Sequence[Vectors]) -> None:
        """Raises `SessionFullError`. What was read of the same file or link before gives way."""
        packed, words = await asyncio.to_thread(_packed, chunks, vectors)

        def work(connection: Connection) -> None:
            source = sources.lock(connection, document)
            if source is None:
                return
            known = sources.list_of_thread(connection, source.thread_id)
            sources.drop_chunks(connection, [one.id for one in known if _is_same(one, source)])
            if sources.count_chunks(connection, source.session_id) + len(chunks) > MOST_CHUNKS:
                raise SessionFullError(source.source_name)
            sources.add_chunks(connection, source, chunks, model=self._model, vectors=packed, words=words)
            sources.settle_ready(connection, source.id, chunks=len(chunks))

        await self._database.write(work)


def _packed(chunks: Sequence[DocumentChunk], vectors: Sequence[Vectors]) -> tuple[list[bytes], list[bytes]]:
    return packed_rows(vectors), [packed_words(chunk.content, chunk.heading) for chunk in chunks]


def _is_same(one: Source, other: Source) -> bool:
    if one.id == other.id:
        return True
    if other.attachment_id is not None:
        return one.attachment_id == other.attachment_id
    return one.source_type is SourceType.url and one.source_name == other.source_name


def _append(path: Path, data: bytes | bytearray) -> None:
    with path.open("ab") as file:
        file.write(data)
