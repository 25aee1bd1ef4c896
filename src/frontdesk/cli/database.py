"""The database before a gateway runs on it."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

from sqlalchemy import Connection

from frontdesk.cli.failures import CommandError
from frontdesk.database.engine import open_database, parse_url
from frontdesk.database.schema import is_behind, require_usable
from frontdesk.errors import ConfigurationError, FrontdeskError
from frontdesk.settings import Settings

Result = TypeVar("Result")


def is_embedded(settings: Settings) -> bool:
    """Whether it is a file of this machine's. Raises CommandError when the address is none."""
    try:
        return parse_url(settings.database_url).drivername.startswith("sqlite")
    except FrontdeskError as error:
        raise CommandError(error.detail) from error


def read_database(settings: Settings, work: Callable[[Connection], Result]) -> Result:
    """Raises CommandError when the database cannot be read."""

    async def run() -> Result:
        database = open_database(settings.database_url, pool_size=1, timeout=settings.database_timeout_seconds)
        try:
            return await database.read(work)
        finally:
            await database.aclose()

    try:
        return asyncio.run(run())
    except ConfigurationError as error:
        raise CommandError(error.detail) from error
    except FrontdeskError as error:
        raise CommandError(f"{error.detail}: {error.__cause__ or settings.database_url}") from error


def prepare_database(settings: Settings, *, may_migrate: bool) -> None:
    """Sees to it that the tables are ones that this program can use. Raises CommandError when they are not, and may not
    be changed or are a newer program's.
    """
    if may_migrate and read_database(settings, is_behind):
        # The migration tools take a third of a second to load, and are seldom needed.
        import_module("frontdesk.cli.migrate").migrate_database(settings.database_url)
        return
    read_database(settings, require_usable)
