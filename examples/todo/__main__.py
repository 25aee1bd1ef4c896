"""`python -m todo --gateway http://127.0.0.1:8009 --port 8010`: the page, and the scripted model at `/v1`."""

import argparse
import json
import socket
import sys
from pathlib import Path

import uvicorn

from todo.site import Site
from todo.tasks import Tasks

DRAIN_SECONDS = 5


class AnnouncedServer(uvicorn.Server):
    """Prints its address as a line of JSON once it answers."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            sys.stdout.write(json.dumps({"url": f"http://{host}:{port}"}) + "\n")
            sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="todo", description="The to-do assistant's page, on loopback.")
    parser.add_argument("--port", type=int, default=8010, help="0 takes a free one")
    parser.add_argument("--gateway", default="http://127.0.0.1:8009", help="as browsers see it")
    parser.add_argument("--database", type=Path, default=Path("todo.db"), help="the assistant's TODO_DATABASE")
    arguments = parser.parse_args()
    app = Site(arguments.gateway, Tasks(arguments.database)).app()
    with socket.create_server(("127.0.0.1", arguments.port)) as listener:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=DRAIN_SECONDS, ws="none")
        AnnouncedServer(config).run([listener])


if __name__ == "__main__":
    main()
