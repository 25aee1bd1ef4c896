"""Signed tokens as bytes, strict where RFC 7519 leaves a choice: one algorithm, two header fields, typed claims."""

import json
import re
from typing import Any

import msgspec
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_decode, base64url_encode

from frontdesk.errors import BadTokenError
from frontdesk.identity.tokens.models import Claims, TokenType
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import is_id

MAX_TOKEN_LENGTH = 4096
_LAST_SECOND = 253_402_300_799  # of the year 9999
_COMPACT = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,128}")
_HASHES = {"HS256": HMACAlgorithm.SHA256, "HS384": HMACAlgorithm.SHA384, "HS512": HMACAlgorithm.SHA512}


class TokenCodec:
    """The signature is PyJWT's HMAC; the compact form around it (RFC 7515, 7.1) is read here, once and strictly."""

    def __init__(self, clock: Clock, *, secret: str, algorithm: str, issuer: str, audience: str | None) -> None:
        self._clock = clock
        self._algorithm = algorithm
        self._issuer = issuer
        self._audience = audience
        self._hmac = HMACAlgorithm(_HASHES[algorithm])
        self._key = self._hmac.prepare_key(secret)
        self._header = _encode_segment(msgspec.json.encode({"alg": algorithm, "typ": "JWT"}))

    def encode(self, claims: Claims) -> str:
        signed = f"{self._header}.{_encode_segment(msgspec.json.encode(claims))}"
        return f"{signed}.{_encode_segment(self._hmac.sign(signed.encode(), self._key))}"

    def decode(self, token: str, expected: TokenType) -> Claims:
        """Raises `BadTokenError`, with the same text whatever is wrong."""
        if len(token) > MAX_TOKEN_LENGTH or _COMPACT.fullmatch(token) is None:
            raise BadTokenError
        try:
            claims = self._claims(self._verified_payload(token))
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise BadTokenError from error
        if claims.typ != expected or not self._is_current(claims) or not _has_ids(claims):
            raise BadTokenError
        return claims

    def _verified_payload(self, token: str) -> bytes:
        header, payload, signature = token.split(".")
        if header != self._header:
            self._check_unusual_header(_load_object(_decode_segment(header)))
        if not self._hmac.verify(f"{header}.{payload}".encode(), self._key, _decode_segment(signature)):
            raise BadTokenError
        return _decode_segment(payload)

    def _check_unusual_header(self, header: dict[str, Any]) -> None:
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
        return 0 < claims.iat <= now and 0 < claims.nbf <= now < claims.exp <= _LAST_SECOND


def _has_ids(claims: Claims) -> bool:
    fits = claims.fam is None if claims.typ is TokenType.access else claims.fam is not None and is_id(claims.fam)
    return fits and is_id(claims.sub) and is_id(claims.jti) and claims.ver >= 0


def _encode_segment(data: bytes) -> str:
    return base64url_encode(data).decode()


def _decode_segment(segment: str) -> bytes:
    """Raises `ValueError` also for the other spellings of the same bytes."""
    data = base64url_decode(segment)
    if _encode_segment(data) != segment:
        raise ValueError("not canonical")
    return data


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
