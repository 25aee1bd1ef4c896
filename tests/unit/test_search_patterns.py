"""What a pattern needs, and what every text that it matches holds."""

import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from frontdesk.retrieval.literals import NOTHING, All, Need, needed_trigrams
from frontdesk.retrieval.trigrams import fold, owner_mark, trigrams_of

ATOMS = [
    *(
        "a",
        "b",
        "c",
        "k",
        "s",
        ".",
        r"\d",
        "[abc]",
        "[^a]",
        "(ab|ba)",
        "(?:abc|cab)",
        "(?i)",
        "(?i:KS)",
        r"\.",
        "^",
        "$",
    ),
    *(r"\b", "(a|b|)", "[]a]", "[[:alpha:]c]", "{", "}", r"\x{61}", r"\pL", "\u017f", "(?s:.)", "(abc)", "-", "]", "|"),
]
OFTEN = ["", "", "", "*", "+", "?", "{2}", "{0,1}", "{1,}", "{0}", "+?", "{,2}", "{a}"]
PATTERNS = st.lists(st.tuples(st.sampled_from(ATOMS), st.sampled_from(OFTEN)).map("".join), min_size=1, max_size=8)
TEXTS = st.text("aabbcckKs.1{}-],2S\u017f\u212a", max_size=14)


def quiet() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    return options


def holds(need: Need, held: set[str]) -> bool:
    if isinstance(need, str):
        return need in held
    inner = [holds(each, held) for each in need.needs]
    return all(inner) if isinstance(need, All) else any(inner)


@settings(max_examples=400, deadline=None)
@given(PATTERNS.map("".join), st.lists(TEXTS, min_size=5, max_size=5))
def test_no_text_that_matches_lacks_what_is_needed(pattern: str, texts: list[str]) -> None:
    try:
        compiled = re2.compile(pattern, quiet())
    except re2.error:
        return
    need = needed_trigrams(pattern)
    for text in texts:
        assert not compiled.search(text) or holds(need, trigrams_of(fold(text))), (need, text)


def test_literals_are_needed() -> None:
    cases: dict[str, set[Need]] = {
        r"invoice-\d+": trigrams_of("invoice-"),
        "(?i)HELLO{2}x": {"hel", "ell", "llo"},
        "ab+cdef": {"bcd", "cde", "def"},
        "(foo)+bar": {"foo", "bar"},
        "x?abc*": set(),
    }
    for pattern, needed in cases.items():
        assert set(needed_trigrams(pattern).needs) == needed, pattern
    assert holds(needed_trigrams("error|warn"), trigrams_of("a warning"))
    assert not holds(needed_trigrams("error|warn"), trigrams_of("all is well"))
    for pattern in (".*", "a|b", r"\Qabc\E", "(abc|)", "[abc]{3}", "ab"):
        assert needed_trigrams(pattern) == NOTHING, pattern


def test_an_owners_mark_is_a_trigram_that_no_text_has() -> None:
    marks = {owner_mark(f"user-{number}") for number in range(1_000)}
    assert len(marks) == 1_000
    assert all(len(mark) == 3 and mark.encode().decode() == mark for mark in marks)
    assert all(ord(character) >= 0xF0000 for mark in marks for character in mark)
