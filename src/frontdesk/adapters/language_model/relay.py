"""The provider's API passed through over the same connections as the language model's own calls."""

import asyncio
from collections.abc import Mapping

from frontdesk.adapters.http_client import HttpClient, HttpError, Response
from frontdesk.adapters.language_model import openai_wire as wire
from frontdesk.ports.model_relay import AnswerReader


class HttpModelRelay:
    """`timeout` is the longest silence of the provider in seconds, before its first byte and between two."""

    def __init__(self, client: HttpClient, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    async def send(self, method: str, path: str, body: bytes | None, *, headers: Mapping[str, str]) -> "HttpAnswer":
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.send(method, path, body, headers=headers)
        except TimeoutError as error:
            raise wire.failure("timeout_first_byte") from error
        except HttpError as error:
            raise wire.failure(error.kind) from error
        if response.headers.get("content-encoding", "identity") != "identity":
            response.leave(at_once=True)
            raise wire.failure("bad_response", status=response.status)
        return HttpAnswer(response, timeout=self._timeout)


class HttpAnswer:
    def __init__(self, response: Response, *, timeout: float) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._reader: AnswerReader | None = None
        self._is_whole = False
        self._is_held = False

    def read(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._timer = self._loop.call_later(self._timeout, self._check_silence)
        self._response.read(self)

    def hold(self) -> None:
        self._is_held = True
        self._response.hold()

    def go_on(self) -> None:
        if self._is_held:
            self._is_held = False
            self._heard = self._loop.time()
            self._response.go_on()

    def leave(self) -> None:
        self._reader = None
        self._stop_timer()
        self._response.leave(at_once=not self._is_whole)

    def feed(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._reader is not None:
            self._reader.feed(data)

    def end(self, error: HttpError | None) -> None:
        self._is_whole = error is None
        self._finish(None if error is None else error.kind)

    def _finish(self, kind: str | None) -> None:
        reader, self._reader = self._reader, None
        self._stop_timer()
        if reader is not None:
            reader.end(None if kind is None else wire.failure(kind))

    def _check_silence(self) -> None:
        silence = 0.0 if self._is_held else self._loop.time() - self._heard
        if silence < self._timeout:
            self._timer = self._loop.call_later(self._timeout - silence, self._check_silence)
        else:
            self._finish("timeout_between_bytes")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
