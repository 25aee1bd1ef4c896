"""Reading `text/event-stream` (WHATWG HTML, 9.2) from bytes that arrive in any pieces."""

from collections.abc import Iterator
from dataclasses import dataclass

_MAX_LINE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """`id` is None when the event had no `id:` line."""

    id: str | None
    data: str


class EventStreamParser:
    """Lines end with LF or CRLF. Comments and fields other than `id` and `data` are passed over.

    A line over 8 MiB raises ValueError.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            raise ValueError("the server sent a line of more than 8 MiB")
        for line in lines:
            event = self._take(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _take(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "id":
            self._id = value
        return None

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent(self._id, "\n".join(self._data)) if self._data else None
        self._id, self._data = None, []
        return event
