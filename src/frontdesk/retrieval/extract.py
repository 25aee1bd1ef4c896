"""The text of a file and its chunks, made in a process of its own that is gone with the file."""

import asyncio
import codecs
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import msgspec

import frontdesk
from frontdesk.errors import UnavailableError
from frontdesk.extractor.chunks import ChunkSizes, Span
from frontdesk.extractor.headings import MAX_HEADING_CHARACTERS
from frontdesk.extractor.kinds import Kind
from frontdesk.extractor.wire import MAX_HEAD_BYTES, Fault, Head, Order
from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.retrieval.errors import (
    BrokenDocumentError,
    DocumentError,
    DocumentTooHeavyError,
    DocumentTooLargeError,
    DocumentTooSlowError,
    EmptyDocumentError,
    EncryptedDocumentError,
    UnsafeDocumentError,
    UnsupportedDocumentError,
)

_ERRORS: dict[Fault, type[DocumentError]] = {
    Fault.empty: EmptyDocumentError,
    Fault.unsupported: UnsupportedDocumentError,
    Fault.broken: BrokenDocumentError,
    Fault.encrypted: EncryptedDocumentError,
    Fault.unsafe: UnsafeDocumentError,
    Fault.memory: DocumentTooHeavyError,
}
_SOURCE = str(Path(frontdesk.__file__).parents[1])
_COMPLAINT_BYTES = 4096
_OUT_OF_TIME = {-signal.SIGALRM, -signal.SIGXCPU}
_OUT_OF_MEMORY = (b"memory allocation of", b"MemoryError", b"out of memory", b"Cannot allocate memory")
_PIECE_BYTES = 65_536
_BYTES_OF_CHARACTER = 4


class ExtractionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one file. `memory_bytes` is the whole address space of its process; the text is cut at `max_characters`."""

    seconds: int = 20
    memory_bytes: int = 512 * 1024 * 1024
    max_file_bytes: int = 50 * 1024 * 1024
    max_unpacked_bytes: int = 100 * 1024 * 1024
    max_characters: int = 2_000_000


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """`pages` are the offsets in `text` at which each page or slide begins; none where the format has none.

    `cut` tells that there was more of it. `confined` names what the kernel granted of the extractor's confinement.
    """

    text: str
    kind: Kind
    pages: list[int]
    chunks: list[DocumentChunk]
    cut: bool
    confined: list[str]


class Extractor:
    """At most `processes` files are read at once, the others wait. What is written goes below `scratch`, for the time
    of the reading. To be used within one event loop.
    """

    def __init__(
        self,
        scratch: Path,
        *,
        limits: ExtractionLimits | None = None,
        processes: int = 2,
        sizes: ChunkSizes | None = None,
    ) -> None:
        self._scratch = scratch
        self._limits = limits or ExtractionLimits()
        self._sizes = sizes or ChunkSizes()
        self._free = asyncio.Semaphore(processes)

    async def extract(self, path: Path, *, name: str) -> Extracted:
        """Raises a `DocumentError` that names the file, `UnavailableError` when no process can be started.

        Cancelling it kills the process. The time that counts begins when the process is started.
        """
        async with self._free:
            with _opened(path, name, self._limits.max_file_bytes) as document:
                async with _place(self._scratch) as place, self._started(document, place) as process:
                    return await self._answer(process, name)

    @asynccontextmanager
    async def _started(self, document: int, place: str) -> AsyncIterator[Process]:
        order = json.dumps(msgspec.to_builtins(self._order(place)))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-s", "-B", "-m", "frontdesk.extractor", order),
                stdin=document,
                stdout=PIPE,
                stderr=PIPE,
                cwd=place,
                env=_environment(place),
                start_new_session=True,
                limit=_PIECE_BYTES,
            )
        except OSError as error:
            raise UnavailableError("No process for reading documents can be started") from error
        try:
            yield process
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
            await asyncio.shield(process.wait())

    def _order(self, place: str) -> Order:
        return Order(
            scratch=place,
            seconds=self._limits.seconds,
            memory_bytes=self._limits.memory_bytes,
            max_characters=self._limits.max_characters,
            max_unpacked_bytes=self._limits.max_unpacked_bytes,
            sizes=self._sizes,
        )

    async def _answer(self, process: Process, name: str) -> Extracted:
        try:
            async with asyncio.timeout(self._limits.seconds):
                most = MAX_HEAD_BYTES + _BYTES_OF_CHARACTER * self._limits.max_characters
                answer, complaint = await asyncio.gather(
                    _read(process.stdout, most), _read(process.stderr, _COMPLAINT_BYTES)
                )
                status = await process.wait()
        except TimeoutError as error:
            raise DocumentTooSlowError(name, f"It takes longer than {self._limits.seconds} s to read") from error
        if status != 0:
            raise _death(name, status, complaint)
        return await asyncio.to_thread(_told, name, answer)  # tens of milliseconds for a long text


def _environment(place: str) -> dict[str, str]:
    """Nothing of ours. One arena, since each reserves 64 MB of the address space."""
    return {"PYTHONPATH": _SOURCE, "HOME": place, "TMPDIR": place, "MALLOC_ARENA_MAX": "1", "LC_ALL": "C.UTF-8"}


@asynccontextmanager
async def _place(scratch: Path) -> AsyncIterator[str]:
    place = tempfile.mkdtemp(prefix="document-", dir=scratch)
    try:
        yield place
    finally:
        # How much was written there is not ours to say.
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, place, ignore_errors=True))


@contextmanager
def _opened(path: Path, name: str, most: int) -> Iterator[int]:
    """A plain file, which a link to one is not."""
    try:
        document = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BrokenDocumentError(name, "The file is not there, or not a plain one") from error
    try:
        status = os.fstat(document)
        if not stat.S_ISREG(status.st_mode):
            raise BrokenDocumentError(name, "The file is not a plain one")
        if status.st_size > most:
            raise DocumentTooLargeError(name, f"It is larger than {most:,} bytes")
        yield document
    finally:
        os.close(document)


async def _read(stream: asyncio.StreamReader | None, most: int) -> bytearray:
    """All there is; what passes `most` is dropped, so that nobody waits for its reader."""
    assert stream is not None  # noqa: S101  both are pipes
    kept = bytearray()
    while piece := await stream.read(_PIECE_BYTES):
        kept += piece[: most - len(kept)]
    return kept


def _pieces(data: bytearray, *, start: int) -> Iterator[bytes]:
    """Between two of them others have the interpreter."""
    for at in range(start, len(data), _PIECE_BYTES):
        yield bytes(data[at : at + _PIECE_BYTES])


def _ascending(offsets: list[int]) -> bool:
    return all(a <= b for a, b in pairwise(offsets))


def _is_within(span: Span, length: int) -> bool:
    has_place = 0 <= span.start < span.end <= length
    return has_place and len(span.heading) <= MAX_HEADING_CHARACTERS and "\x00" not in span.heading


def _death(name: str, status: int, complaint: bytearray) -> DocumentError:
    if status in _OUT_OF_TIME:
        return DocumentTooSlowError(name)
    if status == -signal.SIGKILL or any(sign in complaint for sign in _OUT_OF_MEMORY):
        return DocumentTooHeavyError(name)
    return BrokenDocumentError(name, "It is damaged in a way that ends its reader")


def _told(name: str, answer: bytearray) -> Extracted:
    """The reader may have been taken over by what it read: its word is checked."""
    end = answer.find(b"\n")
    try:
        head = msgspec.json.decode(answer[: max(end, 0)], type=Head)
        content = "".join(codecs.iterdecode(_pieces(answer, start=end + 1), "utf-8"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenDocumentError(name, "Its reader does not tell its text") from error
    if head.fault is not None:
        raise _ERRORS[head.fault](name, head.problem)
    if head.kind is None or "\x00" in content or not _ascending([0, *head.pages, len(content)]):
        raise BrokenDocumentError(name, "Its reader does not tell its text")
    if not all(_is_within(span, len(content)) for span in head.chunks):
        raise BrokenDocumentError(name, "Its reader does not tell its text")
    chunks = [
        DocumentChunk(
            content=content[span.start : span.end],
            start=span.start,
            end=span.end,
            page=span.page,
            heading=span.heading,
        )
        for span in head.chunks
    ]
    return Extracted(
        text=content, kind=head.kind, pages=head.pages, chunks=chunks, cut=head.cut, confined=head.confined
    )
