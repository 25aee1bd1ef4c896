"""`frontdesk up`. Light to import, so that the model's process starts before the gateway's own modules load."""

from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from frontdesk.cli.configuration import read_settings
from frontdesk.cli.listening import bind_gateway
from frontdesk.cli.up.data_folder import settings_for
from frontdesk.cli.up.model_process import embedded_model, is_needed

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def up(
    *,
    data_folder: Annotated[Path, typer.Option(help="Where the database and the signing secret are kept.")] = Path(
        ".frontdesk"
    ),
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8009,
    username: Annotated[str, typer.Option(help="The name of the first administrator.")] = "admin",
) -> None:
    """Run everything on this machine with nothing configured: gateway, database, a small model, a first account.

    CHAT_* variables and `.env` count here as well: what they set is not taken from the data folder. Ctrl-C stops all.
    """
    settings = settings_for(data_folder, read_settings())
    sockets = bind_gateway(host, port, settings)
    with ExitStack() as parts:
        model = parts.enter_context(embedded_model(settings)) if is_needed(settings) else None
        gateway = import_module("frontdesk.cli.up.gateway")
        gateway.run(settings, sockets, model=model, username=username)
