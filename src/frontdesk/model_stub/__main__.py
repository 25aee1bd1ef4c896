"""`python -m frontdesk.model_stub --host 127.0.0.1 --port 0`: prints its address as one line of JSON, then serves."""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

import uvloop

from frontdesk.model_stub.server import Provider

BACKLOG = 4096


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m frontdesk.model_stub", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="a file to write the port to once the server listens")
    return parser.parse_args()


def _announce(host: str, port: int, port_file: Path | None) -> None:
    if port_file is not None:
        part = port_file.with_name(f"{port_file.name}.part")
        part.write_text(f"{port}\n")
        part.replace(port_file)
    sys.stdout.write(json.dumps({"url": f"http://{host}:{port}/v1"}) + "\n")
    sys.stdout.flush()


async def _serve(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    provider = Provider(loop)
    server = await loop.create_server(provider.connection, arguments.host, arguments.port, backlog=BACKLOG)
    _announce(arguments.host, server.sockets[0].getsockname()[1], arguments.port_file)
    await stop.wait()
    server.close()
    for connection in tuple(provider.connections):
        connection.transport.abort()


if __name__ == "__main__":
    uvloop.run(_serve(_arguments()))
