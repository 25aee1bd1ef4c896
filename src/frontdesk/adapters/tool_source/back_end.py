"""The one back end that tools over HTTP call: its address, its connections, and what may pass to it and back."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    ServerTimeoutError,
    TCPConnector,
)
from yarl import URL

from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import CallContext, ToolCallError

CONNECT_SECONDS = 5.0
CONNECTIONS = 100
PIECE_BYTES = 65_536
MAX_HEAD_BYTES = 32_768
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
        self._base = None if base_url is None else _checked_base(base_url)
        self._session: ClientSession | None = None

    @property
    def configured(self) -> bool:
        return self._base is not None

    @asynccontextmanager
    async def send(
        self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None, patience: float
    ) -> AsyncIterator[ClientResponse]:
        """A response whose head is there within `patience` (seconds), and then no silence is longer than that.

        Raises `ToolCallError`.
        """
        if self._base is None:
            raise ToolCallError("backend_not_configured", "API_BASE_URL is not set", was_made=False)
        url = URL(self._base + target, encoded=True)
        timeout = ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=patience)
        with _told_as_call_errors():
            async with asyncio.timeout(patience):
                response = await self._open_session().request(
                    method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
                )
        try:
            yield response
        finally:
            response.close()

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open_session(self) -> ClientSession:
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                read_bufsize=PIECE_BYTES,
                max_line_size=MAX_HEAD_BYTES,
                max_field_size=MAX_HEAD_BYTES,
                middlewares=(_send_once,),
            )
        return self._session


class _BrokenOffError(ClientError):
    """The connection ended after the request was sent, or while it was."""


async def _send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Keeps aiohttp from repeating a GET, PUT or DELETE by itself, which it does on the errors that are named here."""
    try:
        return await handler(request)
    except (ClientConnectorError, ServerTimeoutError):
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise _BrokenOffError from error


async def read_pieces(response: ClientResponse) -> AsyncGenerator[bytes]:
    """The body as it comes, no more of it than is taken. Raises `ToolCallError`."""
    with _told_as_call_errors():
        async for piece in response.content.iter_any():
            yield piece


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


def handed_back_headers(response: ClientResponse) -> Sequence[tuple[str, str]]:
    named_by_connection = {part.strip().lower() for part in response.headers.get("Connection", "").split(",")}
    kept_back = _NOT_HANDED_BACK | named_by_connection
    return [(name.lower(), value) for name, value in response.headers.items() if name.lower() not in kept_back]


@contextmanager
def _told_as_call_errors() -> Iterator[None]:
    try:
        yield
    except (ClientConnectorError, ConnectionTimeoutError) as error:
        raise ToolCallError("backend_unreachable", "The back end cannot be reached", was_made=False) from error
    except TimeoutError as error:
        raise ToolCallError("backend_timeout", "The back end took too long", was_made=True) from error
    except (ClientConnectionError, ClientPayloadError, _BrokenOffError) as error:
        raise ToolCallError("backend_unreachable", "The back end broke the connection off", was_made=True) from error
    except ClientError as error:
        raise ToolCallError("backend_bad_response", "The back end's answer is not HTTP", was_made=True) from error


def _checked_base(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f\\]", base_url):
        raise ConfigurationError("API_BASE_URL is not an address such as https://api.example.com")
    return str(URL(base_url)).rstrip("/")
