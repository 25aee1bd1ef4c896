"""Runs of three characters, folded: what a text must hold for a pattern to match in it.

PostgreSQL's pg_trgm is not everywhere, so both databases index the trigrams that are made here. Folding keeps every
character one character, and folds together at least what RE2's case-insensitive matching does.
"""

from hashlib import blake2b

LENGTH = 3
_PRIVATE_USE = 0xF0000  # plane 15: nobody's text has these by chance
_PRIVATE_BITS = 16


def fold(text: str) -> str:
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(_fold_one(character) for character in text)


def _fold_one(character: str) -> str:
    folded = character.casefold()
    return folded if len(folded) == 1 else character.lower()[:1]


def trigrams_of(folded: str) -> set[str]:
    return {folded[start : start + LENGTH] for start in range(len(folded) - LENGTH + 1)}


def owner_mark(user_id: str) -> str:
    """A trigram that stands for an owner: an index of trigrams finds one owner's texts as it finds any other."""
    digest = int.from_bytes(blake2b(user_id.encode(), digest_size=6).digest())
    return "".join(chr(_PRIVATE_USE + (digest >> (_PRIVATE_BITS * part)) % 0xFFFE) for part in range(LENGTH))
