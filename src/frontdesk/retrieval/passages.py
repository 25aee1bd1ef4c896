"""What of a chunk is embedded, and which words it is found by: with the headings that it stands under."""

import re
from zlib import crc32

import numpy as np

from frontdesk.extractor.chunks import ChunkSizes, chunk_text, estimated_tokens
from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.retrieval.words import stems_of

# Of a link or an image in Markdown, what is shown of it.
_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\[\]]{0,200}\]){0,1000})\]\([^()\s]{0,2000}(?: \"[^\"\n]{0,1000}\")?\)")
# A vector of much text is near to no question about a part of it, and models see 512 tokens. Heading included.
_TOKENS = 480
_OVERLAP = 40


def passages_of(chunk: DocumentChunk) -> list[str]:
    """One or more, each to be embedded by itself, without the addresses of links, which say nothing to a model."""
    shown = _LINK.sub(r"\1", chunk.content)
    above = f"{chunk.heading}\n" if chunk.heading else ""
    sizes = ChunkSizes(tokens=_TOKENS - estimated_tokens(above), overlap=_OVERLAP)
    cut = [shown[span.start : span.end] for span in chunk_text(shown, pages=[], sizes=sizes)] or [chunk.content]
    return [above + passage for passage in cut]


def packed_words(content: str, heading: str) -> bytes:
    """A number for each word, little-endian, four bytes: `word_number` of its stem."""
    numbers = [word_number(stem) for stem in stems_of(f"{heading}\n{content}")]
    return np.array(numbers, dtype="<u4").tobytes()


def word_number(stem: str) -> int:
    """One in four thousand million has the number of another."""
    return crc32(stem.encode())
