"""How good a ranking is, of whom the right answers are known (each as right as the other)."""

import math
from collections.abc import Collection, Sequence

DEPTH = 10


def ndcg(ranking: Sequence[str], right: Collection[str]) -> float:
    """Normalised discounted cumulative gain of the first ten (Jarvelin and Kekalainen, TOIS 2002)."""
    gained = sum(1 / math.log2(rank + 1) for rank, key in enumerate(ranking[:DEPTH], start=1) if key in right)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(right), DEPTH) + 1))
    return gained / best


def reciprocal_rank(ranking: Sequence[str], right: Collection[str]) -> float:
    return next((1 / rank for rank, key in enumerate(ranking[:DEPTH], start=1) if key in right), 0.0)


def recall(ranking: Sequence[str], right: Collection[str]) -> float:
    return len(set(ranking[:DEPTH]).intersection(right)) / len(right)
