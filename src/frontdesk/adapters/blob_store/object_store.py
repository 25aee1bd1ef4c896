"""Blobs as objects of S3, Google Cloud Storage or Azure Blob Storage, through `obstore`.

The vendors' own environment variables say how to sign in. An upload that is given up is told so, so its parts go; those
of a killed process are the bucket's to throw away, by a rule of its life cycle.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from frontdesk.adapters.blob_store.pieces import PIECE_BYTES, gathered
from frontdesk.adapters.blob_store.upload_feed import UploadFeed
from frontdesk.errors import NotFoundError, RangeNotSatisfiableError, StorageUnavailableError
from frontdesk.kit.content_disposition import attachment
from frontdesk.ports.blob_store import BlobInfo, OpenBlob, StoredBlob, UploadLink, require_key, require_prefix

if TYPE_CHECKING:  # names that the package has for type checkers alone
    from obstore import GetResult, ObjectMeta

T = TypeVar("T")
Bucket = S3Store | GCSStore | AzureStore
_PART_BYTES = 5 * 1024 * 1024
_LISTED_AT_ONCE = 500
_SAVED = "application/octet-stream"  # a browser shows nothing of it, whatever it is
_FAILURES = (BaseError, OSError, ValueError)
_logger = structlog.get_logger(__name__)
_CLIENT: dict[str, Any] = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=60)}
_RETRY: dict[str, Any] = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=50), "max_backoff": timedelta(seconds=2), "base": 2},
}


def open_bucket(scheme: str, name: str, **config: Any) -> Bucket:
    """A bucket, or a container of Azure's. `config` goes before what the environment says. Raises `ValueError`."""
    options: dict[str, Any] = {"client_options": _CLIENT, "retry_config": _RETRY, **config}
    if scheme == "s3":
        return S3Store(name, **{"checksum_algorithm": "SHA256"} | options)
    return GCSStore(name, **options) if scheme == "gs" else AzureStore(name, **options)


class ObjectBlobStore:
    """`prefix` stands before every key: empty, or ending in a slash. `address` is the bucket's, such as `s3://NAME`."""

    def __init__(self, bucket: Bucket, *, prefix: str, address: str) -> None:
        self._bucket = bucket
        self._prefix = require_prefix(prefix)
        self._address = address

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        max_bytes: int,
        name: str | None = None,
    ) -> StoredBlob:
        attributes = {"Content-Type": _SAVED, "Content-Disposition": attachment(name)}
        digest, size, held, feed = sha256(), 0, bytearray(), None
        path = self._path(key)
        try:
            async for piece in gathered(chunks, max_bytes=max_bytes):
                await asyncio.to_thread(digest.update, piece)
                size += len(piece)
                if feed is not None:
                    await feed.send(piece)
                    continue
                held += piece
                if len(held) >= _PART_BYTES:
                    feed = self._begin(path, attributes)
                    await feed.send(bytes(held))
                    held.clear()
        except BaseException:
            if feed is not None:
                await feed.give_up()
            raise
        if feed is None:
            await _asked(obstore.put_async(self._bucket, path, bytes(held), attributes=attributes, use_multipart=False))
        else:
            await feed.end()
        return StoredBlob(key=key, size=size, sha256=digest.hexdigest())

    @asynccontextmanager
    async def open(self, key: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[OpenBlob]:
        path = self._path(key)
        if not start and stop is None:
            result = await _asked(obstore.get_async(self._bucket, path))
            yield _OpenObject(result, size=result.meta["size"], expected=result.meta["size"])
            return
        found = await _asked(obstore.head_async(self._bucket, path))
        size = found["size"]
        end = size if stop is None else min(stop, size)
        if start and start >= size:
            raise RangeNotSatisfiableError
        if start >= end:
            yield _OpenObject(None, size=size, expected=0)
            return
        # What was replaced meanwhile must not be given as a part of what was asked for.
        options: dict[str, Any] = {"range": (start, end), "if_match": found["e_tag"]}
        result = await _asked(obstore.get_async(self._bucket, path, options=options))  # type: ignore[arg-type]
        yield _OpenObject(result, size=size, expected=end - start)

    async def stat(self, key: str) -> BlobInfo:
        found = await _asked(obstore.head_async(self._bucket, self._path(key)))
        return BlobInfo(key=key, size=found["size"], modified_at=found["last_modified"])

    async def delete(self, key: str) -> None:
        with suppress(NotFoundError):
            await _asked(obstore.delete_async(self._bucket, self._path(key)))

    async def delete_prefix(self, prefix: str) -> int:
        removed = 0
        async for found in self._pages(prefix):
            paths = [blob["path"] for blob in found]
            with suppress(NotFoundError):
                await _asked(obstore.delete_async(self._bucket, paths))
            removed += len(paths)
        return removed

    async def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        async for found in self._pages(prefix):
            for blob in found:
                key = blob["path"].removeprefix(self._prefix)
                yield BlobInfo(key=key, size=blob["size"], modified_at=blob["last_modified"])

    async def download_url(self, key: str, *, name: str, media_type: str, seconds: int) -> str:  # noqa: ARG002
        """`name` is the one with which it was put."""
        return await self._signed("GET", key, seconds)

    async def upload_link(self, key: str, *, max_bytes: int, seconds: int) -> UploadLink:  # noqa: ARG002
        headers = {"x-ms-blob-type": "BlockBlob"} if isinstance(self._bucket, AzureStore) else {}
        return UploadLink(url=await self._signed("PUT", key, seconds), headers=headers)

    def uri(self, key: str) -> str:
        return f"{self._address}/{self._path(key)}"

    async def sweep(self) -> int:
        """Nothing: what an upload that was killed has left is no object, and the bucket's rules throw it away."""
        return 0

    async def check(self) -> None:
        try:
            async for _ in self._pages("", at_once=1):
                break
        except StorageUnavailableError as error:
            _logger.warning("storage does not answer", reason=str(error.__cause__)[:500])
            raise

    async def aclose(self) -> None:
        """Its connections end with it."""

    def _path(self, key: str) -> str:
        return self._prefix + require_key(key)

    def _begin(self, path: str, attributes: dict[str, str]) -> UploadFeed:
        def store(pieces: AsyncIterator[bytes]) -> Awaitable[object]:
            putting = obstore.put_async(
                self._bucket, path, pieces, attributes=attributes, chunk_size=_PART_BYTES, max_concurrency=1
            )
            return _asked(putting)

        return UploadFeed(store)

    async def _pages(self, prefix: str, *, at_once: int = _LISTED_AT_ONCE) -> AsyncIterator["Sequence[ObjectMeta]"]:
        within = self._prefix + require_prefix(prefix)
        pages = obstore.list(self._bucket, within or None, chunk_size=at_once)
        while page := await _asked(_next(pages)):
            yield page

    async def _signed(self, method: Literal["GET", "PUT"], key: str, seconds: int) -> str:
        signed: str = await _asked(
            obstore.sign_async(self._bucket, method, self._path(key), timedelta(seconds=seconds))
        )
        return signed


class _OpenObject:
    """`expected` is how many bytes are to come of it."""

    def __init__(self, result: "GetResult | None", *, size: int, expected: int) -> None:
        self.size = size
        self._result = result
        self._expected = expected

    async def body(self) -> AsyncIterator[bytes]:
        left = self._expected
        if self._result is None:
            return
        pieces = self._result.stream(min_chunk_size=PIECE_BYTES)
        while (piece := await _asked(_next(pieces))) is not None:
            left -= len(piece)
            yield bytes(piece)
        if left:
            raise StorageUnavailableError


async def _next(items: AsyncIterator[T]) -> T | None:
    """What comes next, or None at the end."""
    return await anext(items, None)


async def _asked(asking: Awaitable[T]) -> T:
    """Raises `NotFoundError`, and `StorageUnavailableError` for whatever else the store says."""
    try:
        return await asking
    except FileNotFoundError as error:
        raise NotFoundError from error
    except _FAILURES as error:
        raise StorageUnavailableError from error
