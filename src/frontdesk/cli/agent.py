"""`frontdesk agent`: the agent's runtime alone, for gateways that have the internal key."""

from typing import Annotated

import typer

from frontdesk.app import Role
from frontdesk.cli.roles import run_role

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_DATABASE_URL = "sqlite:///./agent.db"


@app.command()
def agent(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8001,
) -> None:
    """Run the agent's runtime: POST /agent/message/stream, with GATEWAY__INTERNAL_API_KEY in X-Internal-Auth.

    Its database must not be the gateway's: without CHAT_DATABASE_URL it is agent.db in this folder.
    """
    run_role(Role.agent, host, port, database_url=_DATABASE_URL)
