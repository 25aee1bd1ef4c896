"""`frontdesk serve`: the gateway, as one of any number."""

from typing import Annotated

import typer

from frontdesk.app import Role
from frontdesk.cli.roles import run_role

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
    run_role(Role.everything, host, port)
