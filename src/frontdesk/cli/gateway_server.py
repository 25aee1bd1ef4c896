"""Runs the gateway until SIGINT or SIGTERM, which end it cleanly: exit code 0, after the answers were drained."""

import asyncio
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn

from frontdesk.app import Application, create_app
from frontdesk.cli.listening import decided_for
from frontdesk.http.server import GatewayProtocol
from frontdesk.settings import Settings

_BACKLOG = 4096
_LEAVING_SECONDS = 1.0


class _GatewayServer(uvicorn.Server):
    """Runs `announce` beside the gateway once it listens, for no longer than the gateway.

    At the end answers have `drain` seconds to end in; then their readers are sent away, as feeds are at once.
    """

    def __init__(
        self, application: Application, config: uvicorn.Config, *, announce: Callable[[], Awaitable[None]], drain: float
    ) -> None:
        super().__init__(config)
        self._application = application
        self._drain = drain
        self._announce = announce
        self._announcing: asyncio.Future[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announcing = asyncio.ensure_future(self._announce())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
        self._application.send_followers_away()
        patience = asyncio.get_running_loop().call_later(self._drain, self._application.send_readers_away)
        await super().shutdown(sockets)
        patience.cancel()


def run_gateway(settings: Settings, sockets: list[socket.socket], announce: Callable[[], Awaitable[None]]) -> None:
    """Blocks. Exits the process with code 3 when the application cannot start; it has said why."""
    application = create_app(decided_for(settings, sockets))
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http=GatewayProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds + _LEAVING_SECONDS),
    )
    with _signals_taken():
        _GatewayServer(application, config, announce=announce, drain=settings.drain_seconds).run(sockets)


@contextmanager
def _signals_taken() -> Iterator[None]:
    """What uvicorn does at its end is to raise the signal that ended it once more: here that does nothing."""
    taken = {name: signal.signal(name, lambda *_: None) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in taken.items():
            signal.signal(name, handler)
