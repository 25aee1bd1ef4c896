"""`python -m frontdesk.extractor ORDER <document >text`, the order as JSON."""

import os
import sys

import msgspec

from frontdesk.extractor.chunks import chunk_text
from frontdesk.extractor.confinement import confine
from frontdesk.extractor.headings import Headings
from frontdesk.extractor.kinds import HEADED
from frontdesk.extractor.wire import Fault, Head, Order, RefusedError

_PIECE_BYTES = 1_048_576


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    confined = confine(scratch=order.scratch, seconds=order.seconds, memory_bytes=order.memory_bytes)
    head, text = _extracted(order, confined)
    for piece in (msgspec.json.encode(head), b"\n", text):
        _write(piece)
    # Its libraries have threads that would be waited for.
    os._exit(0)


def _extracted(order: Order, confined: list[str]) -> tuple[Head, bytes]:
    # Behind the confinement, which threads that the library starts would not come under.
    from frontdesk.extractor.reading import read_document  # noqa: PLC0415

    try:
        text = read_document(_read(), order)
        headings = Headings(text.content if text.kind in HEADED else "")
        chunks = list(chunk_text(text.content, pages=text.pages, sizes=order.sizes, headings=headings))
        head = Head(kind=text.kind, pages=text.pages, chunks=chunks, cut=text.cut, confined=confined)
        return head, text.content.encode()
    except RefusedError as error:
        return Head(fault=error.fault, problem=error.problem, confined=confined), b""
    except MemoryError:
        return Head(fault=Fault.memory, problem="It takes too much memory to read", confined=confined), b""


def _read() -> bytes:
    with os.fdopen(0, "rb", buffering=0, closefd=False) as document:
        return document.readall()


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest[:_PIECE_BYTES]) :]


main()
