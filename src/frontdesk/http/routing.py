"""Routes that declare their authentication. One that does not cannot be constructed, so the program does not start.

Authentication comes before the body is read, and the body is read under a bound and decoded once, before FastAPI sees
it, unless the route takes it as a stream (`http.uploads`). Until its response begins, a request has one time limit for
all that it waits for.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from starlette.requests import Request
from starlette.responses import Response

from frontdesk.errors import BadTokenError, ConfigurationError, UnauthenticatedError
from frontdesk.http.admission import PLACE, waiting_elsewhere
from frontdesk.http.bodies import decode_json, read_body
from frontdesk.http.services import operations, services
from frontdesk.http.uploads import takes_stream
from frontdesk.identity.principal import Principal
from frontdesk.kit.time_limit import not_counted, time_limit

_PRINCIPAL = "frontdesk.principal"
_ARRIVED_AT = "frontdesk.arrived_at"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


def bearer_token(request: Request) -> str | None:
    """The bearer token (RFC 6750), or None when the header is absent. Raises `BadTokenError` for any other content."""
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token:
        raise BadTokenError("The Authorization header holds no single bearer token")
    return token


class Declaration(SecurityBase):
    """How a route authenticates. As a dependency it hands on what `admit` found before the body was read."""

    def __init__(self, name: str, admit: Callable[[Request], Awaitable[Principal | None]]) -> None:
        self.model = HTTPBearerModel(bearerFormat="JWT")
        self.scheme_name = name
        self.admit = admit

    async def __call__(self, request: Request) -> Any:
        return request.scope[_PRINCIPAL]


async def _admit_anyone(_request: Request) -> None:
    return None


async def _admit_known_or_nobody(request: Request) -> Principal | None:
    token = bearer_token(request)
    return None if token is None else await services(request).tokens.authenticate(token)


async def _admit_known_or_visitor(request: Request) -> Principal | None:
    principal = await _admit_known_or_nobody(request)
    if principal is None and services(request).settings.sessions_allow_anonymous != "true":
        raise UnauthenticatedError
    return principal


async def _admit_user(request: Request) -> Principal:
    principal = await _admit_known_or_nobody(request)
    if principal is None:
        raise UnauthenticatedError
    return principal


async def _admit_operator(request: Request) -> None:
    """Who watches the program: with the metrics token, or, while none is set, straight from this machine."""
    expected = operations(request).settings.metrics_token
    forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    if expected is None:
        if request.client is None or request.client.host not in _LOOPBACK or forwarded:
            raise UnauthenticatedError("Set CHAT_METRICS_TOKEN to read this from another machine")
    elif not compare_digest((bearer_token(request) or "").encode(), expected.get_secret_value().encode()):
        raise UnauthenticatedError


USER = Declaration("user", _admit_user)
USER_OR_NOBODY = Declaration("user or nobody", _admit_known_or_nobody)
USER_OR_VISITOR = Declaration("user or visitor", _admit_known_or_visitor)
PUBLIC = Declaration("public", _admit_anyone)
OPERATOR = Declaration("operator", _admit_operator)

Caller = Annotated[Principal, Depends(USER)]
PossibleCaller = Annotated[Principal | None, Depends(USER_OR_NOBODY)]
PossibleVisitor = Annotated[Principal | None, Depends(USER_OR_VISITOR)]
public = Depends(PUBLIC)
operator = Depends(OPERATOR)


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


def api_router(prefix: str, *, tag: str) -> APIRouter:
    return APIRouter(prefix=prefix, tags=[tag], route_class=DeclaredRoute)
