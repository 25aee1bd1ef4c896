"""Reading server-sent events (WHATWG HTML, 9.2.6), from bytes as they arrive to the data of each event."""

BOM = b"\xef\xbb\xbf"
FIELD = b"data: "
BORDER = b"\n\n" + FIELD


class EventTooLargeError(ValueError):
    """An event grew past the bound before its end came."""


class EventParser:
    """Gives each event's data as bytes, its lines joined by LF, in order, however the stream was cut.

    It knows CR, LF and CRLF, comments, several data lines and a leading byte order mark. Events without data are left
    out; event types, ids and retry times are not its business. It holds at most `max_event_bytes` of an event.
    """

    def __init__(self, *, max_event_bytes: int = 1_048_576) -> None:
        self._max = max_event_bytes
        self._head: bytes | None = b""
        self._after_cr = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._line_ended = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that end in `chunk`. Raises `EventTooLargeError`; the parser is of no use after that."""
        if self._head is not None:
            chunk = self._without_mark(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_line_feeds(chunk)
        if not chunk:
            return []
        if self._held:
            if b"\n\n" not in chunk and not (self._line_ended and chunk.startswith(b"\n")):
                self._hold(chunk)
                return []
            self._held.append(chunk)
            chunk = b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
        elif chunk.endswith(b"\n\n"):
            return _events(chunk[:-2])
        end = chunk.rfind(b"\n\n")
        rest = chunk if end < 0 else chunk[end + 2 :]
        if rest:
            self._hold(rest)
        return [] if end < 0 else _events(chunk[:end])

    def close(self) -> list[bytes]:
        """The event that the end of the stream left without its blank line, which the standard would throw away."""
        block = b"".join(self._held)
        self._held.clear()
        data = _data(block)
        return [] if data is None else [data]

    def _hold(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        self._line_ended = chunk.endswith(b"\n")
        if self._held_bytes > self._max:
            raise EventTooLargeError(f"An event is larger than {self._max} bytes")

    def _without_mark(self, chunk: bytes) -> bytes:
        chunk = (self._head or b"") + chunk
        if len(chunk) < len(BOM) and BOM.startswith(chunk):
            self._head = chunk
            return b""
        self._head = None
        return chunk.removeprefix(BOM)

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        ends_with_cr = chunk.endswith(b"\r")
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = ends_with_cr
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events(blocks: bytes) -> list[bytes]:
    if blocks.startswith(FIELD):
        events = blocks[len(FIELD) :].split(BORDER)
        # Two line feeds for each border and no other: every event is one plain line of data.
        if blocks.count(b"\n") == 2 * len(events) - 2:
            return events
    return [data for block in blocks.split(b"\n\n") if (data := _data(block)) is not None]


def _data(block: bytes) -> bytes | None:
    lines = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines) if lines else None
