"""The part of a text that shows why it was found."""

from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from frontdesk.retrieval.words import Span

LENGTH = 240
_LEAD = 40


class Snippet(msgspec.Struct, frozen=True):
    """`highlights` are places in `text`, in order, none within another."""

    text: str
    highlights: list[Span]


def cut_snippet(text: str, spans: Sequence[Span]) -> Snippet:
    """The `LENGTH` code points with the most of `spans`, which are in order; the beginning when there are none."""
    start = _start(text, spans)
    end = min(len(text), start + LENGTH)
    if end < len(text) and (space := text.rfind(" ", start + LENGTH - _LEAD, end)) > 0:
        end = max(space, max((min(last, end) for first, last in spans if start <= first < end), default=0))
    shown = [
        (max(first, start) - start, min(last, end) - start) for first, last in spans if first < end and last > start
    ]
    return Snippet(text[start:end], _apart(shown))


def _start(text: str, spans: Sequence[Span]) -> int:
    if not spans:
        return 0
    firsts = [first for first, _ in spans]
    reach = LENGTH - _LEAD
    best = max(range(len(spans)), key=lambda number: bisect_left(firsts, firsts[number] + reach) - number)
    wanted = max(0, min(firsts[best] - _LEAD, len(text) - LENGTH))
    if wanted == 0:
        return 0
    space = text.find(" ", wanted, firsts[best])
    return wanted if space < 0 else space + 1


def _apart(spans: Sequence[Span]) -> list[Span]:
    apart: list[Span] = []
    for first, last in spans:
        if apart and first < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    return apart
