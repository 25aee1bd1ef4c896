"""Blobs as files of one directory, which several processes may share."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from errno import EDQUOT, ENOSPC
from itertools import islice
from pathlib import Path
from typing import TypeVar

from frontdesk.adapters.blob_store.local_files import (
    INCOMING,
    SUFFIX,
    FileBeingRead,
    FileBeingStored,
    can_write,
    remove,
    sweep,
)
from frontdesk.adapters.blob_store.pieces import PIECE_BYTES, gathered
from frontdesk.attachments.links import BlobLinks, Download, Upload
from frontdesk.errors import (
    NotFoundError,
    RangeNotSatisfiableError,
    StorageFullError,
    StorageUnavailableError,
)
from frontdesk.ports.blob_store import BlobInfo, OpenBlob, StoredBlob, UploadLink, require_key, require_prefix

T = TypeVar("T")
_THREADS = 4
_LISTED_AT_ONCE = 500


class LocalBlobStore:
    """`root` is made when the first blob comes. `links` make its addresses, which the server itself answers."""

    def __init__(self, root: Path, links: BlobLinks) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._links = links
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="blobs")

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        max_bytes: int,
        name: str | None = None,  # noqa: ARG002  a link's business here
    ) -> StoredBlob:
        path = self._path(key)
        upload, size = FileBeingStored(self._root), 0
        try:
            await self._run(upload.begin)
            async for piece in gathered(chunks, max_bytes=max_bytes):
                await self._run(lambda: upload.write(piece))  # noqa: B023  awaited here
                size += len(piece)
            digest = await self._run(lambda: upload.finish(path))
        finally:
            self._threads.submit(upload.discard)
        return StoredBlob(key=key, size=size, sha256=digest)

    @asynccontextmanager
    async def open(self, key: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[OpenBlob]:
        path = self._path(key)
        reading = FileBeingRead()
        try:
            size = await self._run(lambda: reading.open(path))
            if size is None:
                raise NotFoundError
            if start and start >= size:
                raise RangeNotSatisfiableError
            end = size if stop is None else min(stop, size)

            async def read(at: int, most: int) -> bytes:
                return await self._run(lambda: reading.read(at, most))

            yield _OpenFile(read, size=size, start=start, stop=end)
        finally:
            self._threads.submit(reading.close)

    async def stat(self, key: str) -> BlobInfo:
        path = self._path(key)
        info = await self._run(lambda: _find_info(key, path))
        if info is None:
            raise NotFoundError
        return info

    async def delete(self, key: str) -> None:
        path = self._path(key)
        await self._run(lambda: remove(path, root=self._root))

    async def delete_prefix(self, prefix: str) -> int:
        listing = self._walk(require_prefix(prefix))

        def remove_some() -> tuple[int, int]:
            found = list(islice(listing, _LISTED_AT_ONCE))
            return len(found), sum(remove(self._path(blob.key), root=self._root) for blob in found)

        removed = 0
        while True:
            seen, gone = await self._run(remove_some)
            removed += gone
            if not seen:
                return removed

    async def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        listing = self._walk(require_prefix(prefix))
        while found := await self._run(lambda: list(islice(listing, _LISTED_AT_ONCE))):
            for blob in found:
                yield blob

    async def download_url(self, key: str, *, name: str, media_type: str, seconds: int) -> str:
        download = Download(key=require_key(key), name=name, media_type=media_type)
        return self._links.download(download, seconds=seconds)

    async def upload_link(self, key: str, *, max_bytes: int, seconds: int) -> UploadLink:
        upload = Upload(key=require_key(key), max_bytes=max_bytes)
        return UploadLink(url=self._links.upload(upload, seconds=seconds))

    def uri(self, key: str) -> str:
        """Without the directory, which is nobody's business."""
        return f"file:///{require_key(key)}"

    async def sweep(self) -> int:
        return await self._run(lambda: sweep(self._incoming))

    async def check(self) -> None:
        if not await self._run(lambda: can_write(self._incoming)):
            raise StorageUnavailableError

    async def aclose(self) -> None:
        """What has begun ends."""
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except OSError as error:
            if error.errno in {ENOSPC, EDQUOT}:
                raise StorageFullError from error
            raise StorageUnavailableError from error

    def _path(self, key: str) -> Path:
        return self._root / (require_key(key) + SUFFIX)

    def _walk(self, prefix: str) -> Iterator[BlobInfo]:
        for directory, names, files in os.walk(self._root / prefix):
            if INCOMING in names:
                names.remove(INCOMING)
            for name in files:
                path = Path(directory, name)
                info = _find_info(str(path.relative_to(self._root)).removesuffix(SUFFIX), path)
                if info is not None:  # it may have gone meanwhile
                    yield info


def _find_info(key: str, path: Path) -> BlobInfo | None:
    try:
        found = path.stat(follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return BlobInfo(key=key, size=found.st_size, modified_at=datetime.fromtimestamp(found.st_mtime, UTC))


class _OpenFile:
    def __init__(self, read: Callable[[int, int], Awaitable[bytes]], *, size: int, start: int, stop: int) -> None:
        self.size = size
        self._read = read
        self._start = start
        self._stop = stop

    async def body(self) -> AsyncIterator[bytes]:
        at = self._start
        while at < self._stop:
            piece = await self._read(at, min(PIECE_BYTES, self._stop - at))
            if not piece:
                raise StorageUnavailableError("The file is shorter than it was")
            yield piece
            at += len(piece)
