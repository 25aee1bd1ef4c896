"""A page of a manual, as a thread of messages and as a question that it answers."""

from collections.abc import Iterable
from typing import NamedTuple

MESSAGE_CHARACTERS = 600
MESSAGES = 2


class Page(NamedTuple):
    """`question` is the page's own title or summary, which is not in `messages`. `keyword` is what an index or a reader
    names it by. `topic` are keys of the pages that its writers refer to as related, `twin` is the key of the same page
    in the other language.
    """

    key: str
    language: str
    question: str
    messages: tuple[str, ...]
    keyword: str
    topic: frozenset[str] = frozenset()
    twin: str | None = None


def cut(paragraphs: Iterable[str]) -> tuple[str, ...]:
    """The first messages of a page, each of whole paragraphs where they are not too long."""
    messages: list[str] = []
    for paragraph in paragraphs:
        rest = paragraph
        while rest:
            if not messages or len(messages[-1]) + len(rest) >= MESSAGE_CHARACTERS:
                messages.append("")
            if len(messages) > MESSAGES:
                return tuple(messages[:MESSAGES])
            end = len(rest) if len(rest) < MESSAGE_CHARACTERS else rest.rfind(" ", 1, MESSAGE_CHARACTERS)
            end = end if end > 0 else MESSAGE_CHARACTERS
            messages[-1] = f"{messages[-1]} {rest[:end]}".strip()
            rest = rest[end:].strip()
    return tuple(messages)


def is_russian(text: str) -> bool:
    """Most of its letters are Cyrillic: pages are only translated in part."""
    letters = [character for character in text if character.isalpha()]
    return bool(letters) and sum("\u0400" <= letter <= "\u04ff" for letter in letters) > 0.7 * len(letters)
