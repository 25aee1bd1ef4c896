"""`frontdesk gateway`: the gateway alone, before an agent's runtime in another process, as one of any number."""

from typing import Annotated

import typer

from frontdesk.app import Role
from frontdesk.cli.roles import run_role

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_AGENT_URL = "http://localhost:8001"


@app.command()
def gateway(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8000,
) -> None:
    """Run the gateway before the runtime at GATEWAY__AGENT_URL, which answers where no other agent is named.

    Its database is its own: CHAT_DATABASE_URL. Everything else is as with `frontdesk serve`.
    """
    run_role(Role.gateway, host, port, gateway_agent_url=_AGENT_URL)
