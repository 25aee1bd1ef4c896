"""Tokens of sessions: 192 random bits behind a prefix. What is stored of one is its digest alone."""

import re
import secrets
from hashlib import sha256

from frontdesk.public_chat.sessions.models import TokenKind

_BYTES = 24
_PREFIXES = {TokenKind.session: "sess_", TokenKind.persistence: "keep_"}
_FORM = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)


def new_token(kind: TokenKind) -> str:
    return _PREFIXES[kind] + secrets.token_urlsafe(_BYTES)


def digest(token: str) -> str:
    """A fast hash is enough: nobody guesses 192 random bits."""
    return sha256(token.encode()).hexdigest()


def find_digest(token: str, kind: TokenKind) -> str | None:
    """None for a text that cannot be a token of the kind."""
    prefix = _PREFIXES[kind]
    if not token.startswith(prefix) or _FORM.fullmatch(token[len(prefix) :]) is None:
        return None
    return digest(token)


def visitor_key(interface_id: str, kind: str, value: str) -> str:
    """Tells visitors of one interface apart without naming them, and says nothing about other interfaces."""
    return sha256(f"{interface_id}\n{kind}\n{value}".encode()).hexdigest()
