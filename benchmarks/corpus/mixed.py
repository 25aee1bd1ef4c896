"""Any number of messages out of a few thousand real ones, with vectors that need no hours of embedding.

Each is half of one real passage and half of another of its language, and its vector is what lies between theirs, with
some noise: as near to each other and as far as the embedder puts real texts. The real ones are among them, with
their own vectors, so a real question finds its real answer in the middle of all of them.
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.corpus.pages import Page
from frontdesk.ports.embedder import Vectors

NOISE = 0.25


class Mixes:
    """`vectors` are those of the pages' messages, one after another. Repeatable: the same arguments, the same mixes."""

    def __init__(self, pages: Sequence[Page], vectors: Vectors) -> None:
        self._texts = [text for page in pages for text in page.messages]
        self._languages: dict[str, list[int]] = {"en": [], "ru": []}
        languages = [page.language for page in pages for _ in page.messages]
        for number, language in enumerate(languages):
            self._languages[language].append(number)
        self._real = vectors
        self.known = dict(zip(self._texts, vectors, strict=True))

    def texts(self, count: int) -> Iterator[str]:
        drawn = random.Random(count)
        noise = np.random.default_rng(count)
        for number in range(count):
            numbers = self._languages["ru" if drawn.random() < 0.5 else "en"]
            one, other = drawn.choice(numbers), drawn.choice(numbers)
            text = f"{_half(self._texts[one], 0)} {_half(self._texts[other], 1)} {number}"
            self.known[text] = _unit(self._real[one] + self._real[other], noise)
            yield text


def _half(text: str, which: int) -> str:
    middle = text.find(" ", len(text) // 2)
    return (text[:middle] if which == 0 else text[middle:]).strip()


def _unit(vector: Vectors, noise: np.random.Generator) -> Vectors:
    length = np.linalg.norm(vector)
    noisy = vector / length + NOISE * noise.standard_normal(len(vector)) / np.sqrt(len(vector))
    return np.asarray(noisy / np.linalg.norm(noisy), dtype=np.float32)
