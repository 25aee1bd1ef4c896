"""The ASGI application: surfaces mounted on services that live as long as it does."""

import gc
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from frontdesk import __version__
from frontdesk.bootstrap import running_services
from frontdesk.errors import ConfigurationError
from frontdesk.http import problems
from frontdesk.http.admission import ADMISSION, Admission
from frontdesk.http.description import DescribedAPI
from frontdesk.http.edge import Edge
from frontdesk.http.openai_errors import PREFIX, speaks_openai
from frontdesk.http.permitted_origins import PermittedOrigins
from frontdesk.http.routing import include, require_declared
from frontdesk.observability.logging import configure_logging
from frontdesk.observability.measurements import Measurements
from frontdesk.observability.tracing import configure_tracing
from frontdesk.settings import Settings
from frontdesk.surfaces.agent_runtime import routes as agent_runtime
from frontdesk.surfaces.agents_api import routes as agents
from frontdesk.surfaces.chat_interfaces_api import assets as interface_assets
from frontdesk.surfaces.chat_interfaces_api import routes as interfaces
from frontdesk.surfaces.files import routes as files
from frontdesk.surfaces.llm_proxy import routes as llm_proxy
from frontdesk.surfaces.operations import routes as operations
from frontdesk.surfaces.pages import routes as pages
from frontdesk.surfaces.public_chat import files as visitors_files
from frontdesk.surfaces.public_chat import routes as visitors
from frontdesk.surfaces.public_chat import visiting
from frontdesk.surfaces.session_gateway import sessions, tools
from frontdesk.surfaces.threads_api import (
    accounts,
    attachments,
    executions,
    messages,
    models,
    search,
    sharing,
    threads,
    usage,
    users,
)
from frontdesk.surfaces.websocket_gateway import routes as websocket_gateway

_YOUNG_OBJECTS = 20_000
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


class Role(StrEnum):
    """What a process serves. In every role it has a database and a core of its own, and makes what it answers."""

    everything = "everything"
    gateway = "gateway"
    agent = "agent"


def create_app(settings: Settings, role: Role = Role.everything) -> "Application":
    """The whole program as one application; its lifespan opens and closes everything. Raises `ConfigurationError`."""
    level = settings.log_level if role is Role.everything else settings.gateway_log_level
    configure_logging(level=level, form=settings.log_format)
    configure_tracing(settings.otlp_endpoint, version=__version__)
    return Application(settings, role)


class Application:
    """The HTTP application behind its edge. The edge needs the services' measurements, so it is put on when they are
    there.
    """

    def __init__(self, settings: Settings, role: Role = Role.everything) -> None:
        self._settings = settings
        self.http = build_http(settings, lifespan=self._lifespan, role=role)
        self._outer: ASGIApp = self.http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outer(scope, receive, send)

    def send_followers_away(self) -> None:
        """When the end begins: what never ends by itself is to be followed elsewhere."""
        self.http.state.services.streams.send_away(only_endless=True)

    def send_readers_away(self) -> None:
        """Before the end: whoever reads an answer that goes on is to read it elsewhere."""
        self.http.state.services.streams.send_away()
        self.http.state.services.sockets.send_away()

    @asynccontextmanager
    async def _lifespan(self, http: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with running_services(self._settings) as services:
            http.state.services = services
            self._outer = Edge(http, measurements=services.measurements)
            _settle_garbage()
            yield {ADMISSION: _admission(self._settings, services.measurements)}


def build_http(settings: Settings, *, lifespan: Lifespan | None = None, role: Role = Role.everything) -> FastAPI:
    """The routes of every surface. Raises `ConfigurationError` when one does not declare its authentication, or the
    prefix is where OpenAI's API stands.
    """
    if speaks_openai(settings.api_prefix):
        raise ConfigurationError(f"CHAT_API_PREFIX: {PREFIX} is OpenAI's API")
    http = DescribedAPI(
        title="Frontdesk",
        version=__version__,
        lifespan=lifespan,
        openapi_url=f"{settings.api_prefix}/openapi.json",
        openapi_tags=[llm_proxy.DESCRIBED],
    )
    if role is not Role.agent:
        _include_users_surfaces(http, settings)
    if role is Role.gateway:
        include(http, websocket_gateway.health_router)
    else:
        include(http, agent_runtime.router)
    if role is Role.agent:
        include(http, agent_runtime.health_router)
    include(http, operations.router)
    require_declared(http)
    problems.handle(http)
    return http


def _include_users_surfaces(http: FastAPI, settings: Settings) -> None:
    """A request is looked for in this order, so that what is asked often comes first."""
    for module in (sessions, tools):
        include(http, module.router)
    for module in (
        accounts,
        threads,
        messages,
        executions,
        models,
        search,
        sharing,
        usage,
        users,
        agents,
        attachments,
        files,
        interfaces,
        interface_assets,
        visitors,
        visitors_files,
    ):
        include(http, module.router, prefix=settings.api_prefix)
    include(http, visitors_files.assets_router, prefix=settings.api_prefix)
    include(http, threads.provider_router, prefix=settings.api_prefix)
    include(http, websocket_gateway.router, prefix=settings.api_prefix)
    http.router.routes.append(websocket_gateway.socket_route)
    include(http, llm_proxy.router)
    include(http, pages.router)
    _include_chatkit(http, settings)
    if settings.permitted_origins:
        public = f"{settings.api_prefix}{visiting.PREFIX}"
        http.add_middleware(PermittedOrigins, origins=settings.permitted_origins, apart=public)


def _include_chatkit(http: FastAPI, settings: Settings) -> None:
    """Where its package is installed."""
    if find_spec("chatkit") is None:
        return
    from frontdesk.surfaces.chatkit import images, routes, sessions  # noqa: PLC0415  an extra

    include(http, routes.router)
    for module in (sessions, images):
        include(http, module.router, prefix=settings.api_prefix)


def _admission(settings: Settings, measurements: Measurements) -> Admission:
    admission = Admission(
        places=settings.requests_at_once,
        waiting=settings.requests_waiting,
        exempt=operations.PATHS,
        urgent=re.compile(f"{re.escape(settings.api_prefix)}(?:{messages.URGENT_PATHS}|{visitors.URGENT_PATHS})"),
        measurements=measurements,
    )
    measurements.watch("frontdesk_requests_in_work", "Requests that are worked on", lambda: admission.taken)
    measurements.watch("frontdesk_requests_waiting", "Requests that wait for their turn", lambda: admission.waiting)
    return admission


def _settle_garbage() -> None:
    """The imports' half a million objects are never looked through again: that took a tenth of a second and more each
    time, in which no token moved. Young objects are looked at in larger lots.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
