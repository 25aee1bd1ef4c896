"""The one back end that tools over HTTP call: its address, its connections, and what may pass to it and back."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.message import Message
from urllib.parse import urlsplit

from yarl import URL

from frontdesk.adapters.http_client import HttpClient, HttpError, Response
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import CallContext, ToolCallError

CONNECT_SECONDS = 5.0
CONNECTIONS = 100
PIECE_BYTES = 65_536
# Below the 5 s after which uvicorn closes an idle connection: none is used in the moment in which it is closed.
KEEP_ALIVE_SECONDS = 4.0
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS = _HOP_BY_HOP | {"host", "content-length", "content-type", "expect", "x-agent-session-id", "idempotency-key"}
_NOT_HANDED_BACK = _HOP_BY_HOP | {"set-cookie", "set-cookie2"}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*")


class BackEnd:
    """Everything goes to `base_url` (None: every request is refused): no redirect, no proxy, no cookie of its own.

    Must be used within one event loop.
    """

    def __init__(self, base_url: str | None) -> None:
        """Raises `ConfigurationError` for an address that is none."""
        self._client = None
        if base_url is not None:
            self._client = HttpClient(
                _checked_base(base_url),
                headers={},
                connect_timeout=CONNECT_SECONDS,
                idle_timeout=KEEP_ALIVE_SECONDS,
            )
        self._places = asyncio.Semaphore(CONNECTIONS)

    @property
    def configured(self) -> bool:
        return self._client is not None

    @asynccontextmanager
    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, patience: float
    ) -> AsyncIterator["BackEndResponse"]:
        """A response whose head is there within `patience` (seconds), and then no silence is longer than that.

        Raises `ToolCallError`.
        """
        if self._client is None:
            raise ToolCallError("backend_not_configured", "API_BASE_URL is not set", was_made=False)
        async with self._places:
            try:
                async with asyncio.timeout(patience):
                    response = await self._client.send(method, target, body, headers=headers)
            except TimeoutError as error:
                raise _silent() from error
            except HttpError as error:
                raise _told(error) from error
            try:
                yield BackEndResponse(response, patience=patience)
            finally:
                response.leave(at_once=True)

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()


class BackEndResponse:
    """An answer as it comes: `Forwarded`, as tools' callers know it."""

    def __init__(self, response: Response, *, patience: float) -> None:
        self.status = response.status
        self._response = response
        self._patience = patience
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._is_read = False
        self._ended: tuple[HttpError | None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    @property
    def content_type(self) -> tuple[str, str | None]:
        """The media type in lower case and the encoding that it names."""
        read = Message()
        read["content-type"] = self.header("content-type", "text/plain")
        return read.get_content_type(), read.get_content_charset()

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        named_by_connection = {part.strip().lower() for part in self.header("connection", "").split(",")}
        kept_back = _NOT_HANDED_BACK | named_by_connection
        return [field for field in self._response.fields if field[0] not in kept_back]

    def header(self, name: str, default: str) -> str:
        """By its lower-case name; of several the last."""
        return self._response.headers.get(name, default)

    def body(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._is_read:
            self._is_read = True
            self._response.read(self)
        while not self._held:
            if self._ended is not None:
                (error,) = self._ended
                if error is None:
                    raise StopAsyncIteration
                raise _told(error) from error
            await self._more()
        piece = self._held.popleft()
        self._held_bytes -= len(piece)
        if self._held_bytes < PIECE_BYTES:
            self._response.go_on()
        return piece

    def feed(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes >= PIECE_BYTES:
            self._response.hold()
        self._wake()

    def end(self, error: HttpError | None) -> None:
        self._ended = (error,)
        self._wake()

    async def _more(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        patience = loop.call_later(self._patience, self._lose_patience, self._waiting)
        try:
            await self._waiting
        finally:
            patience.cancel()
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _lose_patience(self, waiting: "asyncio.Future[None]") -> None:
        if not waiting.done():
            waiting.set_exception(_silent())


def request_headers(context: CallContext, *, accept: str, has_body: bool) -> dict[str, str]:
    """What goes out: the context's headers and ours. Raises `ToolCallError` for one that could be two."""
    headers = {name.lower(): value for name, value in context.headers.items() if name.lower() not in _OURS}
    headers.setdefault("accept", accept)
    headers["idempotency-key"] = context.idempotency_key
    if context.session_id is not None:
        headers["x-agent-session-id"] = context.session_id
    if has_body:
        headers["content-type"] = "application/json"
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ToolCallError("invalid_arguments", f"The header {name[:50]!r} is not a valid one", was_made=False)
    return headers


def _silent() -> ToolCallError:
    return ToolCallError("backend_timeout", "The back end took too long", was_made=True)


def _told(error: HttpError) -> ToolCallError:
    if error.kind == "connect":
        return ToolCallError("backend_unreachable", "The back end cannot be reached", was_made=False)
    if error.kind == "reset":
        return ToolCallError("backend_unreachable", "The back end broke the connection off", was_made=True)
    return ToolCallError("backend_bad_response", "The back end's answer is not HTTP", was_made=True)


def _checked_base(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\\]", base_url):
        raise ConfigurationError("API_BASE_URL is not an address such as https://api.example.com")
    return str(URL(base_url)).rstrip("/")
