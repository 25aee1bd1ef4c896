"""A route that does not say how it authenticates cannot be made."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.routing import APIRoute
from starlette.types import Scope

from frontdesk.app import build_http
from frontdesk.errors import BadTokenError, ConfigurationError
from frontdesk.http.routing import (
    Caller,
    DeclaredRoute,
    DeclaredRouter,
    PossibleCaller,
    bearer_token,
    include,
    internal,
    operator,
    public,
    require_declared,
)
from frontdesk.settings import Settings


@pytest.fixture
def router() -> DeclaredRouter:
    return DeclaredRouter("/things", tag="things")


async def silent(request: Request) -> None: ...


async def socket(socket: WebSocket) -> None: ...


async def with_caller(caller: Caller) -> None: ...


async def with_possible_caller(caller: PossibleCaller) -> None: ...


async def inner(caller: Caller) -> str:
    return caller.id


async def with_caller_further_in(name: Annotated[str, Depends(inner)]) -> None: ...


def test_a_route_that_declares_nothing_is_refused(router: DeclaredRouter) -> None:
    router.add_api_route("/x", silent)
    with pytest.raises(ConfigurationError, match="/things/x"):
        router.made()


def test_a_route_that_declares_two_ways_is_refused(router: DeclaredRouter) -> None:
    router.add_api_route("/x", with_caller, dependencies=[public])
    with pytest.raises(ConfigurationError, match="declares 2"):
        router.made()


@pytest.mark.parametrize("endpoint", [with_caller, with_possible_caller, with_caller_further_in])
def test_a_caller_is_a_declaration(router: DeclaredRouter, endpoint: Callable[..., Any]) -> None:
    router.add_api_route("/x", endpoint)
    assert [route.path for route in router.made("/api") if isinstance(route, DeclaredRoute)] == ["/api/things/x"]


@pytest.mark.parametrize("declaration", [public, operator, internal])
def test_a_route_without_a_caller_says_why(router: DeclaredRouter, declaration: Depends) -> None:
    router.add_api_route("/x", silent, dependencies=[declaration])
    assert router.made() is router.made()


def test_every_route_of_the_program_declares_itself() -> None:
    http = build_http(Settings(_env_file=None))
    routes = [route for route in http.routes if isinstance(route, APIRoute)]
    assert len(routes) > 15
    assert [route.path for route in routes if not isinstance(route, DeclaredRoute)] == []


def _request(*values: bytes) -> Request:
    scope: Scope = {"type": "http", "headers": [(b"authorization", value) for value in values]}
    return Request(scope)


def test_one_bearer_token_is_taken() -> None:
    assert bearer_token(_request()) is None
    assert bearer_token(_request(b"Bearer abc")) == "abc"
    assert bearer_token(_request(b"bearer abc")) == "abc"


@pytest.mark.parametrize("values", [[b""], [b"Bearer"], [b"Bearer "], [b"Basic abc"], [b"Bearer a", b"Bearer b"]])
def test_any_other_credentials_are_refused(values: list[bytes]) -> None:
    with pytest.raises(BadTokenError):
        bearer_token(_request(*values))


@pytest.mark.parametrize("route", ["a plain one", "a socket", "a mounted application"])
def test_what_declares_nothing_stops_the_start(router: DeclaredRouter, route: str) -> None:
    http = FastAPI(openapi_url="/openapi.json", docs_url=None, redoc_url=None)
    include(http, router)
    require_declared(http)
    if route == "a plain one":
        http.add_api_route("/plain", silent)
    elif route == "a socket":
        http.add_api_websocket_route("/socket", socket)
    else:
        http.mount("/mounted", FastAPI())
    with pytest.raises(ConfigurationError, match="must declare one way to authenticate"):
        require_declared(http)


def test_a_socket_may_declare_itself() -> None:
    http = FastAPI(openapi_url=None)
    http.add_api_websocket_route("/socket", socket, dependencies=[internal])
    require_declared(http)


@pytest.mark.parametrize("prefix", ["/v1", "/v1/chat"])
def test_the_api_cannot_stand_where_openais_does(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="CHAT_API_PREFIX"):
        build_http(Settings(_env_file=None, api_prefix=prefix))
