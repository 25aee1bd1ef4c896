"""A blob as an answer: always to be saved, never to be shown, and no faster than its reader takes it."""

import asyncio
import re

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from frontdesk.errors import RangeNotSatisfiableError
from frontdesk.http.event_stream import SERVER_WIRE
from frontdesk.kit.content_disposition import attachment
from frontdesk.ports.blob_store import BlobStore, OpenBlob

Range = tuple[int | None, int | None]
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def parse_range(text: str | None) -> Range | None:
    """First and last byte of a single range (RFC 9110, 14.1.2); None for what may be ignored, such as several."""
    match = _RANGE.fullmatch(text.replace(" ", "")) if text else None
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = (int(group) if group else None for group in match.groups())
    return None if first is not None and last is not None and last < first else (first, last)


class BlobResponse(Response):
    """Raises `NotFoundError` and `RangeNotSatisfiableError` before it begins. `patience` is in seconds."""

    def __init__(
        self, store: BlobStore, key: str, *, name: str, media_type: str, wanted: Range | None, patience: float
    ) -> None:
        super().__init__(media_type=media_type)
        self._store = store
        self._key = key
        self._wanted = wanted
        self._patience = patience
        del self.headers["content-length"]
        self.headers.update(
            {
                "Content-Disposition": attachment(name),
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "Cache-Control": "private, no-store",
                "Accept-Ranges": "bytes",
            }
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI calls it
        start, stop = 0, None
        if self._wanted is not None:
            start, stop = _within(self._wanted, (await self._store.stat(self._key)).size)
        async with self._store.open(self._key, start=start, stop=stop) as blob:
            end = blob.size if stop is None else min(stop, blob.size)
            if self._wanted is not None:
                self.status_code = 206
                self.headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
            self.headers["Content-Length"] = str(end - start)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_body(blob, scope, send)

    async def _send_body(self, blob: OpenBlob, scope: Scope, send: Send) -> None:
        wire = scope.get(SERVER_WIRE)
        async for piece in blob.body():
            try:
                async with asyncio.timeout(self._patience):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except TimeoutError:
                if wire is not None:
                    wire.reset()
                return
            if wire is not None and wire.lost:
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _within(wanted: Range, size: int) -> tuple[int, int]:
    """Raises `RangeNotSatisfiableError`."""
    first, last = wanted
    start, stop = (max(0, size - (last or 0)), size) if first is None else (first, size if last is None else last + 1)
    stop = min(stop, size)
    if start >= stop:
        raise RangeNotSatisfiableError(headers={"Content-Range": f"bytes */{size}"})
    return start, stop
