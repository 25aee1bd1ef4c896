"""Which chunks answer a question best: candidates by meaning and by words, and of these by both.

Words count among the candidates alone, and by whether a chunk has them: how often a chunk says what all of the
candidates say tells nothing of it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frontdesk.retrieval.passages import word_number

_CANDIDATES = 24  # of either kind
_WEIGHT_OF_WORDS = 0.08  # of cosines of E5 that lie within 0.15 of each other; measured by benchmarks.attachments
_SATURATION = 1.2
_LENGTH = 0.75
Numbers = NDArray[np.float64]


def best_of(similarities: Numbers, stems: Sequence[str], words: Sequence[bytes], *, count: int) -> list[int]:
    """The places of the best, best first; of equals the first. `words` are rows of `packed_words`."""
    lengths = np.array([len(row) // 4 for row in words])
    counts = _counts(stems, words, lengths)
    found = _candidates(similarities, _by_words(counts, lengths), max(count, _CANDIDATES))
    shared = counts[:, found] > 0
    having = shared.sum(axis=1)
    weights = np.log(1 + len(found) / np.maximum(having, 1)) * (having > 0)
    share = weights @ shared / max(weights.sum(), 1.0)
    order = np.argsort(-(similarities[found] + _WEIGHT_OF_WORDS * share), kind="stable")
    return [int(found[place]) for place in order[:count]]


def _counts(stems: Sequence[str], words: Sequence[bytes], lengths: NDArray[np.int64]) -> Numbers:
    """How often each stem, one a row, is in each chunk."""
    everything = np.frombuffer(b"".join(words), dtype="<u4")
    chunks = np.repeat(np.arange(len(words)), lengths)
    counts = np.zeros((len(stems), len(words)))
    for row, stem in enumerate(stems):
        counts[row] = np.bincount(chunks[everything == word_number(stem)], minlength=len(words))
    return counts


def _by_words(counts: Numbers, lengths: NDArray[np.int64]) -> Numbers:
    """BM25 (Robertson and Zaragoza, 2009), all of the session's chunks being the collection."""
    having = (counts > 0).sum(axis=1)
    rarity = np.log(1 + (len(lengths) - having + 0.5) / (having + 0.5))
    norms = _SATURATION * (1 - _LENGTH + _LENGTH * lengths / max(lengths.mean(), 1.0))
    scores: Numbers = rarity @ (counts * (_SATURATION + 1) / (counts + norms))
    return scores


def _candidates(similarities: Numbers, by_words: Numbers, most: int) -> NDArray[np.int64]:
    nearest = np.argsort(-similarities, kind="stable")[:most]
    wordiest = np.argsort(-by_words, kind="stable")[:most]
    return np.union1d(nearest, wordiest[by_words[wordiest] > 0])
