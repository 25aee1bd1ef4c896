"""What a text must hold for a pattern to match in it, read off the pattern (RE2's syntax, case ignored).

It errs on one side only: what it does not understand asks for nothing.
"""

import msgspec

from frontdesk.retrieval.trigrams import fold, trigrams_of

_MAX_DEPTH = 50
_MAX_CHOICES = 16
_QUANTIFIERS = "*+?{"
_STANDS_FOR_ITSELF = frozenset(r"\.+*?()|[]{}^$-/ !\"#%&',:;<=>@_`~")
_ZERO_WIDTH = frozenset("AbBz")


class All(msgspec.Struct, frozen=True):
    """Every one is needed; none at all means nothing is."""

    needs: "tuple[Need, ...]"


class Any(msgspec.Struct, frozen=True):
    """One of them is needed."""

    needs: "tuple[Need, ...]"


Need = str | All | Any
NOTHING = All(())


def needed_trigrams(pattern: str) -> All:
    """Folded trigrams that each matching text holds; `NOTHING` when none can be told."""
    if "\\Q" in pattern or "(?x" in pattern:
        return NOTHING
    try:
        return _Reader(pattern).alternatives(depth=0)
    except _NotUnderstoodError:
        return NOTHING


class _NotUnderstoodError(Exception):
    pass


class _Reader:
    """Reads the pattern once, from left to right. RE2 has accepted it before."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self, *, depth: int) -> All:
        """To the end of the pattern or of the group."""
        if depth > _MAX_DEPTH:
            raise _NotUnderstoodError
        choices = [self._sequence(depth)]
        while self._peek() == "|":
            self._at += 1
            choices.append(self._sequence(depth))
        if len(choices) == 1:
            return choices[0]
        if len(choices) > _MAX_CHOICES or any(not choice.needs for choice in choices):
            return NOTHING
        return All((Any(tuple(choices)),))

    def _sequence(self, depth: int) -> All:
        needs: dict[Need, None] = {}
        run: list[str] = []
        while (character := self._peek()) and character not in "|)":
            literal, inner = self._item(character, depth)
            minimum, is_exactly_once = self._quantifier()
            if literal is not None and is_exactly_once:
                run.append(literal)
                continue
            if literal != "":
                self._close(run, needs, last=literal if minimum else None)
            if inner is not None and minimum:
                needs.update(dict.fromkeys(inner.needs))
            if literal and minimum:
                run.append(literal)
        self._close(run, needs, last=None)
        return All(tuple(needs))

    @staticmethod
    def _close(run: list[str], needs: dict[Need, None], *, last: str | None) -> None:
        """A run ends behind the first of what is repeated, and another begins with the last of it."""
        needs.update(dict.fromkeys(sorted(trigrams_of(fold("".join(run) + (last or ""))))))
        run.clear()

    def _item(self, character: str, depth: int) -> tuple[str | None, All | None]:
        """A literal character, empty for what has no width; or what a group needs; or neither."""
        self._at += 1
        if character == "(":
            return self._group(depth)
        if character == "[":
            self._skip_class()
            return None, None
        if character == "\\":
            return self._escape(), None
        if character in "^$":
            return "", None
        return (None if character == "." else character), None

    def _group(self, depth: int) -> tuple[str | None, All | None]:
        if self._peek() == "?":
            end = next((at for at in range(self._at, len(self._pattern)) if self._pattern[at] in ":>)"), None)
            if end is None:
                raise _NotUnderstoodError
            self._at = end + 1
            if self._pattern[end] == ")":  # flags alone; RE2 takes what repeats them for what was before them
                if self._peek() in tuple(_QUANTIFIERS):
                    raise _NotUnderstoodError
                return "", None
        inner = self.alternatives(depth=depth + 1)
        if self._peek() != ")":
            raise _NotUnderstoodError
        self._at += 1
        return None, inner

    def _escape(self) -> str | None:
        character = self._peek()
        self._at += 1
        if character in _STANDS_FOR_ITSELF:
            return character
        if character in _ZERO_WIDTH:
            return ""
        if character in "pP" and self._peek() != "{":
            self._at += 1
            return None
        if character in "xpP" and self._peek() == "{":
            self._at = self._pattern.index("}", self._at) + 1
            return None
        if character in "dDsSwWC":
            return None
        raise _NotUnderstoodError

    def _skip_class(self) -> None:
        """To behind its bracket; one that comes first stands for itself."""
        if self._peek() == "^":
            self._at += 1
        is_first = True
        while (character := self._peek()) != "]" or is_first:
            if not character:
                raise _NotUnderstoodError
            named = character == "[" and self._pattern.startswith("[:", self._at)
            if named and (end := self._pattern.find(":]", self._at)) > 0:
                self._at = end + 2
            else:
                self._at += 2 if character == "\\" else 1
            is_first = False
        self._at += 1

    def _quantifier(self) -> tuple[int, bool]:
        """How often at least, and whether exactly once."""
        least, is_once = 1, True
        while (character := self._peek()) and character in _QUANTIFIERS:
            minimum = self._repetition(character)
            if minimum is None:
                return least, is_once
            least, is_once = min(least, minimum), False
        return least, is_once

    def _repetition(self, character: str) -> int | None:
        """None for a brace that stands for itself."""
        self._at += 1
        if character != "{":
            return 1 if character == "+" else 0
        end = self._pattern.find("}", self._at)
        least, _, most = self._pattern[self._at : end].partition(",")
        if end < 0 or not least.isdecimal() or not (most == "" or most.isdecimal()):
            self._at -= 1
            return None
        self._at = end + 1
        return min(int(least), 1)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]
