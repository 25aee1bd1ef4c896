"""`frontdesk worker`: makes the answers that `frontdesk serve` has accepted, as one of any number."""

import asyncio
from typing import Annotated

import typer
import uvloop
from rich.console import Console

from frontdesk.cli.configuration import read_settings
from frontdesk.cli.database import is_embedded, prepare_database
from frontdesk.cli.failures import USAGE, CommandError
from frontdesk.cli.listening import base_url, bind
from frontdesk.errors import ConfigurationError
from frontdesk.worker import work

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def worker(
    *,
    host: Annotated[str, typer.Option(help="The address for operators to ask at.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The port of /health, /health/ready and /metrics; none without it."),
    ] = None,
    without_shared_log: Annotated[
        bool,
        typer.Option(
            "--without-shared-log", help="Run although no stream shows its answers, only the stored messages."
        ),
    ] = False,
) -> None:
    """Run a worker of Temporal's task queue agent-queue, at CHAT_TEMPORAL_ADDRESS.

    SIGTERM drains it: answers that end within CHAT_DRAIN_SECONDS do, the others go to another worker.
    """
    settings = read_settings()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    sockets = [] if port is None else bind(host, port)
    if sockets:
        console.print(f"Operators are answered on {base_url(sockets)}", markup=False)
    prepare_database(settings, may_migrate=is_embedded(settings))

    def announce() -> None:
        console.print(f"Frontdesk works for Temporal at {settings.temporal_address}", markup=False)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work(settings, sockets, shares_log=not without_shared_log, announce=announce))
    except ConfigurationError as error:
        raise CommandError(error.detail, exit_code=USAGE) from error
