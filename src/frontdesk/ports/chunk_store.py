"""Where the chunks of a document go once they are embedded.

Owns what is kept of a document and how it is found again. It refuses to know where the document came from, and to have
half of one.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from frontdesk.ports.embedder import Vectors


class DocumentChunk(msgspec.Struct, frozen=True, kw_only=True):
    """`content` stood from `start` to `end` of the document's text, in characters, on `page` (from 1) where it has
    pages and below `heading` where it has headings, the outermost first.
    """

    content: str
    start: int
    end: int
    page: int | None = None
    heading: str = ""


class ChunkStore(Protocol):
    async def put(self, document: str, chunks: Sequence[DocumentChunk], vectors: Sequence[Vectors]) -> None:
        """All chunks of the document with that id, in order, each with its `vectors`, a row for each of its
        passages. Durable on return, all of them or none. What there was of the document is replaced.
        """
        ...
