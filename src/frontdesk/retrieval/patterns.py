"""Regular expressions in linear time: RE2's, with bounds on how large one may be."""

from collections.abc import Sequence
from time import monotonic

import msgspec
import re2

from frontdesk.errors import BadRegexError
from frontdesk.retrieval.literals import All, needed_trigrams

MAX_PATTERN = 1_000
_MAX_MEMORY = 1 << 20
_MAX_PROGRAM = (
    2_000  # steps for each byte of a text, at worst: a message of 200,000 characters then takes under a second
)
_MAX_SPANS = 100


class Pattern(msgspec.Struct, frozen=True):
    """`needs` is what a matching text holds."""

    compiled: re2._Regexp
    needs: All

    def matching(self, texts: Sequence[tuple[str, str]], *, until: float) -> tuple[list[str], bool]:
        """Ids of the texts in which it matches, of `(id, text)`, and whether all were looked at before `until`, a
        moment of the monotonic clock. Blocking; other threads go on meanwhile.
        """
        found: list[str] = []
        for identifier, text in texts:
            if monotonic() > until:
                return found, False
            if self.compiled.search(text) is not None:
                found.append(identifier)
        return found, True

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where it matches, in code points; the first hundred that are not empty."""
        spans: list[tuple[int, int]] = []
        for match in self.compiled.finditer(text):
            if match.end() > match.start():
                spans.append((match.start(), match.end()))
            if len(spans) == _MAX_SPANS:
                break
        return spans


def compile_pattern(pattern: str) -> Pattern:
    """Raises `BadRegexError` for what RE2 does not know (such as references back), and for what is too large."""
    if len(pattern) > MAX_PATTERN:
        raise BadRegexError(f"A pattern has at most {MAX_PATTERN:,} characters")
    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        told = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise BadRegexError(f"Not a regular expression of RE2: {told}") from error
    if compiled.programsize > _MAX_PROGRAM:
        raise BadRegexError("The pattern is too large: use smaller repetitions")
    return Pattern(compiled, needed_trigrams(pattern))
