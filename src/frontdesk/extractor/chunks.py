"""Cuts a text into overlapping chunks that end where sentences and sections do, and says where each one stood.

Lengths are counted in tokens, by an estimate that is above what multilingual tokenizers (XLM-RoBERTa's and those of the
GPT family) make of texts in English, Russian, Chinese, code and tables: half a token a letter of a plain word, one for
everything else.
"""

import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from frontdesk.extractor.headings import Headings

_LOWER, _UPPER = "a-zß-öø-ÿа-яё", "A-ZÀ-ÖØ-ÞА-ЯЁ"
_PIECE = re.compile(
    rf"(?P<word> ?(?:[{_UPPER}]?[{_LOWER}]{{1,16}}|[{_UPPER}]{{1,16}})(?![{_LOWER}{_UPPER}]))"
    r"|(?P<blank>[ \t]{1,64})|(?P<line>[\n\f\v\x85\u2028\u2029])|(?P<other>.)",
    re.DOTALL,
)
_ENDS = frozenset(".!?…。！？")
_CLOSE = frozenset("\"'»”’)]")
# fmt: off
_ABBREVIATIONS = frozenset((
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "no", "fig", "eq", "vol", "inc", "ltd", "approx", "г", "гг", "ул",
    "им", "рис", "стр", "табл", "см", "ср", "тов", "гр", "руб", "коп", "тыс", "млн", "млрд",
))
# fmt: on
MOST_TOKENS_OF_PIECE = 64
_SHORT = 4  # a section of less than this part of a chunk has none of its own


class ChunkSizes(msgspec.Struct, frozen=True, kw_only=True):
    """In tokens. `overlap` is what a chunk repeats of the one before it, at most, and a sentence's part at least."""

    tokens: int = 960
    overlap: int = 80

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= self.tokens - 2 * MOST_TOKENS_OF_PIECE:
            raise ValueError(f"An overlap is less than a chunk by {2 * MOST_TOKENS_OF_PIECE} tokens or more")


class Span(msgspec.Struct, frozen=True, array_like=True):
    """`text[start:end]` of the text that was cut. `page` counts from 1, where there are pages. `heading` is what it
    stands under.
    """

    start: int
    end: int
    page: int | None = None
    heading: str = ""


def estimated_tokens(text: str) -> int:
    """What `ChunkSizes` counts: no less than what a tokenizer makes of a text in a human language."""
    return sum(_cost(piece) for piece in _PIECE.finditer(text))


def chunk_text(
    text: str, *, pages: Sequence[int], sizes: ChunkSizes, headings: Headings | None = None
) -> Iterator[Span]:
    """In order, each behind the one before; all but white space is in one of them. No chunk goes on behind a heading,
    unless the section before it is short.

    `pages` are the offsets at which pages begin. 2,000,000 characters take about half a second.
    """
    headings = headings or Headings("")
    pieces = _Pieces(text)
    pieces.cut_at(headings.offsets, least=sizes.tokens // _SHORT)
    last = len(pieces.ends) - 1
    begin, covered = 0, 0
    while covered < last:
        end = pieces.end_of_chunk(begin, covered, sizes.tokens)
        chunk = _trimmed(text, pieces.ends[begin], pieces.ends[end])
        if chunk is not None:
            start, stop = chunk
            page = bisect_right(pages, start) if pages else None
            yield Span(start, stop, page, headings.above(start))
        begin, covered = pieces.begin_of_next(begin, end, sizes.overlap), end


class _Pieces:
    """`ends[i]` is where the i-th piece ends, `costs[i]` what all up to there costs; `sentences` and `cuts` are
    such indices: no chunk goes beyond a cut.
    """

    def __init__(self, text: str) -> None:
        self.ends = array("L", [0])
        self.costs = array("L", [0])
        self.sentences = array("L")
        self.cuts = array("L")
        ended = 0  # the piece that may have ended a sentence
        word = ""
        for piece in _PIECE.finditer(text):
            group, found = piece.lastgroup, piece[0]
            if group == "line":
                self._mark(len(self.ends) - 1)
                ended = 0
            elif ended and found[0].isspace():
                # A small letter goes on with the sentence.
                if not _goes_on(text, piece.start()):
                    self._mark(ended)
                ended = 0
            elif group == "other" and found in _ENDS:
                ended = 0 if found == "." and _is_short(word) else len(self.ends)
            elif ended and found in _CLOSE:
                ended = len(self.ends)
            else:
                ended = 0
            if group == "word":
                word = found
            self.ends.append(piece.end())
            self.costs.append(self.costs[-1] + _cost(piece))

    def cut_at(self, offsets: Sequence[int], *, least: int) -> None:
        """Where a section begins, if what stands since the last cut costs `least` or more."""
        before = 0
        for offset in offsets:
            index = bisect_left(self.ends, offset)
            if self.ends[index] == offset and self.costs[index] - self.costs[before] >= least:
                self.cuts.append(index)
                before = index

    def _mark(self, index: int) -> None:
        if index and (not self.sentences or self.sentences[-1] < index):
            self.sentences.append(index)

    def end_of_chunk(self, begin: int, covered: int, tokens: int) -> int:
        """As far as the tokens go, at a cut or a sentence's end where there is one that brings something new."""
        furthest = bisect_right(self.costs, self.costs[begin] + tokens) - 1
        cut = bisect_right(self.cuts, covered)
        if cut < len(self.cuts) and self.cuts[cut] <= furthest:
            return self.cuts[cut]
        if furthest == len(self.ends) - 1:
            return furthest
        place = bisect_right(self.sentences, furthest) - 1
        return self.sentences[place] if place >= 0 and self.sentences[place] > covered else furthest

    def begin_of_next(self, begin: int, end: int, overlap: int) -> int:
        """As far back from `end` as the overlap goes, at a sentence's beginning where there is one; not over a cut."""
        cut = bisect_right(self.cuts, end) - 1
        if cut >= 0 and self.cuts[cut] == end:
            return end
        earliest = max(bisect_left(self.costs, max(self.costs[end] - overlap, 0)), begin + 1)
        place = bisect_left(self.sentences, earliest)
        return (
            self.sentences[place] if place < len(self.sentences) and self.sentences[place] < end else min(earliest, end)
        )


def _cost(piece: re.Match[str]) -> int:
    found = piece[0]
    match piece.lastgroup:
        case "word":
            return (len(found) - found.startswith(" ") + 2) // 2
        case "other" if not found.isascii():
            # One sign may stand for several: tokenizers take it apart first.
            return len(unicodedata.normalize("NFKC", found))
        case _:
            return 1


def _goes_on(text: str, place: int) -> bool:
    return text[place : place + 64].lstrip()[:1].islower()


def _is_short(word: str) -> bool:
    word = word.strip()
    return len(word) == 1 or word.lower() in _ABBREVIATIONS


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    found = text[start:end]
    stop = start + len(found.rstrip())
    start += len(found) - len(found.lstrip())
    return (start, stop) if start < stop else None
