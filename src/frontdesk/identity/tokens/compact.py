"""The compact form of signed JSON (RFC 7515, 7.1), read once and strictly: one algorithm, two header fields."""

import json
import re
from typing import Any

import msgspec
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_decode, base64url_encode

MAX_TOKEN_LENGTH = 4096
_COMPACT = re.compile(r"[A-Za-z0-9_-]{1,512}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{1,128}")
_HASHES = {"HS256": HMACAlgorithm.SHA256, "HS384": HMACAlgorithm.SHA384, "HS512": HMACAlgorithm.SHA512}


class CompactForm:
    """The signature is PyJWT's HMAC."""

    def __init__(self, *, secret: str | bytes, algorithm: str) -> None:
        self._algorithm = algorithm
        self._hmac = HMACAlgorithm(_HASHES[algorithm])
        self._key = self._hmac.prepare_key(secret)
        self._header = _encode_segment(msgspec.json.encode({"alg": algorithm, "typ": "JWT"}))

    def write(self, payload: msgspec.Struct) -> str:
        signed = f"{self._header}.{_encode_segment(msgspec.json.encode(payload))}"
        return f"{signed}.{_encode_segment(self._hmac.sign(signed.encode(), self._key))}"

    def read(self, token: str) -> dict[str, Any]:
        """The payload. Raises `ValueError` or `RecursionError` for anything that was not written with this key."""
        if len(token) > MAX_TOKEN_LENGTH or _COMPACT.fullmatch(token) is None:
            raise ValueError("not of the compact form")
        header, payload, signature = token.split(".")
        if header != self._header:
            self._check_unusual_header(load_object(decode_segment(header)))
        if not self._hmac.verify(f"{header}.{payload}".encode(), self._key, decode_segment(signature)):
            raise ValueError("signed by somebody else")
        return load_object(decode_segment(payload))

    def _check_unusual_header(self, header: dict[str, Any]) -> None:
        if header.get("alg") != self._algorithm or header.get("typ", "JWT") != "JWT" or header.keys() - {"alg", "typ"}:
            raise ValueError("another algorithm, type or parameter")


def _encode_segment(data: bytes) -> str:
    return base64url_encode(data).decode()


def decode_segment(segment: str) -> bytes:
    """Raises `ValueError` also for the other spellings of the same bytes."""
    data = base64url_decode(segment)
    if _encode_segment(data) != segment:
        raise ValueError("not canonical")
    return data


def load_object(data: bytes) -> dict[str, Any]:
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
