"""The history of the tables. Each step must work while the version before it still runs."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

from frontdesk.database.engine import parse_url
from frontdesk.database.schema import current


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(database_url: str, *, revision: str = "head") -> str:
    """Bring the database to `revision` and return what it stands at. Blocking; not to be called on an event loop."""
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
    command.upgrade(_config(connection), revision)
    return current(connection) or ""
