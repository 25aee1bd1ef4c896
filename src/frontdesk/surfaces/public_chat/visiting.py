"""Who may ask from where: the interface that a path names, and whether a page of the request's origin may use it.

An origin that may not is refused before anything is done, not only hidden from its page. What a page of ours sends
comes from our own origin, and what is no browser sends none.
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Path
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from frontdesk.errors import OriginNotAllowedError
from frontdesk.http.event_stream import EventStream
from frontdesk.http.plain_failures import PlainFailureRoute
from frontdesk.http.routing import Declaration, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.public_chat.interfaces.origins import is_allowed, own_origin
from frontdesk.public_chat.interfaces.published import Published

PREFIX = "/public/chat-interfaces/"
_CROSS_ORIGIN = "frontdesk.cross_origin"
_ANY = {"Access-Control-Allow-Origin": "*"}
_READABLE = {
    "Access-Control-Expose-Headers": "Retry-After, RateLimit, RateLimit-Policy, Idempotent-Replayed, X-Request-Id"
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Content-Type, X-Session-Token, Last-Event-ID, Idempotency-Key",
    "Access-Control-Max-Age": "600",
}


async def _admit_visitor(request: HTTPConnection) -> Published:
    """Raises `NotFoundError`, `OriginNotAllowedError`."""
    published = await services(request).public_chat.published.get(request.path_params["slug"])
    allowed = published.interface.allowed_origins
    origin = request.headers.get("origin")
    if allowed:
        request.scope[_CROSS_ORIGIN] = {"Vary": "Origin"}
    if origin is None or own_origin(origin, _own_host(request)):
        return published
    if not is_allowed(origin, allowed):
        raise OriginNotAllowedError
    if allowed:
        request.scope[_CROSS_ORIGIN] = {"Vary": "Origin", "Access-Control-Allow-Origin": origin}
    return published


def _own_host(request: HTTPConnection) -> str:
    """As it is configured; where it is not, what the browser has connected to."""
    configured = services(request).settings.gateway_url
    return urlsplit(configured).netloc if configured else request.headers.get("host", "")


VISITOR = Declaration("visitor", _admit_visitor)
Visited = Annotated[Published, Depends(VISITOR)]


def cross_origin(request: Request) -> dict[str, str]:
    """The fields by which a browser shows the answer to the page (Fetch, 3.2). Never for requests with credentials."""
    return {**request.scope.get(_CROSS_ORIGIN, _ANY), **_READABLE}


async def _slug(slug: Annotated[str, Path()]) -> None:
    """It has named the interface before."""


def visitor_router() -> DeclaredRouter:
    """For routes below an interface's slug, which visitors ask."""
    return DeclaredRouter(
        f"{PREFIX}{{slug}}",
        tag="public chats",
        route_class=VisitorRoute,
        dependencies=[Depends(_slug)],
    )


class VisitorRoute(PlainFailureRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            response = await handle(request)
            if not isinstance(response, EventStream):  # which is given them when it is made
                response.headers.update(cross_origin(request))
            return response

        return answered
