"""An identity provider that publishes its keys (RFC 7517), as OpenID Connect's do."""

import asyncio
from collections.abc import Mapping
from typing import Any

import jwt
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from frontdesk.errors import BadTokenError, ConfigurationError, UnavailableError
from frontdesk.identity.tokens.compact import decode_segment, load_object
from frontdesk.kit.clock import Clock
from frontdesk.ports.identity_provider import Subject

MAX_BYTES = 262_144
MAX_KEYS = 64
FETCH_SECONDS = 3.0
FRESH_SECONDS = 600.0
STALE_SECONDS = 86_400.0
AGAIN_SECONDS = 10.0  # before a key that is not known is looked for again, or a fetch that failed repeated
_MAX_TOKEN_LENGTH = 8192
_LEEWAY_SECONDS = 30
_ALGORITHMS = {
    "RSA": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "EC": ["ES256", "ES384", "ES512"],
    "OKP": ["EdDSA"],
}
_HEADER = {"alg", "kid", "typ"}
_logger = structlog.get_logger(__name__)


class JwksIdentityProvider:
    """Keys are asymmetric ones. They are fetched when somebody comes, at most once in `AGAIN_SECONDS`, and used for
    `STALE_SECONDS` while the provider is away. No redirect is followed and no proxy used.
    """

    def __init__(self, url: str, *, issuer: str | None, audience: str | None, clock: Clock) -> None:
        """Raises `ConfigurationError`: without issuer and audience, any of the provider's tokens would do."""
        if not issuer or not audience or not url.startswith(("https://", "http://")):
            raise ConfigurationError(
                "CHAT_CHATKIT_JWKS_URL is an http(s) address, and needs CHAT_CHATKIT_ISSUER and CHAT_CHATKIT_AUDIENCE"
            )
        self._url = url
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()
        self._session: ClientSession | None = None

    async def verify(self, token: str) -> Subject:
        try:
            header = _header(token)
            key = await self._key(header)
            if header["alg"] not in _permitted(key):
                raise BadTokenError
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BadTokenError from error
        return Subject(self._issuer, claims["sub"])

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        name = header.get("kid", "")
        if name not in self._keys or self._age() > FRESH_SECONDS:
            await self._refresh(name)
        if name not in self._keys:
            if self._age() > STALE_SECONDS:
                raise UnavailableError("The identity provider cannot be reached", retry_after=10)
            raise BadTokenError
        return self._keys[name]

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock.monotonic() - self._fetched_at

    async def _refresh(self, wanted: str) -> None:
        async with self._fetching:
            now = self._clock.monotonic()
            is_answered = wanted in self._keys and self._age() <= FRESH_SECONDS
            if is_answered or (self._tried_at is not None and now - self._tried_at < AGAIN_SECONDS):
                return
            self._tried_at = now
            try:
                self._keys = _keys(await self._fetch())
            except (ClientError, OSError, TimeoutError, ValueError, RecursionError) as error:
                _logger.warning("the identity provider's keys cannot be had", reason=str(error))
                if self._age() > STALE_SECONDS:
                    self._keys = {}
            else:
                self._fetched_at = self._clock.monotonic()

    async def _fetch(self) -> bytes:
        if self._session is None:
            self._session = ClientSession(trust_env=False, cookie_jar=DummyCookieJar())
        timeout = ClientTimeout(total=FETCH_SECONDS)
        async with self._session.get(self._url, timeout=timeout, allow_redirects=False) as response:
            body = await response.content.read(MAX_BYTES + 1)
            while len(body) <= MAX_BYTES and (more := await response.content.read(MAX_BYTES)):
                body += more
            if response.status != 200 or len(body) > MAX_BYTES:  # noqa: PLR2004  OK
                raise ValueError(f"status {response.status}, {len(body)} bytes")
            return body


def _header(token: str) -> dict[str, Any]:
    """Raises `ValueError` for a header that says more than which key it was signed with."""
    if len(token) > _MAX_TOKEN_LENGTH or token.count(".") != 2:  # noqa: PLR2004  RFC 7515's three segments
        raise ValueError("not of the compact form")
    first, payload, signature = token.split(".")
    header = load_object(decode_segment(first))
    load_object(decode_segment(payload))
    decode_segment(signature)
    if header.keys() - _HEADER or not all(isinstance(value, str) for value in header.values()):
        raise ValueError("another parameter")
    return header


def _permitted(key: jwt.PyJWK) -> list[str]:
    of_type = _ALGORITHMS.get(key.key_type or "", [])
    return [name for name in of_type if name == key.algorithm_name] if "alg" in key._jwk_data else of_type  # noqa: SLF001


def _keys(body: bytes) -> dict[str, jwt.PyJWK]:
    """By their ids, without those that are for something else."""
    listed = load_object(body).get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError("no list of keys")
    found: dict[str, jwt.PyJWK] = {}
    for told in listed:
        if not isinstance(told, dict) or told.get("kty") not in _ALGORITHMS or told.get("use", "sig") != "sig":
            continue
        try:
            found[str(told.get("kid", ""))] = jwt.PyJWK.from_dict(told)
        except jwt.PyJWTError:
            _logger.info("a key of the identity provider is not understood", kid=told.get("kid"))
    return found
