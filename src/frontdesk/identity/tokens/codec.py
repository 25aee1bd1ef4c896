"""Signed tokens as bytes, strict where RFC 7519 leaves a choice: one algorithm, two header fields, typed claims."""

import json
import re
from typing import Any

import msgspec
from jwt.algorithms import HMACAlgorithm
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError
from jwt.utils import base64url_decode, base64url_encode

from frontdesk.errors import BadTokenError
from frontdesk.identity.tokens.models import Claims, TokenType
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import is_id

MAX_TOKEN_LENGTH = 4096
_COMPACT = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,128}")
_HASHES = {"HS256": HMACAlgorithm.SHA256, "HS384": HMACAlgorithm.SHA384, "HS512": HMACAlgorithm.SHA512}


class _Hmac(HMACAlgorithm):
    def check_key_length(self, _key: bytes) -> str | None:
        """The start-up judges the secret, once; PyJWT would warn of it with each token."""
        return None


class TokenCodec:
    def __init__(self, clock: Clock, *, secret: str, algorithm: str, issuer: str, audience: str | None) -> None:
        self._clock = clock
        self._secret = secret
        self._algorithm = algorithm
        self._issuer = issuer
        self._audience = audience
        self._jws = PyJWS(algorithms=[])
        self._jws.register_algorithm(algorithm, _Hmac(_HASHES[algorithm]))
        header = json.dumps({"alg": algorithm, "typ": "JWT"}, separators=(",", ":"))
        self._usual_header = base64url_encode(header.encode()).decode()

    def encode(self, claims: Claims) -> str:
        return self._jws.encode(msgspec.json.encode(claims), self._secret, algorithm=self._algorithm)

    def decode(self, token: str, expected: TokenType) -> Claims:
        """Raises `BadTokenError`, with the same text whatever is wrong."""
        if len(token) > MAX_TOKEN_LENGTH or _COMPACT.fullmatch(token) is None:
            raise BadTokenError
        try:
            self._check_header(token.partition(".")[0])
            payload = self._jws.decode(token, self._secret, algorithms=[self._algorithm])
            claims = self._claims(payload)
        except (PyJWTError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise BadTokenError from error
        if claims.typ != expected or not self._is_current(claims) or not _has_ids(claims):
            raise BadTokenError
        return claims

    def _check_header(self, segment: str) -> None:
        if segment == self._usual_header:
            return
        header = _load_object(base64url_decode(segment))
        if header.get("alg") != self._algorithm or header.get("typ", "JWT") != "JWT" or header.keys() - {"alg", "typ"}:
            raise BadTokenError

    def _claims(self, payload: bytes) -> Claims:
        held = _load_object(payload)
        claims = msgspec.convert(held, Claims)
        if claims.iss != self._issuer or claims.aud != self._audience or ("aud" in held) != (claims.aud is not None):
            raise BadTokenError
        return claims

    def _is_current(self, claims: Claims) -> bool:
        now = self._clock.now().timestamp()
        return claims.iat <= now and claims.nbf <= now < claims.exp


def _has_ids(claims: Claims) -> bool:
    has_family = claims.fam is not None and is_id(claims.fam)
    return (
        is_id(claims.sub) and is_id(claims.jti) and claims.ver >= 0 and has_family == (claims.typ == TokenType.refresh)
    )


def _load_object(data: bytes) -> dict[str, Any]:
    """Raises `ValueError` for anything but one JSON object in UTF-8 whose members all differ."""
    held = json.loads(data.decode(), object_pairs_hook=_distinct)
    if not isinstance(held, dict):
        raise ValueError("not an object")  # noqa: TRY004  one class for every fault of the text
    return held


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        raise ValueError("a member stands twice")
    return held
