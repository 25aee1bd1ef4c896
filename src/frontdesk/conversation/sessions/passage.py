"""A back end's answer on its way through: within its bound, and in memory only while it may still be refused."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from frontdesk.ports.tool_source import Forwarded, ToolCallError

_MOST_HELD_BYTES = 1_048_576
_REDIRECTS = range(300, 400)
_STREAMED_TYPES = ("text/event-stream", "application/x-ndjson", "multipart/x-mixed-replace")


class Passage:
    """`max_bytes` bounds the body. `admit` before `body`."""

    def __init__(self, forwarded: Forwarded, *, max_bytes: int) -> None:
        self._forwarded = forwarded
        self._max_bytes = max_bytes
        self._body = forwarded.body()
        self._held: list[bytes] = []
        self._bytes = 0
        self._is_whole = False

    @property
    def status(self) -> int:
        return self._forwarded.status

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        return self._forwarded.headers

    def account(self) -> dict[str, Any]:
        """What is kept of it: `is_whole` when all of it was passed on."""
        return {"status": self.status, "bytes": self._bytes, "is_whole": self._is_whole}

    async def admit(self, *, is_stream: bool) -> None:
        """Refuse what must not be passed on. What does not say how long it is may be waited for, up to a megabyte,
        unless it is a stream. Raises `ToolCallError`.
        """
        if self.status in _REDIRECTS:
            raise ToolCallError("backend_bad_response", "The back end answered with a redirect", was_made=True)
        named = dict(self.headers)
        length = named.get("content-length")
        if length is not None:
            if not length.isdecimal() or int(length) > self._max_bytes:
                raise self._too_large()
        elif not is_stream and not named.get("content-type", "").startswith(_STREAMED_TYPES):
            await self._hold()

    async def body(self) -> AsyncIterator[bytes]:
        """Raises `ToolCallError` when it breaks off or passes its bound."""
        while self._held:
            yield self._held.pop(0)
        if not self._is_whole:
            async for piece in self._body:
                self._count(piece)
                yield piece
            self._is_whole = True

    async def _hold(self) -> None:
        async for piece in self._body:
            self._count(piece)
            self._held.append(piece)
            if self._bytes >= _MOST_HELD_BYTES:
                return
        self._is_whole = True

    def _count(self, piece: bytes) -> None:
        self._bytes += len(piece)
        if self._bytes > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> ToolCallError:
        detail = f"The back end's answer is larger than {self._max_bytes} bytes"
        return ToolCallError("backend_response_too_large", detail, was_made=True)
