"""`frontdesk serve`: the gateway, as one of any number."""

from typing import Annotated

import typer
from rich.console import Console

from frontdesk.cli.configuration import read_settings
from frontdesk.cli.database import is_embedded, prepare_database
from frontdesk.cli.gateway_server import run_gateway
from frontdesk.cli.listening import base_url, bind_gateway

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8009,
) -> None:
    """Run the gateway. An SQLite database is migrated; PostgreSQL is not: run `frontdesk migrate` before.

    No account is made. With the default CHAT_JWT_SECRET_KEY or GATEWAY__INTERNAL_API_KEY it listens on loopback
    addresses only.
    """
    settings = read_settings()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    sockets = bind_gateway(host, port, settings)
    for name in settings.default_secrets:
        console.print(f"{name} is still the default: only this machine can connect.", style="yellow")
    if settings.temporal_address is not None and settings.redis_url is None:
        console.print("Without CHAT_REDIS_URL, streams show nothing of what workers answer.", style="yellow")
    prepare_database(settings, may_migrate=is_embedded(settings))

    async def announce() -> None:
        console.print(f"Frontdesk listens on {base_url(sockets)}", markup=False)

    run_gateway(settings, sockets, announce)
