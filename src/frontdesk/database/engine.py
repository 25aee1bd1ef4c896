"""Opens the database that a URL names. The drivers behind a URL are chosen here."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from frontdesk.database.sqlite import SqliteDatabase
from frontdesk.errors import ConfigurationError

T = TypeVar("T")
Work = Callable[[Connection], T]


class Database(Protocol):
    """`read` and `write` run a unit of work in one transaction and return what it returns.

    An exception rolls the unit back and is raised to its caller. Raises `UnavailableError` when the database cannot be
    reached in time. The work itself is synchronous code; it may run in another thread.
    """

    @property
    def connections_in_use(self) -> int: ...

    async def read(self, work: Work[T]) -> T: ...

    async def write(self, work: Work[T]) -> T: ...

    async def check(self) -> None:
        """Raises `UnavailableError` when it cannot be read."""
        ...

    async def aclose(self) -> None: ...


def parse_url(text: str) -> URL:
    """Accepts `sqlite:///PATH` and `postgresql://...` as people write them, with or without a driver's name."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ConfigurationError("CHAT_DATABASE_URL is not a database URL") from error
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigurationError("CHAT_DATABASE_URL: an SQLite database needs a file")
        return url.set(drivername="sqlite+pysqlite")
    if kind in {"postgresql", "postgres"}:
        return url.set(drivername="postgresql+asyncpg")
    raise ConfigurationError(f"CHAT_DATABASE_URL: {kind} is not supported; use sqlite or postgresql")


def open_database(text: str, *, pool_size: int, timeout: float) -> Database:
    """`timeout` is in seconds: the longest wait for a connection, a lock or a statement."""
    url = parse_url(text)
    if url.drivername.startswith("sqlite"):
        return SqliteDatabase(url, readers=pool_size, timeout=timeout)
    from frontdesk.database.postgres import PostgresDatabase  # noqa: PLC0415  an optional extra

    return PostgresDatabase(url, pool_size=pool_size, timeout=timeout)
