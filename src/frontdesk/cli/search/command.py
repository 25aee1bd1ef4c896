"""`frontdesk search reindex`: asks for a new generation of the index, and fills it where no server does."""

import asyncio
import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from frontdesk.cli.configuration import read_settings
from frontdesk.cli.database import is_embedded, prepare_database
from frontdesk.cli.failures import INTERRUPTED, USAGE, CommandError
from frontdesk.cli.search.rebuilding import follow_rebuilding
from frontdesk.errors import FrontdeskError
from frontdesk.observability.logging import configure_logging

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def search() -> None:
    """The index of search over chats."""


@app.command()
def reindex(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object, no progress.")] = False) -> None:
    """Make the search index again from the stored messages, beside a running gateway or without one.

    A gateway that holds the index does the work, and this shows how far it is. One that was begun before goes on.
    """
    settings = read_settings()
    if not settings.search_enabled:
        raise CommandError("Search is off: CHAT_SEARCH_ENABLED is false", exit_code=USAGE)
    prepare_database(settings, may_migrate=is_embedded(settings))
    configure_logging(level="WARNING", form=settings.log_format)
    console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=as_json)
    try:
        made = asyncio.run(follow_rebuilding(settings, console))
    except KeyboardInterrupt as error:
        raise CommandError("Interrupted: run it again to go on", exit_code=INTERRUPTED) from error
    except FrontdeskError as error:
        raise CommandError(error.detail) from error
    if as_json:
        sys.stdout.write(json.dumps({"generation": made.generation, "messages": made.done, "model": made.model}) + "\n")
        return
    by = f" by {made.model}" if made.model else ", of words alone"
    console.print(f"The search index is complete: {made.done:,} messages{by}.", markup=False)
