"""HTTP/1.1 for the scripted provider: one protocol object for each connection, keep-alive, no framework."""

from asyncio import AbstractEventLoop, BaseTransport, Protocol, Transport
from collections.abc import Callable
from http import HTTPStatus
from time import time
from typing import Any, cast
from urllib.parse import parse_qs
from uuid import uuid4

import httptools
import msgspec

from frontdesk.model_stub import embeddings, frames
from frontdesk.model_stub.calls import Call, Calls
from frontdesk.model_stub.playback import Playback
from frontdesk.model_stub.script import NAME, Script, ScriptError, UnknownModelError, parse
from frontdesk.model_stub.wheel import Wheel

MAX_BODY_BYTES = 33_554_432
JSON = b"application/json"
MODELS = (NAME, f"{NAME}?tokens=200&pause_ms=20", f"{NAME}?echo=1")


class Provider:
    """What all connections share."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.loop = loop
        self.wheel = Wheel(loop)
        self.calls = Calls()
        self.connections: set[Connection] = set()

    def connection(self) -> "Connection":
        return Connection(self)


class Connection(Protocol):
    """Answers one request at a time; a second one sent before the answer has ended closes the connection."""

    transport: Transport

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._parser = httptools.HttpRequestParser(self)
        self._playback: Playback | None = None
        self._waiting: Call | None = None
        self._busy = False
        self.congested = False

    def connection_made(self, transport: BaseTransport) -> None:
        self.transport = cast("Transport", transport)
        self._provider.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        self._provider.connections.discard(self)
        if self._playback is not None:
            self._playback.abandon()
        if self._waiting is not None:
            self._provider.calls.end(self._waiting, "closed_by_client")
            self._waiting = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.transport.close()

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self._playback is not None:
            self._playback.resume()

    def on_message_begin(self) -> None:
        if self._busy:
            self.transport.close()
        self._url = b""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY_BYTES:
            self.transport.close()
        else:
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self.transport.is_closing():
            return
        self._busy = True
        path, _, query = self._url.decode("latin-1").partition("?")
        route = ROUTES.get((self._parser.get_method().decode(), path))
        if route is None:
            self._refuse(404, f"There is no {path} here")
        else:
            route(self, query)

    def go_on(self, key: str) -> None:
        if self._playback is not None:
            self._playback.go_on(key)

    def finished(self) -> None:
        self._busy = False
        self._playback = None
        if not self._parser.should_keep_alive():
            self.transport.close()

    def chat(self, _query: str) -> None:
        self._take(self._play, self._chat_request)

    def embeddings(self, _query: str) -> None:
        self._take(self._embed, self._request)

    def _take(
        self, answer: Callable[[dict[str, Any], Script, bytes], None], read: Callable[[bytes], dict[str, Any]]
    ) -> None:
        body = b"".join(self._body)
        try:
            request = read(body)
            script = parse(request["model"])
        except UnknownModelError as error:
            self._refuse(404, str(error), code="model_not_found")
        except ValueError as error:
            self._refuse(400, str(error))
        else:
            answer(request, script, body)

    @staticmethod
    def _request(body: bytes) -> dict[str, Any]:
        request = msgspec.json.decode(body)
        if not isinstance(request, dict) or not isinstance(request.get("model"), str):
            raise ScriptError("The body must be an object with a text as `model`")
        return request

    @classmethod
    def _chat_request(cls, body: bytes) -> dict[str, Any]:
        request = cls._request(body)
        messages = request.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise ScriptError("`messages` must be a list of objects")
        return request

    def _play(self, request: dict[str, Any], script: Script, body: bytes) -> None:
        calls = self._provider.calls
        call, script = self._started(request, script, body)
        answer = frames.Answer(script, call_id=f"chatcmpl-{uuid4().hex[:29]}", created=int(time()), request=request)
        if script.status != HTTPStatus.OK or script.html:
            self._later(call, script.first_ms, lambda: self._fail(call, script))
        elif script.plain or not request.get("stream"):
            wait = script.first_ms + script.pause_ms * len(answer.texts)
            self._later(call, wait, lambda: self._whole(call, script, answer))
        else:
            self._playback = Playback(self, script, answer, call=call, calls=calls)
            self._playback.begin(self._provider.loop, self._provider.wheel)

    def _embed(self, request: dict[str, Any], script: Script, body: bytes) -> None:
        whole = embeddings.answer(request)
        call, script = self._started(request, script, body)

        def respond() -> None:
            if script.status != HTTPStatus.OK or script.html:
                self._fail(call, script)
            else:
                self._provider.calls.end(call, "completed")
                self._respond(200, whole, headers=_beside(script))

        self._later(call, script.first_ms, respond)

    def _started(self, request: dict[str, Any], script: Script, body: bytes) -> tuple[Call, Script]:
        call, faulty = self._provider.calls.start(script, request["model"], body=body, headers=self._headers)
        return call, script if faulty else script.without_faults()

    def _later(self, call: Call, wait_ms: float, respond: Callable[[], None]) -> None:
        self._waiting = call

        def due() -> None:
            if self._waiting is call:
                self._waiting = None
                respond()

        self._provider.wheel.at(self._provider.loop.time() + wait_ms / 1000, due)

    def _fail(self, call: Call, script: Script) -> None:
        self._provider.calls.end(call, "failed")
        headers = [*_beside(script), *([f"Retry-After: {script.retry_after}"] if script.retry_after else [])]
        if HTTPStatus.MULTIPLE_CHOICES <= script.status < HTTPStatus.BAD_REQUEST:
            headers.append("Location: /v1/models")
        if script.html:
            self._respond(script.status, frames.HTML, content_type=b"text/html; charset=utf-8", headers=headers)
            return
        body = frames.error_body(f"Told to answer {script.status}; the key was {frames.SECRET}")
        self._respond(script.status, body, headers=headers)

    def _whole(self, call: Call, script: Script, answer: frames.Answer) -> None:
        call.tokens_sent = len(answer.texts)
        self._provider.calls.end(call, "completed")
        self._respond(200, answer.whole(), headers=_beside(script))

    def models(self, _query: str) -> None:
        listed = [{"id": name, "object": "model", "created": 1767225600, "owned_by": "frontdesk"} for name in MODELS]
        self._reply({"object": "list", "data": listed})

    def list_calls(self, query: str) -> None:
        self._reply(self._provider.calls.listed(parse_qs(query).get("key", [None])[0]))

    def count_open(self, _query: str) -> None:
        self._reply({"open": self._provider.calls.open})

    def resume(self, query: str) -> None:
        for connection in self._provider.connections:
            connection.go_on(parse_qs(query).get("key", [""])[0])
        self._reply({"open": self._provider.calls.open})

    def reset(self, _query: str) -> None:
        self._reply(self._provider.calls.reset())

    def _refuse(self, status: int, message: str, *, code: str | None = None) -> None:
        self._respond(status, frames.error_body(message, kind="invalid_request_error", code=code))

    def _reply(self, value: Any) -> None:
        self._respond(200, msgspec.json.encode(value))

    def _respond(
        self, status: int, body: bytes, *, content_type: bytes = JSON, headers: list[str] | None = None
    ) -> None:
        extra = "".join(f"{line}\r\n" for line in headers or ()).encode()
        head = b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n" % (status, b"Scripted", content_type)
        self.transport.write(b"%b%bContent-Length: %d\r\n\r\n%b" % (head, extra, len(body), body))
        self.finished()


def _beside(script: Script) -> list[str]:
    return list(frames.HEADERS) if script.headers else []


ROUTES: dict[tuple[str, str], Callable[[Connection, str], None]] = {
    ("POST", "/v1/chat/completions"): Connection.chat,
    ("POST", "/v1/embeddings"): Connection.embeddings,
    ("GET", "/v1/models"): Connection.models,
    ("GET", "/stub/calls"): Connection.list_calls,
    ("GET", "/stub/open"): Connection.count_open,
    ("POST", "/stub/resume"): Connection.resume,
    ("POST", "/stub/reset"): Connection.reset,
}
