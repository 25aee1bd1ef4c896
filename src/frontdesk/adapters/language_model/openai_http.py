"""The language model over HTTP: any provider of OpenAI's chat completions."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from random import uniform
from typing import Any, TypeVar

from frontdesk.adapters.http_client import HttpClient, HttpError, Response
from frontdesk.adapters.language_model import openai_wire as wire
from frontdesk.adapters.language_model.streamed_answer import StreamedAnswer, Take
from frontdesk.ports.language_model import ModelCallError, ModelRequest

RETRIED = frozenset({"connect", "reset", "rate_limited", "server_error"})
FIRST_BACKOFF_SECONDS = 0.2
LAST_BACKOFF_SECONDS = 4.0
MAX_BODY_BYTES = 8_388_608

T = TypeVar("T")


class OpenAIHttpLanguageModel:
    """Streams answers from `{base_url}/chat/completions`.

    `timeout` bounds the way to the first byte, retries and their pauses included, and then each silence between two
    reads. A call is retried before its first byte only. Nothing but `base_url` is ever called. Must be used within one
    event loop. `client` has its connections.
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
        headers = {"Accept-Encoding": "identity", "User-Agent": "frontdesk"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self.client = HttpClient(base_url, headers=headers, connect_timeout=connect_timeout)
        self._timeout = timeout
        self._max_retries = max_retries
        self._max_event_bytes = max_event_bytes

    async def stream(self, request: ModelRequest, take: Take) -> None:
        async def attempt() -> StreamedAnswer:
            response = await self._send("POST", "/chat/completions", wire.request_body(request))
            return await _leaving_on_error(response, self._begin(response, take))

        answer = await self._retried(attempt)
        try:
            await answer.ended
        finally:
            answer.leave()

    async def stop(self, thread_id: str) -> None:
        """The call was closed, which stops it."""

    async def models(self) -> list[dict[str, Any]]:
        async def attempt() -> bytes:
            response = await self._send("GET", "/models", None)
            return await _leaving_on_error(response, _whole_body(response))

        return wire.model_list(await self._retried(attempt))

    async def aclose(self) -> None:
        await self.client.aclose()

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

    async def _send(self, method: str, path: str, body: bytes | None) -> Response:
        """A response with status 200 whose body is to be read."""
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"} if body else {}
        try:
            response = await self.client.send(method, path, body, headers=headers)
        except HttpError as error:
            raise wire.failure(error.kind) from error
        if response.status != 200:  # noqa: PLR2004  the one status that carries an answer
            refusal = wire.status_failure(response.status, response.headers.get("retry-after"))
        elif response.headers.get("content-encoding", "identity") != "identity":
            refusal = wire.failure("bad_response", status=response.status)
        else:
            return response
        response.leave(at_once=True)
        raise refusal

    async def _begin(self, response: Response, take: Take) -> StreamedAnswer:
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/json":
            chunk = wire.whole_answer(await _whole_body(response))
            return StreamedAnswer.of_whole(response, take, chunk)
        if media_type != "text/event-stream":
            raise wire.failure("bad_response", status=response.status)
        answer = StreamedAnswer(response, take, timeout=self._timeout, max_event_bytes=self._max_event_bytes)
        response.read(answer)
        await answer.begun
        return answer


def _pause(number: int) -> float:
    """Doubles with each retry, between half of it and all of it, so that callers do not come back together."""
    longest = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**number)
    return uniform(longest / 2, longest)  # noqa: S311  no secret


async def _leaving_on_error(response: Response, reading: Awaitable[T]) -> T:
    try:
        return await reading
    except BaseException:
        response.leave(at_once=True)
        raise


async def _whole_body(response: Response) -> bytes:
    body = _Body()
    response.read(body)
    return await body.read


class _Body:
    """Collects a body that is not a stream, up to `MAX_BODY_BYTES`."""

    def __init__(self) -> None:
        self.read: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pieces = bytearray()

    def feed(self, data: bytes) -> None:
        self._pieces += data
        if len(self._pieces) > MAX_BODY_BYTES:
            self.end(HttpError("bad_response"))
            self._pieces.clear()

    def end(self, error: HttpError | None) -> None:
        if self.read.done():
            return
        if error is None:
            self.read.set_result(bytes(self._pieces))
        else:
            self.read.set_exception(wire.failure(error.kind))
