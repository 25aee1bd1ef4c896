"""Opening a WebSocket: where it may come from, who opens it, and how one that may not be opened is told so.

A browser shows a page nothing of a handshake that was refused, so who is not let in is told by a close code; but a page
that may not connect at all gets no socket.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from frontdesk.errors import BadTokenError, FrontdeskError, OriginRefusedError, UnauthenticatedError, UnavailableError
from frontdesk.http.addresses import client_address, parse_networks
from frontdesk.http.admission import PLACE, Place
from frontdesk.http.problems import render
from frontdesk.http.routing import DeclaredSocketRoute, bearer_token
from frontdesk.http.services import services
from frontdesk.http.socket_server import SOCKET_WIRE, SocketWire
from frontdesk.identity.holders import Holder
from frontdesk.kit.time_limit import time_limit

UNAUTHENTICATED = 4401
NOT_ALLOWED = 4403
TRY_AGAIN = 1013
_BEARER = "bearer"


@dataclass(frozen=True)
class Opening:
    """A socket that may be opened: by whom, from where, and with which subprotocol."""

    connection: HTTPConnection
    wire: SocketWire
    holder: Holder
    address: str


Serve = Callable[[Opening], Awaitable[None]]


def held_socket(path: str, serve: Serve) -> DeclaredSocketRoute:
    """A socket for whoever has a user's credential, or, where that is permitted, for visitors."""
    return DeclaredSocketRoute(path, _HeldSocket(serve))


class _HeldSocket:
    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        connection = HTTPConnection(scope)
        try:
            opened = await self._opened(connection, send)
        except OriginRefusedError as error:
            await _refuse(error, scope, send)
            return
        finally:
            place: Place | None = scope.get(PLACE)
            if place is not None:
                place.leave()
        if opened is not None:
            await self._serve(opened)

    async def _opened(self, connection: HTTPConnection, send: Send) -> Opening | None:
        held, wire = services(connection), connection.scope[SOCKET_WIRE]
        has_credential = _check_origin(connection)
        try:
            with time_limit(held.settings.database_timeout_seconds):
                holder = await _holder(connection) if has_credential else _visitor(connection)
        except UnauthenticatedError as error:
            await _accept(connection, send)
            wire.close(UNAUTHENTICATED, error.detail)
            return None
        except UnavailableError as error:
            await _accept(connection, send)
            wire.close(TRY_AGAIN, error.detail)
            return None
        await _accept(connection, send)
        address = client_address(connection, parse_networks(held.settings.trusted_proxies))
        return Opening(connection, wire, holder, address)


async def _accept(connection: HTTPConnection, send: Send) -> None:
    chosen: dict[str, Any] = {"subprotocol": _BEARER} if connection.scope["subprotocols"][:1] == [_BEARER] else {}
    await send({"type": "websocket.accept", **chosen})


async def _refuse(error: FrontdeskError, scope: Scope, send: Send) -> None:
    response = render(error, scope.get("request_id"), path=scope["path"])
    head = {"type": "websocket.http.response.start", "status": error.status, "headers": response.raw_headers}
    await send(head)
    await send({"type": "websocket.http.response.body", "body": bytes(response.body)})


def _check_origin(connection: HTTPConnection) -> bool:
    """Whether the opener brings a credential. Raises `OriginRefusedError` for a page that may not connect.

    Who brings none is only as safe as the page: a name that leads to this machine for a moment is a stranger's all the
    same, so the page must be one of this machine, or be named.
    """
    has_credential = (
        "authorization" in connection.headers
        or bool(connection.scope["subprotocols"])
        or "ticket" in connection.query_params
    )
    origin = connection.headers.get("origin")
    settings = services(connection).settings
    if origin is None or origin in settings.allowed_origins:
        return has_credential
    page = urlsplit(origin)
    is_own = bool(page.netloc) and page.netloc == connection.headers.get("host")
    if _is_here(page.hostname) and is_from_here(connection):
        return has_credential
    if is_own and (has_credential or settings.gateway_allow_anonymous == "true"):
        return has_credential
    raise OriginRefusedError


async def _holder(connection: HTTPConnection) -> Holder:
    """Raises `UnauthenticatedError`, also for two credentials at once."""
    held, given = services(connection), connection.scope["subprotocols"]
    tickets = connection.query_params.getlist("ticket")
    token = bearer_token(connection)
    if len(tickets) + bool(given) + (token is not None) != 1:
        raise BadTokenError("Bring one credential")
    if tickets:
        return await held.tickets.redeem(tickets[0])
    if given:
        if len(given) != 2 or given[0] != _BEARER:  # noqa: PLR2004  the word and the token
            raise BadTokenError("The subprotocols are: bearer, and a token")
        token = given[1]
    return (await held.tokens.holder(token or "")).outlasting()


def _visitor(connection: HTTPConnection) -> Holder:
    """Somebody without an account: with no ticket of their own, all programs of this machine are one visitor, and
    anybody else is another each time.
    """
    held = services(connection)
    require_anonymous(connection)
    if is_from_here(connection):
        return held.tickets.this_machine()
    return held.tickets.visitor(held.tickets.new_visitor_key())


def require_anonymous(connection: HTTPConnection) -> None:
    """Raises `UnauthenticatedError` where nobody may come without an account."""
    permitted = services(connection).settings.gateway_allow_anonymous
    if permitted != "true" and not (permitted == "loopback" and is_from_here(connection)):
        raise UnauthenticatedError


def is_from_here(connection: HTTPConnection) -> bool:
    """Whether it comes straight from this machine, over its loopback."""
    if "x-forwarded-for" in connection.headers or "forwarded" in connection.headers:
        return False
    ends = (connection.scope.get("client"), connection.scope.get("server"))
    return all(end is not None and _is_here(end[0]) for end in ends)


def _is_here(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
