"""The whole application on a real socket, in this process."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn

from frontdesk.app import Role, create_app
from frontdesk.http.routing import DeclaredRouter, include
from frontdesk.http.server import GatewayProtocol
from frontdesk.http.socket_server import GatewaySocket
from frontdesk.settings import Settings

_READY_SECONDS = 20
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a client reads all certificates of the machine otherwise


@asynccontextmanager
async def served(
    settings: Settings, *more: DeclaredRouter, role: Role = Role.everything
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running application, with the API's prefix as its base, and with routes beside its own."""
    application = create_app(settings, role)
    for router in more:
        include(application.http, router)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio sets it only where it made the socket
        config = uvicorn.Config(
            application,
            http=GatewayProtocol,
            ws=GatewaySocket,
            ws_max_size=settings.max_body_bytes,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not server.started:
                    assert not serving.done(), "the application did not start"
                    await asyncio.sleep(0.01)
            base = f"http://127.0.0.1:{listening.getsockname()[1]}{settings.api_prefix}"
            limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
            async with httpx.AsyncClient(
                base_url=base, timeout=30, limits=limits, trust_env=False, verify=_NO_TLS
            ) as client:
                yield client
        finally:
            server.should_exit = True
            await serving
