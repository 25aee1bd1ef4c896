"""`python -m document_api`: one process on one data directory."""

import argparse
import ipaddress
import json
import os
import socket
import sys
from pathlib import Path

import uvicorn

from document_api.app import create_app
from document_api.settings import ConfigurationError, Settings

# What a request may still take when the server is asked to stop.
DRAIN_SECONDS = 5


class AnnouncedServer(uvicorn.Server):
    """Prints its address as a line of JSON once it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            sys.stdout.write(json.dumps({"url": f"http://{name}:{port}"}) + "\n")
            sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="document_api", description="A document back end over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100, help="0 takes a free one")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where everything is kept")
    arguments = parser.parse_args()
    try:
        settings = Settings.read(os.environ, data=arguments.data)
    except ConfigurationError as error:
        parser.error(str(error))
    if settings.api_key is None and not _is_loopback(arguments.host):
        parser.error("Without DOCUMENTS_API_KEY it listens on a loopback address only")
    app = create_app(settings)
    family = socket.AF_INET6 if ":" in arguments.host else socket.AF_INET
    with socket.create_server((arguments.host, arguments.port), family=family) as listener:
        config = uvicorn.Config(
            app, log_level="warning", server_header=False, timeout_graceful_shutdown=DRAIN_SECONDS, ws="none"
        )
        AnnouncedServer(config).run([listener])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    main()
