"""At which revision a database stands, told without the migration tools: those take longer to load than to ask."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from frontdesk.database.engine import Database
from frontdesk.errors import ConfigurationError

_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_TABLE = "alembic_version"
_STANDING = text(f"SELECT version_num FROM {_TABLE}")  # noqa: S608  a constant


def head() -> str:
    """The newest revision that this program knows. The files are named `NUMBER_title.py`, and the number is it."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def current(connection: Connection) -> str | None:
    """None for a database without tables."""
    return connection.execute(_STANDING).scalar_one_or_none() if inspect(connection).has_table(_TABLE) else None


async def require_current(database: Database) -> None:
    """Raises `ConfigurationError` when the tables are not those of this program."""
    standing = await database.read(current)
    if standing != head():
        raise ConfigurationError(
            f"The database stands at revision {standing or 'none'}, this program needs {head()}: run frontdesk migrate"
        )
