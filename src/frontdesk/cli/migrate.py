"""`frontdesk migrate`: the one command that changes a production database's schema."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from frontdesk.cli.configuration import read_settings
from frontdesk.cli.failures import CommandError
from frontdesk.database.migrations import upgrade
from frontdesk.errors import ConfigurationError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def migrate_database(database_url: str) -> str:
    """Upgrades and returns the revision. Raises CommandError."""
    try:
        return upgrade(database_url)
    except ConfigurationError as error:
        raise CommandError(error.detail) from error
    except (SQLAlchemyError, OSError) as error:
        raise CommandError(f"The database cannot be migrated: {error}") from error


@app.command()
def migrate(*, as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Bring the database (CHAT_DATABASE_URL) to this version's schema. Safe to repeat, and beside a running gateway."""
    settings = read_settings()
    if as_json:
        sys.stdout.write(json.dumps({"revision": migrate_database(settings.database_url)}) + "\n")
        return
    console = Console(highlight=False)
    with console.status("Migrating the database"):
        revision = migrate_database(settings.database_url)
    console.print(f"The database is at revision {revision}.")
