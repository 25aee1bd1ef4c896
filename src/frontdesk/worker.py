"""The worker: runs the executions that servers elsewhere have accepted, until it is told to end."""

import asyncio
import signal
import socket
from collections.abc import Callable

from frontdesk import __version__
from frontdesk.bootstrap import running_worker
from frontdesk.observability.logging import configure_logging
from frontdesk.observability.tracing import configure_tracing
from frontdesk.settings import Settings
from frontdesk.surfaces.operations.server import serving_operations


async def work(
    settings: Settings, sockets: list[socket.socket], *, shares_log: bool, announce: Callable[[], None]
) -> None:
    """Until SIGINT or SIGTERM; then it drains. `announce` is called when it takes executions.

    On `sockets`, if there are any, operators are answered from before that to the end. Raises `ConfigurationError`.
    """
    configure_logging(level=settings.log_level, form=settings.log_format)
    configure_tracing(settings.otlp_endpoint, version=__version__)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    async with (
        running_worker(settings, shares_log=shares_log) as (worker, operations),
        serving_operations(operations, sockets),
    ):
        await worker.run(stop, announce=announce)
