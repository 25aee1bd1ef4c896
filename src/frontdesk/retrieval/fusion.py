"""One list of two: relative scores (Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval",
ACM TOIS 2023).
"""

from collections.abc import Sequence

from msgspec.structs import replace

from frontdesk.retrieval.repository import Match

LIKENESS, WORDS = "semantic", "text"


def fused(
    by_likeness: Sequence[Match], by_words: Sequence[Match], *, looked_at: int
) -> tuple[list[Match], dict[str, list[str]]]:
    """The threads of both lists, best first, each with the message that stands better, and which lists have it.

    A score is the mean of the shares that a thread has of each list's best. Words that match are worth something from
    nothing up; everything is somewhat alike, so likeness counts from the thread in place `looked_at`, or the last.
    """
    scores: dict[str, float] = {}
    shown: dict[str, tuple[float, Match]] = {}
    found_by: dict[str, list[str]] = {}
    ordinary = by_likeness[:looked_at][-1].score if by_likeness else 0.0
    for name, matches, least in ((LIKENESS, by_likeness, ordinary), (WORDS, by_words, 0.0)):
        best = max((match.score for match in matches), default=0.0)  # all of the words come first, whatever they score
        for match in matches:
            share = _share(match.score, least=least, best=best)
            scores[match.thread_id] = scores.get(match.thread_id, 0.0) + share / 2
            found_by.setdefault(match.thread_id, []).append(name)
            if match.thread_id not in shown or share >= shown[match.thread_id][0]:
                shown[match.thread_id] = (share, match)
    ordered = sorted(scores, key=lambda thread_id: -scores[thread_id])  # equals stay in their list's order
    return [replace(shown[thread_id][1], score=scores[thread_id]) for thread_id in ordered], found_by


def _share(score: float, *, least: float, best: float) -> float:
    return max(0.0, (score - least) / (best - least)) if best > least else 1.0
