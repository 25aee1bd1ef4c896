"""The gateway's half of `frontdesk up`: database, first account, server, and what to do next."""

import asyncio
import socket
import subprocess
from time import monotonic

from aiohttp import ClientError, ClientSession, ClientTimeout
from rich.console import Console

from frontdesk.cli.database import prepare_database
from frontdesk.cli.gateway_server import run_gateway
from frontdesk.cli.listening import base_url
from frontdesk.cli.up.first_admin import ensure_admin
from frontdesk.cli.up.instructions import print_instructions
from frontdesk.settings import Settings

_POLL_SECONDS = 0.05
_READY_SECONDS = 30.0


def run(
    settings: Settings, sockets: list[socket.socket], *, model: subprocess.Popen[bytes] | None, username: str
) -> None:
    """Until SIGINT or SIGTERM. Raises CommandError when it cannot start."""
    console = Console(highlight=False, soft_wrap=True)
    with console.status("Preparing the database"):
        prepare_database(settings, may_migrate=True)
    admin, password = ensure_admin(settings, username, console)
    address = base_url(sockets)

    async def announce() -> None:
        with console.status("Waiting for the model"):
            problem = await _wait_until_ready(address, model)
        if problem:
            console.print(f"Frontdesk runs, but is not ready: {problem}", style="yellow", markup=False)
        print_instructions(console, address + settings.api_prefix, admin, pages=address, password=password)

    run_gateway(settings, sockets, announce)


async def _wait_until_ready(address: str, model: subprocess.Popen[bytes] | None) -> str | None:
    """None when all is well, else what is missing after half a minute or when the model's process has ended."""
    problem = "no answer"
    deadline = monotonic() + _READY_SECONDS
    async with ClientSession(timeout=ClientTimeout(total=5)) as http:
        while monotonic() < deadline:
            try:
                async with http.get(f"{address}/health/ready") as response:
                    if response.ok:
                        return None
                    problem = await response.text()
            except (ClientError, TimeoutError) as error:
                problem = str(error)
            if model is not None and model.poll() is not None:
                return f"the embedded model ended with exit code {model.returncode}."
            await asyncio.sleep(_POLL_SECONDS)
    return problem
