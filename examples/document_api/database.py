"""One SQLite file, one connection, one thread: units of work run one after the other, each in a transaction."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    source TEXT,
    created_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_of_session ON documents (session_id, number);
CREATE TABLE IF NOT EXISTS versions (
    document_id TEXT NOT NULL REFERENCES documents (id),
    version INTEGER NOT NULL,
    origin TEXT NOT NULL,
    text TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (document_id, version)
);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    document_id TEXT NOT NULL REFERENCES documents (id),
    arguments TEXT NOT NULL,
    idempotency_key TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    problem TEXT,
    created_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
CREATE TABLE IF NOT EXISTS events (
    session_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (session_id, number)
);
CREATE TABLE IF NOT EXISTS idempotency_keys (
    session_id TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (session_id, key)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE TABLE IF NOT EXISTS drive_links (
    session_id TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    linked_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS publications (
    path TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    publication TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS publications_of_session ON publications (session_id, path);
"""


class DatabaseInUseError(Exception):
    """Another process has the data directory."""


class Database:
    """A unit of work is a function of the connection. It commits when it returns and leaves nothing when it raises."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

    async def open(self) -> None:
        """Raises `DatabaseInUseError`."""
        self._connection = await self._on_thread(self._connect)

    async def run(self, unit: Callable[[Connection], T]) -> T:
        """A unit that has begun ends, also when its caller is cancelled."""
        return await self._on_thread(lambda: self._transact(unit))

    async def close(self) -> None:
        await self._on_thread(self._connection.close)
        self._thread.shutdown()

    async def _on_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _connect(self) -> Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=1)
        connection.row_factory = sqlite3.Row
        try:
            # The lock is held as long as the process lives: two of them would both run the jobs that were left over.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            connection.close()
            raise DatabaseInUseError(f"{self._path} is in use by another process") from error
        return connection

    def _transact(self, unit: Callable[[Connection], T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = unit(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        return result


def now() -> str:
    """The moment, in UTC, as RFC 3339 has it, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
