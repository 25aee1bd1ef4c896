"""Headings of a text in Markdown, or of what was made Markdown by its reader."""

import re
from bisect import bisect_right
from collections.abc import Sequence

MAX_HEADING_CHARACTERS = 160
_BETWEEN = " > "
# A blank line before and behind it: what stands close to its neighbours may be a comment of a program.
_HEADING = re.compile(
    r"(?:\A|(?<=\n\n))(?P<marks>#{1,6})[ \t]+(?P<title>[^\n]{1,500})(?=\n\n|\n?\Z)|^[ \t]*```", re.MULTILINE
)


class Headings:
    """`offsets` are where they begin in the text, ascending."""

    def __init__(self, text: str) -> None:
        self.offsets: list[int] = []
        self._paths: list[str] = []
        path: list[tuple[int, str]] = []
        is_code = False
        for found in _HEADING.finditer(text):
            if found["marks"] is None:
                is_code = not is_code
            elif not is_code:
                level = len(found["marks"])
                path = [*(above for above in path if above[0] < level), (level, found["title"].strip())]
                self.offsets.append(found.start())
                self._paths.append(_joined([title for _, title in path]))

    def above(self, offset: int) -> str:
        """Those that a place stands under, the outermost first; empty where there are none."""
        place = bisect_right(self.offsets, offset)
        return self._paths[place - 1] if place else ""


def _joined(titles: Sequence[str]) -> str:
    """Each once. Of what is too long the innermost is kept."""
    return _BETWEEN.join(dict.fromkeys(titles))[-MAX_HEADING_CHARACTERS:].strip()
