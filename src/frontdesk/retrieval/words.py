"""Words as they are compared: English and Russian by their stems (Snowball), all others folded.

Both databases index what this makes, so that a question finds the same in either, and highlights are of the original.
"""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from itertools import islice
from pathlib import Path
from threading import local

import Stemmer

MAX_WORDS = 30_000
MAX_WORD_LENGTH = 64
Span = tuple[int, int]  # in code points, the end behind the last
_MAX_LOOKED_AT = 200_000
_ONE_BY_ONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # written without spaces between words
_WORD = re.compile(rf"[{_ONE_BY_ONE}]|(?:[^\W{_ONE_BY_ONE}][\u0300-\u036f]*)+")
_CYRILLIC = re.compile("[\u0400-\u04ff]+")
_LATIN = re.compile("[a-z\u00df-\u024f]+")
_STOP_WORDS = frozenset((Path(__file__).parent / "stop_words.txt").read_text(encoding="utf-8").split())
_kept = local()


def stems_of(text: str) -> list[str]:
    """In the order of the text, the first `MAX_WORDS`."""
    stems = (stem_of(match[0]) for match in _WORD.finditer(text))
    return list(islice(filter(None, stems), MAX_WORDS))


def word_spans(text: str, stems: Collection[str]) -> list[Span]:
    """Where the words with these stems stand."""
    if not stems:
        return []
    return [match.span() for match in _WORD.finditer(text[:_MAX_LOOKED_AT]) if stem_of(match[0]) in stems]


def asked_stems(question: str, *, limit: int) -> list[str]:
    """Each stem of a question once; words that say nothing are left out unless there are no others."""
    telling: dict[str, None] = {}
    rest: dict[str, None] = {}
    for match in _WORD.finditer(question):
        if stem := stem_of(match[0]):
            (rest if match[0].casefold() in _STOP_WORDS else telling)[stem] = None
    return list(telling or rest)[:limit]


@lru_cache(maxsize=16_384)  # some 3 MB
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
