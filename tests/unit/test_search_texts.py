"""Stems and snippets."""

from hypothesis import given
from hypothesis import strategies as st

from frontdesk.retrieval.snippets import LENGTH, cut_snippet
from frontdesk.retrieval.words import MAX_WORDS, asked_stems, stems_of, word_spans


def test_words_that_differ_by_their_endings_have_one_stem() -> None:
    for words in (
        ["printer", "Printers", "PRINTERS"],
        ["принтер", "принтеры", "Принтерам"],
        ["счёт", "счет", "счета"],
        ["caf\u00e9", "cafe\u0301"],
        ["\u0439", "\u0438\u0306"],
    ):
        assert len({tuple(stems_of(word)) for word in words}) == 1, words
    assert stems_of("東京都") == ["東", "京", "都"]
    assert stems_of("?! -- 🙂") == []
    assert len(stems_of("a " * (MAX_WORDS + 5))) == MAX_WORDS


def test_words_that_say_nothing_are_asked_only_alone() -> None:
    assert asked_stems("Where is the printer, а где счёт?", limit=9) == ["printer", "счет"]
    assert asked_stems("to be or not to be", limit=9) == ["to", "be", "or", "not"]
    assert asked_stems("one two three four", limit=2) == ["one", "two"]


@given(st.text(max_size=400))
def test_every_word_stands_where_it_is_said_to(text: str) -> None:
    last = 0
    for start, end in word_spans(text, set(stems_of(text))):
        assert last <= start < end <= len(text)
        assert len(stems_of(text[start:end])) == 1
        last = end


@given(st.text("ab \u0301🙂я", max_size=900), st.sets(st.sampled_from(["a", "b", "ab", "я"])))
def test_highlights_are_in_the_snippet_and_apart(text: str, stems: set[str]) -> None:
    spans = word_spans(text, stems)
    snippet = cut_snippet(text, spans)
    assert snippet.text in text
    assert len(snippet.text) <= LENGTH
    assert bool(spans) == bool(snippet.highlights)
    last = 0
    for start, end in snippet.highlights:
        assert last <= start < end <= len(snippet.text)
        last = end
