"""Somebody else who knows our users: another sign-in whose tokens are accepted here.

Owns how such a token is checked and where the provider's keys come from. It refuses to know accounts: what it says is
who the provider says somebody is.
"""

from typing import Protocol

import msgspec


class Subject(msgspec.Struct, frozen=True):
    """Unique together, and the same for ever."""

    issuer: str
    subject: str


class IdentityProvider(Protocol):
    async def verify(self, token: str) -> Subject:
        """Raises `BadTokenError`, and `UnavailableError` when the provider's keys cannot be had."""
        ...

    async def aclose(self) -> None: ...
