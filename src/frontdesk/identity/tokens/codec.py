"""Signed tokens as bytes, strict where RFC 7519 leaves a choice: typed claims, all of them checked."""

from typing import Any

import msgspec

from frontdesk.errors import BadTokenError
from frontdesk.identity.tokens.compact import MAX_TOKEN_LENGTH, CompactForm
from frontdesk.identity.tokens.models import Claims, TokenType
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import is_id

__all__ = ["MAX_TOKEN_LENGTH", "TokenCodec"]
LAST_SECOND = 253_402_300_799  # of the year 9999


class TokenCodec:
    def __init__(self, clock: Clock, *, secret: str, algorithm: str, issuer: str, audience: str | None) -> None:
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._form = CompactForm(secret=secret, algorithm=algorithm)

    def encode(self, claims: Claims) -> str:
        return self._form.write(claims)

    def decode(self, token: str, expected: TokenType) -> Claims:
        """Raises `BadTokenError`, with the same text whatever is wrong."""
        try:
            claims = self._claims(self._form.read(token))
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise BadTokenError from error
        if claims.typ != expected or not self._is_current(claims) or not _has_ids(claims):
            raise BadTokenError
        return claims

    def _claims(self, held: dict[str, Any]) -> Claims:
        claims = msgspec.convert(held, Claims)
        if claims.iss != self._issuer or claims.aud != self._audience or ("aud" in held) != (claims.aud is not None):
            raise BadTokenError
        return claims

    def _is_current(self, claims: Claims) -> bool:
        now = self._clock.now().timestamp()
        return 0 < claims.iat <= now and 0 < claims.nbf <= now < claims.exp <= LAST_SECOND


def _has_ids(claims: Claims) -> bool:
    fits = claims.fam is None if claims.typ is TokenType.access else claims.fam is not None and is_id(claims.fam)
    return fits and is_id(claims.sub) and is_id(claims.jti) and claims.ver >= 0
