"""Embeddings of any provider of OpenAI's `POST /v1/embeddings`
(https://platform.openai.com/docs/api-reference/embeddings).
"""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from itertools import count
from random import uniform

import msgspec
import numpy as np
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from frontdesk.adapters.embedder.texts import clean, joined, prefixes_of, slices, unit_rows
from frontdesk.errors import BadEmbeddingError, ConfigurationError, UnavailableError
from frontdesk.ports.embedder import Vectors

CHARACTERS = 32_000
CONNECTIONS = 8
MAX_ANSWER_BYTES = 67_108_864
FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 4.0
SHORTEST_CUT = 256
_OK = 200
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_TOO_MUCH = frozenset({400, 413, 422})


class _Item(msgspec.Struct):
    embedding: str | list[float]
    index: int


class _Answer(msgspec.Struct):
    data: list[_Item]


class _RefusedError(UnavailableError):
    """A status that the same request would meet again."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The embedding provider refused with status {status}")
        self.refused_with = status


class _WaitError(UnavailableError):
    """What may pass. `seconds` is what the provider asked for."""

    def __init__(self, detail: str, seconds: float | None = None) -> None:
        super().__init__(detail)
        self.seconds = seconds


class OpenAIHttpEmbedder:
    """Nothing but `base_url` is called: no redirect, no proxy of the environment.

    `timeout` (seconds) bounds a batch with its retries. `dimensions` is asked for and must be answered; without it the
    first answer tells. Batches of passages go one after another for each caller, and queries go beside them. What a
    provider finds too long is cut until it does not. Must be used within one event loop.
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        dimensions: int | None = None,
        batch_size: int = 32,
        timeout: float = 30.0,
        max_retries: int = 3,
    ) -> None:
        self.model = model
        self.dimension = dimensions or 0
        self._asked = {"model": model, "encoding_format": "base64"} | ({"dimensions": dimensions} if dimensions else {})
        self._url = f"{base_url.rstrip('/')}/embeddings"
        self._headers = {"Content-Type": "application/json", "User-Agent": "frontdesk"}
        if api_key:
            if not (api_key.isascii() and api_key.isprintable()):
                raise ConfigurationError("CHAT_EMBEDDING_API_KEY holds what no key can")
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._prefixes = prefixes_of(model)
        self._batch_size = batch_size
        self._timeout = timeout
        self._max_retries = max_retries
        self._session: ClientSession | None = None

    async def open(self) -> None:
        """Asks for one vector, which tells the dimension. Raises `ConfigurationError` when it is refused, and
        `UnavailableError` when the provider is away and `dimensions` was left to it.
        """
        self._session = ClientSession(
            connector=TCPConnector(limit=CONNECTIONS),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=self._timeout),
        )
        try:
            await self.embed_queries(["dimension"])
        except (_RefusedError, BadEmbeddingError) as error:
            raise ConfigurationError(
                f"CHAT_EMBEDDING_MODEL_NAME, CHAT_EMBEDDING_API_BASE, CHAT_EMBEDDING_API_KEY: {error.detail}"
            ) from error
        except UnavailableError:
            if not self.dimension:
                raise

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return await self._embedded(texts, self._prefixes.query if self._prefixes else "")

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return await self._embedded(texts, self._prefixes.passage if self._prefixes else "")

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _embedded(self, texts: Sequence[str], prefix: str) -> Vectors:
        # Providers refuse an empty text.
        given = [prefix + text or " " for text in clean(texts, characters=CHARACTERS)]
        parts = [await self._batch(batch) for batch in slices(given, self._batch_size)]
        return joined(parts, self.dimension)

    async def _batch(self, texts: Sequence[str]) -> Vectors:
        try:
            return await self._retried(texts)
        except _RefusedError as error:
            if error.refused_with not in _TOO_MUCH or (len(texts) == 1 and len(texts[0]) <= SHORTEST_CUT):
                raise
        if len(texts) == 1:
            return await self._batch([texts[0][: len(texts[0]) // 2]])
        middle = len(texts) // 2
        return joined([await self._batch(texts[:middle]), await self._batch(texts[middle:])], self.dimension)

    async def _retried(self, texts: Sequence[str]) -> Vectors:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        body = msgspec.json.encode({**self._asked, "input": texts})
        for number in count():
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await self._post(body)
                break
            except TimeoutError as error:
                raise UnavailableError("The embedding provider took too long") from error
            except _WaitError as error:
                pause = _pause(number) if error.seconds is None else error.seconds
                if number >= self._max_retries or loop.time() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)
        vectors = await asyncio.to_thread(_vectors, answer, len(texts), self.dimension)
        self.dimension = vectors.shape[1]
        return vectors

    async def _post(self, body: bytes) -> bytes:
        if self._session is None:
            raise UnavailableError("The embedder is not open")
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers, allow_redirects=False
            ) as response:
                if response.status == _OK:
                    return await _whole(response)
                if response.status in _RETRIED:
                    raise _WaitError(f"The embedding provider answered {response.status}", _retry_after(response))
                raise _RefusedError(response.status)
        except ClientError as error:
            raise _WaitError("The embedding provider cannot be reached") from error


async def _whole(response: ClientResponse) -> bytes:
    pieces = bytearray()
    async for piece in response.content.iter_any():
        pieces += piece
        if len(pieces) > MAX_ANSWER_BYTES:
            raise BadEmbeddingError("The embedding provider's answer is too large")
    return bytes(pieces)


def _retry_after(response: ClientResponse) -> float | None:
    """Seconds; None for a date, or for nothing that can be waited for (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _pause(number: int) -> float:
    """Doubles with each retry, between half of it and all of it, so that callers do not come back together."""
    longest = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**number)
    return uniform(longest / 2, longest)  # noqa: S311  no secret


def _vectors(answer: bytes, texts: int, dimension: int) -> Vectors:
    """One for each text, in their order. `dimension` 0 takes any. Raises `BadEmbeddingError`."""
    try:
        items = msgspec.json.decode(answer, type=_Answer).data
        rows = [_row(item.embedding) for item in sorted(items, key=lambda item: item.index)]
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise BadEmbeddingError("The embedding provider's answer is not a list of embeddings") from error
    if sorted(item.index for item in items) != list(range(texts)):
        raise BadEmbeddingError(f"The embedding provider gave {len(items)} vectors for {texts} texts")
    dimension = dimension or len(rows[0])
    wrong = next((len(row) for row in rows if len(row) != dimension), None)
    if wrong is not None or not dimension:
        raise BadEmbeddingError(f"The embedding provider gave vectors of {wrong or 0} dimensions, not {dimension}")
    stacked = np.stack(rows)
    if not np.isfinite(stacked).all():
        raise BadEmbeddingError("The embedding provider gave vectors with numbers that are none")
    return unit_rows(stacked)


def _row(embedding: str | list[float]) -> Vectors:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
    return np.array(embedding, dtype=np.float32)
