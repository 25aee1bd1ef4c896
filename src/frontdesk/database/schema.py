"""At which revision a database stands and which programs may run on it, told without the migration tools: those take
longer to load than to ask.
"""

from pathlib import Path

from sqlalchemy import Column, Connection, String, Table, delete, insert, inspect, select, text

from frontdesk.database.types import metadata
from frontdesk.errors import ConfigurationError

_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_TABLE = "alembic_version"
_STANDING = text(f"SELECT version_num FROM {_TABLE}")  # noqa: S608  a constant

# One row: the oldest revision whose programs may run on these tables, in the words of the program that migrated them.
_floor = Table("schema_floor", metadata, Column("revision", String(32), primary_key=True))


def head() -> str:
    """The newest revision that this program knows. The files are named `NUMBER_title.py`, and the number is it."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def current(connection: Connection) -> str | None:
    """None for a database without tables."""
    return connection.execute(_STANDING).scalar_one_or_none() if inspect(connection).has_table(_TABLE) else None


def is_behind(connection: Connection) -> bool:
    """Whether this program would have to migrate it."""
    return (current(connection) or "") < head()


def is_ahead(connection: Connection) -> bool:
    """Whether a newer program has migrated it."""
    return (current(connection) or "") > head()


def require_usable(connection: Connection) -> None:
    """Raises `ConfigurationError` unless the tables are this program's, or those of a newer one that lets it be."""
    standing = current(connection)
    if is_behind(connection):
        raise ConfigurationError(
            f"The database stands at revision {standing or 'none'}, this program needs {head()}: run frontdesk migrate"
        )
    floor = _find_floor(connection) or standing or ""
    if is_ahead(connection) and floor > head():
        raise ConfigurationError(
            f"The database stands at revision {standing}, for programs of revision {floor} or newer; this one is of "
            f"{head()}: start a newer version"
        )


def set_floor(connection: Connection, revision: str) -> None:
    """Programs of revisions before this one may not run on the tables from now on."""
    _floor.create(connection, checkfirst=True)
    if _find_floor(connection) != revision:
        connection.execute(delete(_floor))
        connection.execute(insert(_floor).values(revision=revision))


def _find_floor(connection: Connection) -> str | None:
    return (
        connection.execute(select(_floor)).scalar_one_or_none() if inspect(connection).has_table(_floor.name) else None
    )
