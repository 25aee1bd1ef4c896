"""Where files lie: bytes under keys, put and read as streams.

Owns that a blob is there whole or not at all, and that nothing holds one in memory. It refuses to know what the bytes
are, whose they are and who may have them: that is the business of `attachments` and of whoever signs a link away.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import msgspec

KEY_LENGTH = 900
_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._@+=-]{0,199}")


class BlobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`size` is in bytes."""

    key: str
    size: int
    modified_at: datetime


class StoredBlob(msgspec.Struct, frozen=True, kw_only=True):
    """What came to be stored, as it was counted and hashed on its way. `sha256` is in lower case hexadecimal."""

    key: str
    size: int
    sha256: str


class UploadLink(msgspec.Struct, frozen=True, kw_only=True):
    """Where anyone may PUT a blob, with these header fields."""

    url: str
    headers: Mapping[str, str] = {}


class OpenBlob(Protocol):
    """A blob that is being read. Leaving its context ends that; nothing more is read from the store than is taken."""

    @property
    def size(self) -> int:
        """Of the whole blob, in bytes, whatever part of it was asked for."""
        ...

    def body(self) -> AsyncIterator[bytes]:
        """The part that was asked for, in pieces of any size, once. Raises `StorageUnavailableError` when it breaks."""
        ...


class BlobStore(Protocol):
    """Each call raises `StorageUnavailableError` when the store cannot be reached, and `ValueError` for a bad key."""

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        max_bytes: int,
        name: str | None = None,
    ) -> StoredBlob:
        """Store what comes, in place of what was there. Nobody sees it before it is whole and safe.

        What `chunks` raises is raised, and nothing is stored then, nor when this is cancelled before all has come.
        `name` is what a download is to be saved as. Raises `FileTooLargeError` as soon as `max_bytes` is passed,
        and `StorageFullError`.
        """
        ...

    def open(self, key: str, *, start: int = 0, stop: int | None = None) -> AbstractAsyncContextManager[OpenBlob]:
        """The bytes from `start` up to, not with, `stop`, or to the end. Raises `NotFoundError`, and
        `RangeNotSatisfiableError` when `start` lies behind the last byte (0 never does).
        """
        ...

    async def stat(self, key: str) -> BlobInfo:
        """Raises `NotFoundError`."""
        ...

    async def delete(self, key: str) -> None:
        """What is not there is fine."""
        ...

    async def delete_prefix(self, prefix: str) -> int:
        """Everything whose key begins with `prefix`: whole segments, ending in a slash. Returns how many there were."""
        ...

    def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        """Everything whose key begins with `prefix`: whole segments, ending in a slash, or nothing. In no order."""
        ...

    async def download_url(self, key: str, *, name: str, media_type: str, seconds: int) -> str:
        """An address from which anyone may read the blob for so long; a browser saves it and shows nothing of it.

        It is relative to the server's root when the server itself answers there and does not know its own address.
        """
        ...

    async def upload_link(self, key: str, *, max_bytes: int, seconds: int) -> UploadLink:
        """Where anyone may PUT the blob, once or again, for so long; its address is as that of `download_url`.

        Not every store holds to `max_bytes`: look at what came before it is used.
        """
        ...

    def uri(self, key: str) -> str:
        """What names the blob to people and other programs: `s3://BUCKET/KEY`, `gs://`, `az://`, or `file:///KEY`."""
        ...

    async def sweep(self) -> int:
        """Remove what uploads that were killed have left; what is on its way is left alone. Returns how many."""
        ...

    async def check(self) -> None:
        """Raises `StorageUnavailableError` when nothing can be stored or read."""
        ...

    async def aclose(self) -> None: ...


def require_key(key: str) -> str:
    """Segments of letters, digits and `._@+=-` with slashes in between, none of them hidden. Raises `ValueError`."""
    if len(key) > KEY_LENGTH or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise ValueError(f"{key!r} is no key of a blob")
    return key


def require_prefix(prefix: str) -> str:
    """Raises `ValueError`."""
    if prefix and not prefix.endswith("/"):
        raise ValueError(f"{prefix!r} must end in a slash")
    if prefix:
        require_key(prefix[:-1])
    return prefix
