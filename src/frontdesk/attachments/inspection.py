"""A file looked at on its way into the store: what it is, whether that is allowed."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence

from frontdesk.errors import FileTypeNotAllowedError
from frontdesk.kit.media_types import HEAD_BYTES, TAIL_BYTES, is_allowed, sniff

_ARCHIVE = "application/zip"


class Inspection:
    """Passes a file's bytes on. Raises `FileTypeNotAllowedError` as soon as it is clear, at the latest behind the last
    byte, so that a store that is given them keeps nothing.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self.media_type = ""
        self._allowed = allowed
        self._head = b""
        self._tail = b""
        self._looked = False

    async def of(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            self._note(chunk)
            yield chunk
        self.media_type = sniff(self._head, self._tail)
        self._require(self.media_type)

    def _note(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        if not self._looked:
            self._head = (self._head + chunk)[:HEAD_BYTES]
            self._looked = len(self._head) == HEAD_BYTES
            early = sniff(self._head) if self._looked else _ARCHIVE
            if early != _ARCHIVE:  # what is in one stands at its end
                self._require(early)

    def _require(self, media_type: str) -> None:
        if not is_allowed(media_type, self._allowed):
            listed = ", ".join(self._allowed)
            raise FileTypeNotAllowedError(
                f"This is {media_type}; allowed are {listed}", media_type=media_type, allowed=list(self._allowed)
            )
