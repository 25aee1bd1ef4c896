"""The ASGI application: surfaces mounted on services that live as long as it does."""

import gc
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from frontdesk import __version__
from frontdesk.bootstrap import running_services
from frontdesk.http import problems
from frontdesk.http.admission import ADMISSION, Admission
from frontdesk.http.description import DescribedAPI
from frontdesk.http.edge import Edge
from frontdesk.observability.logging import configure_logging
from frontdesk.observability.measurements import Measurements
from frontdesk.observability.tracing import configure_tracing
from frontdesk.settings import Settings
from frontdesk.surfaces.agents_api import routes as agents
from frontdesk.surfaces.files import routes as files
from frontdesk.surfaces.operations import routes as operations
from frontdesk.surfaces.session_gateway import sessions, tools
from frontdesk.surfaces.threads_api import accounts, attachments, executions, messages, models, threads

_YOUNG_OBJECTS = 20_000
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


def create_app(settings: Settings) -> "Application":
    """The whole program as one application; its lifespan opens and closes everything. Raises `ConfigurationError`."""
    configure_logging(level=settings.log_level, form=settings.log_format)
    configure_tracing(settings.otlp_endpoint, version=__version__)
    return Application(settings)


class Application:
    """The HTTP application behind its edge. The edge needs the services' measurements, so it is put on when they are
    there.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.http = build_http(settings, lifespan=self._lifespan)
        self._outer: ASGIApp = self.http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._outer(scope, receive, send)

    def send_readers_away(self) -> None:
        """Before the end: whoever reads an answer that goes on is to read it elsewhere."""
        self.http.state.services.streams.send_away()

    @asynccontextmanager
    async def _lifespan(self, http: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with running_services(self._settings) as services:
            http.state.services = services
            self._outer = Edge(http, measurements=services.measurements)
            _settle_garbage()
            yield {ADMISSION: _admission(self._settings, services.measurements)}


def build_http(settings: Settings, *, lifespan: Lifespan | None = None) -> FastAPI:
    """The routes of every surface. Raises `ConfigurationError` when one does not declare its authentication."""
    http = DescribedAPI(
        title="Frontdesk",
        version=__version__,
        lifespan=lifespan,
        openapi_url=f"{settings.api_prefix}/openapi.json",
    )
    for module in (accounts, threads, messages, executions, models, agents, attachments, files):
        http.include_router(module.router, prefix=settings.api_prefix)
    http.include_router(threads.provider_router, prefix=settings.api_prefix)
    for module in (sessions, tools):
        http.include_router(module.router)
    http.include_router(operations.router)
    _include_chatkit(http, settings)
    if settings.permitted_origins:
        _permit_origins(http, settings.permitted_origins)
    problems.handle(http)
    return http


def _include_chatkit(http: FastAPI, settings: Settings) -> None:
    """Where its package is installed."""
    if find_spec("chatkit") is None:
        return
    from frontdesk.surfaces.chatkit import routes, sessions  # noqa: PLC0415  an extra

    http.include_router(routes.router)
    http.include_router(sessions.router, prefix=settings.api_prefix)


def _permit_origins(http: FastAPI, origins: list[str]) -> None:
    """Pages of these origins may call from a browser, with tokens and never with cookies."""
    http.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"],
        max_age=600,
    )


def _admission(settings: Settings, measurements: Measurements) -> Admission:
    admission = Admission(
        places=settings.requests_at_once,
        waiting=settings.requests_waiting,
        exempt=operations.PATHS,
        urgent=re.compile(re.escape(settings.api_prefix) + messages.URGENT_PATHS),
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
