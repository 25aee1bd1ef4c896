"""Who a visitor is, as the site that embeds the chat says it: a signed token (RFC 7519) of `sub`, `exp`, `name?`,
`email?`.

It is signed with the interface's secret (HS256) or with a key of its JWK set. Which kind of key checks a token is
decided by the key and never by the token, so a public key can't pass for a secret.
"""

from typing import Any

import jwt
import msgspec

from frontdesk.errors import IdentityRejectedError
from frontdesk.kit.clock import Clock
from frontdesk.public_chat.interfaces.models import ChatInterface
from frontdesk.public_chat.sessions.models import EMAIL_LENGTH, PERSON_NAME_LENGTH, SUBJECT_LENGTH

MAX_TOKEN_LENGTH = 4096
MOST_KEYS = 16
_SYMMETRIC = "HS256"
_ASYMMETRIC = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
_PRIVATE = frozenset({"d", "k", "p", "q", "dp", "dq", "qi", "oth"})
_LEEWAY_SECONDS = 30  # for what is not valid yet: clocks differ
_UNCHECKED = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}


class Identity(msgspec.Struct, frozen=True):
    subject: str
    name: str | None
    email: str | None


class _Claims(msgspec.Struct):
    sub: str
    exp: int | float
    nbf: int | float = 0
    name: str | None = None
    email: str | None = None
    aud: str | None = None


def parse_jwks(document: dict[str, Any]) -> dict[str, Any]:
    """Raises `ValueError` unless it is a JWK set (RFC 7517, 5) of public keys that can check signatures here."""
    keys = document.get("keys")
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS:
        raise ValueError(f"a JWK set has 1 to {MOST_KEYS} `keys`")
    for key in keys:
        if not isinstance(key, dict) or key.keys() & _PRIVATE:
            raise ValueError("only public keys belong here")
        try:
            algorithm = jwt.PyJWK(key).algorithm_name
        except jwt.PyJWTError as error:
            raise ValueError("a key cannot be read") from error
        if algorithm not in _ASYMMETRIC:
            raise ValueError(f"keys are for {', '.join(sorted(_ASYMMETRIC))}")
    return {"keys": keys}


def verify_identity(token: str, interface: ChatInterface, clock: Clock) -> Identity:
    """Raises `IdentityRejectedError`; why is not said."""
    if len(token) > MAX_TOKEN_LENGTH:
        raise IdentityRejectedError
    try:
        claims = msgspec.convert(_verified(token, interface), _Claims)
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise IdentityRejectedError from error
    now = clock.now().timestamp()
    is_current = claims.nbf - _LEEWAY_SECONDS <= now < claims.exp
    is_for_us = claims.aud is None or claims.aud in {interface.slug, interface.id}
    if not is_current or not is_for_us or not _is_storable(claims):
        raise IdentityRejectedError
    return Identity(claims.sub, claims.name, claims.email)


def _verified(token: str, interface: ChatInterface) -> dict[str, Any]:
    header = jwt.get_unverified_header(token)
    if header.get("alg") == _SYMMETRIC:
        if interface.identity_secret is None:
            raise IdentityRejectedError
        return jwt.decode(token, interface.identity_secret, algorithms=[_SYMMETRIC], options=_UNCHECKED)  # type: ignore[arg-type]  # only what differs
    key = _find_key(interface.identity_jwks or {}, header)
    return jwt.decode(token, key, algorithms=[key.algorithm_name], options=_UNCHECKED)  # type: ignore[arg-type]  # as above


def _find_key(jwks: dict[str, Any], header: dict[str, Any]) -> jwt.PyJWK:
    """The key that the token names; one without a name is checked with the only key there is."""
    keys = jwks.get("keys", [])
    named = [key for key in keys if "kid" in header and key.get("kid") == header["kid"]]
    found = named or (keys if "kid" not in header else [])
    if len(found) != 1:
        raise IdentityRejectedError
    return jwt.PyJWK(found[0])


def _is_storable(claims: _Claims) -> bool:
    texts = (claims.sub, claims.name or "", claims.email or "")
    lengths = (SUBJECT_LENGTH, PERSON_NAME_LENGTH, EMAIL_LENGTH)
    fits = all(len(text) <= length for text, length in zip(texts, lengths, strict=True))
    return bool(claims.sub) and fits and not any("\0" in text for text in texts)
