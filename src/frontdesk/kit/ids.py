"""Identifiers: UUIDv7 strings (RFC 9562), which sort by the moment they were made."""

from uuid import UUID

from uuid_utils import uuid7

ID_LENGTH = 36


def new_id() -> str:
    return str(uuid7())


def is_id(text: str) -> bool:
    """Whether `text` is a UUID in its canonical form: 36 characters, lower case, with dashes."""
    try:
        return len(text) == ID_LENGTH and str(UUID(text)) == text
    except ValueError:
        return False
