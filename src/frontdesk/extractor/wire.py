"""What is said to the extractor, as its one argument, and what it answers: one line of JSON, then the text in UTF-8."""

from enum import StrEnum

import msgspec

from frontdesk.extractor.chunks import ChunkSizes, Span
from frontdesk.extractor.kinds import Kind

MAX_HEAD_BYTES = 8_388_608
MAX_PAGES = 20_000


class Fault(StrEnum):
    """What can be wrong with a document. Each is an error of its own in `frontdesk.retrieval.errors`."""

    empty = "empty"
    unsupported = "unsupported"
    broken = "broken"
    encrypted = "encrypted"
    unsafe = "unsafe"
    memory = "memory"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """`scratch` is the one directory that may be written to. The text is cut behind `max_characters`."""

    scratch: str
    seconds: int
    memory_bytes: int
    max_characters: int
    max_unpacked_bytes: int
    sizes: ChunkSizes


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either a `fault` with what is wrong, or a `kind` with the text behind it.

    `pages` are the offsets in characters at which each page begins, none for kinds without pages. `confined` names
    what the kernel granted of the confinement.
    """

    fault: Fault | None = None
    problem: str = ""
    kind: Kind | None = None
    pages: list[int] = []
    chunks: list[Span] = []
    cut: bool = False
    confined: list[str] = []


class RefusedError(Exception):
    def __init__(self, fault: Fault, problem: str) -> None:
        super().__init__(problem)
        self.fault = fault
        self.problem = problem
