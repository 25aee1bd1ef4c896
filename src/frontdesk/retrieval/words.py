"""Words as they are compared: English and Russian by their stems (Snowball), all others folded.

Both databases index what this makes, so that a question finds the same in either, and highlights are of the original.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import local

import msgspec
import Stemmer

MAX_WORDS = 30_000
MAX_WORD_LENGTH = 64
_ONE_BY_ONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # written without spaces between words
_WORD = re.compile(rf"[{_ONE_BY_ONE}]|(?:[^\W{_ONE_BY_ONE}][\u0300-\u036f]*)+")
_CYRILLIC = re.compile("[\u0400-\u04ff]+")
_LATIN = re.compile("[a-z\u00df-\u024f]+")
_STOP_WORDS = frozenset((Path(__file__).parent / "stop_words.txt").read_text(encoding="utf-8").split())
_kept = local()


class Word(msgspec.Struct, frozen=True):
    """A stem and where its word stands in the text, in code points."""

    stem: str
    start: int
    end: int


def words_of(text: str) -> Iterator[Word]:
    for match in _WORD.finditer(text):
        stem = stem_of(match[0])
        if stem:
            yield Word(stem, match.start(), match.end())


def stems_of(text: str) -> list[str]:
    """In the order of the text, the first `MAX_WORDS`."""
    stems: list[str] = []
    for word in words_of(text):
        stems.append(word.stem)
        if len(stems) == MAX_WORDS:
            break
    return stems


def asked_stems(question: str, *, limit: int) -> list[str]:
    """Each stem of a question once; words that say nothing are left out unless there are no others."""
    telling: dict[str, None] = {}
    rest: dict[str, None] = {}
    for match in _WORD.finditer(question):
        if stem := stem_of(match[0]):
            (rest if match[0].casefold() in _STOP_WORDS else telling)[stem] = None
    return list(telling or rest)[:limit]


@lru_cache(maxsize=65_536)
def stem_of(word: str) -> str:
    """Empty for what holds nothing to compare."""
    folded = word.lower() if word.isascii() else _folded(word)
    folded = folded[:MAX_WORD_LENGTH]
    if _LATIN.fullmatch(folded):
        return str(_stemmer("english").stemWord(folded))
    if _CYRILLIC.fullmatch(folded):
        return str(_stemmer("russian").stemWord(folded))
    return folded


def _folded(word: str) -> str:
    folded = unicodedata.normalize("NFKC", word).casefold().replace("\u0451", "\u0435")
    return "".join(character for character in folded if character.isalnum() or character == "_")


def _stemmer(language: str) -> Stemmer.Stemmer:
    """A stemmer is one thread's."""
    stemmer = getattr(_kept, language, None)
    if stemmer is None:
        stemmer = Stemmer.Stemmer(language)
        setattr(_kept, language, stemmer)
    return stemmer
