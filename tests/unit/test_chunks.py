from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.extractor.chunks import MOST_TOKENS_OF_PIECE, ChunkSizes, chunk_text, estimated_tokens
from frontdesk.ports.chunk_store import DocumentChunk

SIZES = ChunkSizes(tokens=180, overlap=40)
WORDS = st.text("abcdefzYабвгдежЯё", min_size=1, max_size=24)
PARTS = st.one_of(
    WORDS,
    st.sampled_from(
        [" ", ". ", "! ", "? ", ".\n", "\n\n", "… ", ", ", "т. е. ", "«Да?» ", "3.5 ", "\r\n", "    ", "ﷺ", "漢字。"]
    ),
    st.text(max_size=30),
)
TEXTS = st.lists(PARTS, max_size=400).map("".join)
ALL_SIZES = st.builds(
    lambda overlap, more: ChunkSizes(tokens=2 * MOST_TOKENS_OF_PIECE + overlap + more, overlap=overlap),
    st.integers(0, 200),
    st.integers(0, 500),
)


def chunks_of(text: str, sizes: ChunkSizes = SIZES, pages: tuple[int, ...] = ()) -> list[DocumentChunk]:
    return [
        DocumentChunk(content=text[span.start : span.end], start=span.start, end=span.end, page=span.page)
        for span in chunk_text(text, pages=pages, sizes=sizes)
    ]


@given(TEXTS, ALL_SIZES)
@example(" " * 1_000, SIZES)
@example("a" * 5_000, SIZES)
@example("\n" * 5_000 + "x", SIZES)
@example("ﷺ" * 500, SIZES)
def test_chunks_reproduce_and_cover_the_text_within_their_sizes(text, sizes):
    chunks = chunks_of(text, sizes)
    covered = 0
    for chunk in chunks:
        assert 0 <= chunk.start < chunk.end <= len(text)
        assert chunk.content == chunk.content.strip() != ""
        assert estimated_tokens(chunk.content) <= sizes.tokens
        assert text[covered : chunk.start].strip() == ""
        assert estimated_tokens(text[chunk.start : covered]) <= sizes.overlap
        assert chunk.end > covered
        covered = chunk.end
    assert text[covered:].strip() == ""


@given(st.lists(WORDS, min_size=150, max_size=600).map(" ".join))
def test_a_chunk_repeats_something_of_the_one_before(text):
    chunks = chunks_of(text)
    assert all(later.start < earlier.end for earlier, later in pairwise(chunks))


@given(TEXTS)
def test_chunks_do_not_overlap_when_none_is_asked_for(text):
    chunks = chunks_of(text, ChunkSizes(tokens=180, overlap=0))
    assert all(later.start >= earlier.end for earlier, later in pairwise(chunks))


@given(TEXTS, st.lists(st.integers(0, 2_000), max_size=9))
def test_the_page_is_the_one_on_which_a_chunk_begins(text, places):
    pages = (0, *sorted(place for place in places if place <= len(text)))
    for chunk in chunks_of(text, pages=pages):
        assert chunk.page is not None
        assert pages[chunk.page - 1] <= chunk.start
        assert chunk.page == len(pages) or chunk.start < pages[chunk.page]


SENTENCES = (
    "Mr. Smith paid 3.50 for it.",
    "«Правда?» спросил А. С. Пушкин, т. е. поэт.",
    "That was all!",
    "Дом № 5 на ул. Ленина стоит до сих пор.",
    "And (as was said before.) it went on.",
    "Why not?",
)


@pytest.mark.parametrize("between", [" ", "\n", "\n\n"])
def test_chunks_end_where_sentences_do(between):
    text = between.join(SENTENCES * 8)
    for chunk in chunks_of(text):
        assert chunk.content.endswith(SENTENCES)
        assert chunk.content.startswith(SENTENCES)


def test_a_sentence_that_is_too_long_is_cut_between_words():
    words = ["word"] * 2_000
    for chunk in chunks_of(" ".join(words)):
        assert set(chunk.content.split()) == {"word"}


def test_an_overlap_leaves_room_for_what_is_new():
    with pytest.raises(ValueError, match="overlap"):
        ChunkSizes(tokens=180, overlap=53)
