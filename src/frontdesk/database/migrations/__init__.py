"""The history of the tables. Each step must work while the version before it still runs.

A step that programs of some revisions could not run with says so: `OLDEST_PROGRAM` is the first that can.
"""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from frontdesk.database.engine import parse_url
from frontdesk.database.schema import current, is_ahead, require_usable, set_floor


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(database_url: str, *, revision: str = "head") -> str:
    """Bring the database to `revision` and return what it stands at. Blocking; not to be called on an event loop.

    A database that a newer program has migrated stays as it is. Raises `ConfigurationError` when that is not for us.
    """
    url = parse_url(database_url)
    if url.drivername.startswith("sqlite"):
        engine = create_engine(url)
        try:
            with engine.begin() as connection:
                return _upgrade(connection, revision)
        finally:
            engine.dispose()

    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  needs an optional extra

    async def on_postgres() -> str:
        engine = create_async_engine(url)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(_upgrade, revision)
        finally:
            await engine.dispose()

    return asyncio.run(on_postgres())


def _upgrade(connection: Connection, revision: str) -> str:
    if is_ahead(connection):
        require_usable(connection)
        return current(connection) or ""
    config = _config(connection)
    command.upgrade(config, revision)
    standing = current(connection) or ""
    set_floor(connection, _oldest_program(ScriptDirectory.from_config(config), standing))
    return standing


def _oldest_program(scripts: ScriptDirectory, standing: str) -> str:
    """The oldest revision whose programs may run on the tables as they stand."""
    steps = list(scripts.iterate_revisions(standing, "base"))
    return max([steps[-1].revision, *(getattr(step.module, "OLDEST_PROGRAM", "") for step in steps)])
