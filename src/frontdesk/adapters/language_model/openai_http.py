"""The language model over HTTP: any provider of OpenAI's chat completions, streamed with aiohttp."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count
from math import inf
from random import uniform
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from frontdesk.adapters.language_model import openai_wire as wire
from frontdesk.kit.server_sent_events import EventParser, EventTooLargeError
from frontdesk.ports.language_model import ModelCallError, ModelChunks, ModelRequest

RETRIED = frozenset({"connect", "reset", "rate_limited", "server_error"})
FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 4.0
MAX_BODY_BYTES = 8_388_608
# A provider's last HTTP chunk often comes in a read of its own, just after `[DONE]`.
GOODBYE_SECONDS = 0.1

T = TypeVar("T")


class OpenAIHttpLanguageModel:
    """Streams answers from `{base_url}/chat/completions`.

    `timeout` bounds the way to the first byte, retries and their pauses included, and then each silence between two
    reads. A call is retried before its first byte only. Nothing but `base_url` is ever called: no redirect, no proxy of
    the environment, no cookies. Must be used within one event loop.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        max_retries: int = 2,
        max_event_bytes: int = 1_048_576,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "frontdesk"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_retries = max_retries
        self._max_event_bytes = max_event_bytes
        self._opened: aiohttp.ClientSession | None = None

    def stream(self, request: ModelRequest) -> AbstractAsyncContextManager[AsyncIterator[ModelChunks]]:
        async def attempt() -> Answer:
            response = await self._send("POST", "/chat/completions", wire.request_body(request))
            return await _closing_on_error(response, self._begin(response))

        return Call(lambda: self._retried(attempt))

    async def models(self) -> list[dict[str, Any]]:
        async def attempt() -> bytes:
            response = await self._send("GET", "/models", None)
            return await _closing_on_error(response, _whole_body(response))

        return wire.model_list(await self._retried(attempt))

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.close()

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(connect=self._connect_timeout),
                auto_decompress=False,
            )
        return self._opened

    async def _retried(self, attempt: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        for number in count():
            try:
                async with asyncio.timeout_at(deadline):
                    return await attempt()
            except TimeoutError as error:
                raise wire.failure("timeout_first_byte") from error
            except ModelCallError as error:
                wait = _pause(number) if error.retry_after is None else error.retry_after
                if error.kind not in RETRIED or number >= self._max_retries or loop.time() + wait >= deadline:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError

    async def _send(self, method: str, path: str, body: bytes | None) -> aiohttp.ClientResponse:
        """A response with status 200 whose body is to be read."""
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"} if body else {}
        try:
            response = await self._session().request(
                method, self._base_url + path, data=body, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise wire.failure("connect") from error
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise wire.failure("reset") from error
        except aiohttp.ClientError as error:
            raise wire.failure("bad_response") from error
        if response.status != 200:  # noqa: PLR2004  the one status that carries an answer
            refusal = wire.status_failure(response.status, response.headers.get("Retry-After"))
        elif response.headers.get("Content-Encoding", "identity") != "identity":
            refusal = wire.failure("bad_response", status=response.status)
        else:
            return response
        response.close()
        raise refusal

    async def _begin(self, response: aiohttp.ClientResponse) -> "Answer":
        if response.content_type == "application/json":
            chunk = wire.whole_answer(await _whole_body(response))
            return Answer(response, b"", timeout=self._timeout, chunk=chunk)
        if response.content_type != "text/event-stream":
            raise wire.failure("bad_response", status=response.status)
        first = await _read(response)
        if not first:
            raise wire.failure("reset")
        return Answer(response, first, timeout=self._timeout, max_event_bytes=self._max_event_bytes)


def _pause(number: int) -> float:
    """Doubles with each retry, between half of it and all of it, so that callers do not come back together."""
    longest = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**number)
    return uniform(longest / 2, longest)  # noqa: S311  no secret


async def _closing_on_error(response: aiohttp.ClientResponse, reading: Awaitable[T]) -> T:
    try:
        return await reading
    except BaseException:
        response.close()
        raise


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """What has arrived, after waiting for it; empty at the end of the body."""
    try:
        return await response.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        raise wire.failure("reset") from error


async def _whole_body(response: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await _read(response):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise wire.failure("bad_response", status=response.status)
    return b"".join(pieces)


class Call(AbstractAsyncContextManager[AsyncIterator[ModelChunks]]):
    """Entering sends the request and waits for the first byte; leaving lets go of the connection at once."""

    def __init__(self, begin: Callable[[], Awaitable["Answer"]]) -> None:
        self._begin = begin

    async def __aenter__(self) -> AsyncIterator[ModelChunks]:
        self._answer = await self._begin()
        return self._answer

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answer.leave()


class Answer(AsyncIterator[ModelChunks]):
    """An answer under way: a batch of chunks for each read. A failure comes after the chunks that came before it."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        first: bytes,
        *,
        timeout: float,
        max_event_bytes: int = 0,
        chunk: ModelChunks | None = None,
    ) -> None:
        self._response = response
        self._unread = first
        self._batch: ModelChunks | None = chunk
        self._parser = EventParser(max_event_bytes=max_event_bytes)
        self._finished = False
        self._over = chunk is not None
        self._failure: ModelCallError | None = None
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._silent_since = inf
        self._timed_out = False
        self._timer = self._loop.call_later(timeout, self._check_silence)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ModelChunks:
        while self._batch is None:
            if self._failure is not None:
                raise self._failure
            if self._over:
                raise StopAsyncIteration
            await self._advance()
        batch, self._batch = self._batch, None
        return batch

    def leave(self) -> None:
        """Gives a finished connection back to the pool and closes any other."""
        self._timer.cancel()
        if not self._over or self._failure is not None:
            self._response.close()
        elif not self._response.content.is_eof():
            self._loop.call_later(GOODBYE_SECONDS, self._response.close)

    async def _advance(self) -> None:
        data = self._unread
        self._unread = b""
        if not data:
            self._silent_since = self._loop.time()
            try:
                data = await _read(self._response)
            except ModelCallError as error:
                self._failure = wire.failure("timeout_between_bytes") if self._timed_out else error
                return
            finally:
                self._silent_since = inf
        if data:
            self._take(data)
        else:
            self._take_end()

    def _take(self, data: bytes) -> None:
        try:
            events = self._parser.feed(data)
        except EventTooLargeError as error:
            self._failure = wire.failure("bad_frame")
            self._failure.__cause__ = error
            return
        self._read(events)

    def _read(self, events: list[bytes]) -> None:
        if wire.DONE in events:
            self._over = True
            del events[events.index(wire.DONE) :]
        if b"" in events:
            events = [event for event in events if event]
        if not events:
            return
        self._batch, self._failure = wire.read_chunks(events)
        if self._batch is not None and self._batch.finish_reason is not None:
            self._finished = True

    def _take_end(self) -> None:
        """The end of the body without `[DONE]`: well if the answer was finished, or if its last event finishes it."""
        events = self._parser.close()
        self._read(events)
        ended_well = self._over or self._finished
        self._over = True
        if (self._failure is not None and self._failure.kind == "bad_frame") or (
            self._failure is None and not ended_well
        ):
            self._failure = wire.failure("reset")

    def _check_silence(self) -> None:
        silence = self._loop.time() - self._silent_since
        if silence < self._timeout:
            self._timer = self._loop.call_later(self._timeout - max(silence, 0.0), self._check_silence)
            return
        self._timed_out = True
        self._response.close()
