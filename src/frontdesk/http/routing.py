"""Routes that declare who may ask: anybody, users, or the gateway's own parts. One that does not cannot be constructed,
so the program does not start.

Authentication comes before the body is read, and the body is read under a bound and decoded once, before FastAPI sees
it, unless the route takes it as a stream (`http.uploads`). Until its response begins, a request has one time limit for
all that it waits for.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, params
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute

from frontdesk.errors import BadInternalKeyError, BadTokenError, ConfigurationError, UnauthenticatedError
from frontdesk.http.admission import PLACE, waiting_elsewhere
from frontdesk.http.bodies import decode_json, read_body
from frontdesk.http.revocations import HOLDER
from frontdesk.http.services import operations, services
from frontdesk.http.uploads import takes_stream
from frontdesk.identity.holders import Holder
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.time_limit import not_counted, time_limit

_PRINCIPAL = "frontdesk.principal"
_ARRIVED_AT = "frontdesk.arrived_at"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
INTERNAL_HEADER = "X-Internal-Auth"
_INTERNAL = Principal(kind=PrincipalKind.service, id="internal")


def bearer_token(connection: HTTPConnection) -> str | None:
    """The bearer token (RFC 6750), or None when the header is absent. Raises `BadTokenError` for any other content."""
    values = connection.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token:
        raise BadTokenError("The Authorization header holds no single bearer token")
    return token


class Declaration(SecurityBase):
    """How a route authenticates. As a dependency it hands on what `admit` found before the body was read; of a socket
    it asks when the socket is about to be opened.
    """

    def __init__(
        self,
        name: str,
        admit: Callable[[HTTPConnection], Awaitable[Any]],
        *,
        model: SecurityModel | None = None,
    ) -> None:
        self.model = model or HTTPBearer(bearerFormat="JWT")
        self.scheme_name = name
        self.admit = admit

    async def __call__(self, connection: HTTPConnection) -> Any:
        if connection.scope["type"] == "websocket":
            return await self.admit(connection)
        return connection.scope[_PRINCIPAL]


def hold(connection: HTTPConnection, holder: Holder) -> Principal:
    """Who is admitted; a response that goes on ends when that is revoked."""
    connection.scope[HOLDER] = holder
    return holder.principal


async def _admit_anyone(_connection: HTTPConnection) -> None:
    return None


async def _admit_known_or_nobody(connection: HTTPConnection) -> Principal | None:
    token = bearer_token(connection)
    return None if token is None else hold(connection, await services(connection).tokens.holder(token))


async def _admit_known_or_visitor(connection: HTTPConnection) -> Principal | None:
    principal = await _admit_known_or_nobody(connection)
    if principal is None and services(connection).settings.sessions_allow_anonymous != "true":
        raise UnauthenticatedError
    return principal


async def _admit_user(connection: HTTPConnection) -> Principal:
    principal = await _admit_known_or_nobody(connection)
    if principal is None:
        raise UnauthenticatedError
    return principal


async def _admit_operator(connection: HTTPConnection) -> None:
    """Who watches the program: with the metrics token, or, while none is set, straight from this machine."""
    expected = operations(connection).settings.metrics_token
    forwarded = "x-forwarded-for" in connection.headers or "forwarded" in connection.headers
    if expected is None:
        if connection.client is None or connection.client.host not in _LOOPBACK or forwarded:
            raise UnauthenticatedError("Set CHAT_METRICS_TOKEN to read this from another machine")
    elif not compare_digest((bearer_token(connection) or "").encode(), expected.get_secret_value().encode()):
        raise UnauthenticatedError


async def _admit_internal(connection: HTTPConnection) -> Principal:
    given = connection.headers.getlist(INTERNAL_HEADER)
    if not given:
        raise UnauthenticatedError(f"This is for the gateway's own parts: {INTERNAL_HEADER} is missing")
    if len(given) > 1 or not is_internal_key(connection, given[0]):
        raise BadInternalKeyError
    return _INTERNAL


async def _admit_internal_or_user(connection: HTTPConnection) -> Principal:
    """Whoever gives an internal key is judged by it alone. The key may also stand where clients put theirs: as the
    bearer token.
    """
    if INTERNAL_HEADER in connection.headers:
        return await _admit_internal(connection)
    token = bearer_token(connection)
    if token is None:
        raise UnauthenticatedError
    if is_internal_key(connection, token):
        return _INTERNAL
    return hold(connection, await services(connection).tokens.holder(token))


def is_internal_key(connection: HTTPConnection, given: str) -> bool:
    """In a time that does not depend on how much of it is right."""
    expected = operations(connection).settings.internal_api_key.get_secret_value()
    return compare_digest(given.encode("latin-1", "replace"), expected.encode())


USER = Declaration("user", _admit_user)
USER_OR_NOBODY = Declaration("user or nobody", _admit_known_or_nobody)
USER_OR_VISITOR = Declaration("user or visitor", _admit_known_or_visitor)
PUBLIC = Declaration("public", _admit_anyone)
OPERATOR = Declaration("operator", _admit_operator)
INTERNAL = Declaration("internal", _admit_internal, model=APIKey(**{"in": APIKeyIn.header, "name": INTERNAL_HEADER}))
INTERNAL_OR_USER = Declaration("internal or user", _admit_internal_or_user)

Caller = Annotated[Principal, Depends(USER)]
PossibleCaller = Annotated[Principal | None, Depends(USER_OR_NOBODY)]
PossibleVisitor = Annotated[Principal | None, Depends(USER_OR_VISITOR)]
public = Depends(PUBLIC)
operator = Depends(OPERATOR)
internal = Depends(INTERNAL)
InternalOrUser = Annotated[Principal, Depends(INTERNAL_OR_USER)]


def _declarations(dependant: Dependant) -> Iterator[Declaration]:
    for inner in dependant.dependencies:
        if isinstance(inner.call, Declaration):
            yield inner.call
        yield from _declarations(inner)


class DeclaredRoute(APIRoute):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        declared = set(_declarations(self.dependant))
        if len(declared) != 1:
            raise ConfigurationError(f"{self.path} must declare one way to authenticate, and declares {len(declared)}")
        self.declaration = declared.pop()
        self.reads_body = not takes_stream(self.dependant)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            held = operations(request)
            waited = request.scope[PLACE].waited if PLACE in request.scope else 0.0
            request.scope[_ARRIVED_AT] = held.clock.now() - timedelta(seconds=waited)
            with time_limit(held.settings.database_timeout_seconds - waited):
                request.scope[_PRINCIPAL] = await self.declaration.admit(request)
                if request.method in _WITH_BODY and self.reads_body:
                    await _take_body(request, has_json=self.body_field is not None)
                return await handle(request)

        return admitted


class DeclaredSocketRoute(WebSocketRoute):
    """A socket's, which authenticates for itself before anything is read: `http.sockets.held_socket` makes them."""


async def _take_body(request: Request, *, has_json: bool) -> None:
    settings = services(request).settings
    with not_counted(), waiting_elsewhere(request):
        body = await read_body(request, settings.max_body_bytes, seconds=settings.body_timeout_seconds)
    request._body = body  # noqa: SLF001  Starlette's own cache: FastAPI reads the body and its JSON from there
    if body and has_json and _is_json(request):
        request._json = decode_json(body)  # noqa: SLF001


def _is_json(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def arrived_at(request: Request) -> datetime:
    """When the request came: before its authentication, and before its body was read."""
    moment: datetime = request.scope[_ARRIVED_AT]
    return moment


def require_declared(http: FastAPI) -> None:
    """Raises `ConfigurationError` for whatever can be reached and does not say who may: a plain route, a socket, a
    mounted application.
    """
    for context in iter_route_contexts(http.routes):
        if context.path != http.openapi_url and not _is_declared(context.original_route):
            raise ConfigurationError(f"{context.path} must declare one way to authenticate")


def _is_declared(route: BaseRoute) -> bool:
    is_socket = isinstance(route, APIWebSocketRoute) and len(set(_declarations(route.dependant))) == 1
    return is_socket or isinstance(route, DeclaredRoute | DeclaredSocketRoute)


class DeclaredRouter(APIRouter):
    """The routes of a part of a surface. They are made when it is known below which `prefix` they stand, and once in a
    process for each.

    The framework would make each of them twice, for its router and for the application, and look for them in one router
    after the other with every request.
    """

    def __init__(
        self,
        prefix: str,
        *,
        tag: str,
        route_class: type[DeclaredRoute] = DeclaredRoute,
        dependencies: Sequence[params.Depends] = (),
        is_described: bool = True,
    ) -> None:
        super().__init__(
            prefix=prefix,
            tags=[tag],
            route_class=route_class,
            dependencies=dependencies,
            include_in_schema=is_described,
        )
        self._declared: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []
        self._made: dict[str, Sequence[BaseRoute]] = {}

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._declared.append((path, endpoint, options))

    def made(self, prefix: str = "") -> Sequence[BaseRoute]:
        """Raises `ConfigurationError` for one that does not declare its authentication."""
        if prefix not in self._made:
            router = APIRouter(
                prefix=prefix + self.prefix,
                tags=self.tags,
                route_class=self.route_class,
                dependencies=self.dependencies,
                include_in_schema=self.include_in_schema,
            )
            for path, endpoint, options in self._declared:
                router.add_api_route(path, endpoint, **options)
            self._made[prefix] = router.routes
        return self._made[prefix]


def include(http: FastAPI, router: DeclaredRouter, *, prefix: str = "") -> None:
    """Raises `ConfigurationError` for a route that does not declare its authentication."""
    http.router.routes.extend(router.made(prefix))
