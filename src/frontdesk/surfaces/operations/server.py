"""The operations surface by itself, beside the work of a process that serves nothing else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from frontdesk.http import problems
from frontdesk.http.edge import Edge
from frontdesk.http.routing import include, require_declared
from frontdesk.http.server import GatewayProtocol
from frontdesk.http.services import Operations
from frontdesk.surfaces.operations import routes

_LEAVING_SECONDS = 1


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are for the process that this is a part of."""
        yield


@asynccontextmanager
async def serving_operations(operations: Operations, sockets: list[socket.socket]) -> AsyncIterator[None]:
    """`/health`, `/health/ready` and `/metrics` on bound `sockets`, closed at the end. Without any, nothing."""
    if not sockets:
        yield
        return
    config = uvicorn.Config(
        Edge(_http(operations), measurements=operations.measurements),
        http=GatewayProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LEAVING_SECONDS,
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets))
        yield
        server.should_exit = True


def _http(operations: Operations) -> FastAPI:
    http = FastAPI(redirect_slashes=False, openapi_url=None)
    http.state.services = operations
    include(http, routes.router)
    require_declared(http)
    problems.handle(http)
    return http
