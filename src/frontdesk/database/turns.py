"""Turns of the processes that write to one SQLite file.

SQLite lets whoever finds its write lock taken ask again, less and less often, and whoever has just let go take it again
before that: under load a process starves. Here who has to wait takes the turn and asks often; while a turn is taken,
the others queue for it before they ask, also the one that has just written.

The turn is a lock on a file beside the database, which the kernel takes back from the dead. What is written is guarded
by SQLite's own lock alone, so writers that know of no turns do no harm.
"""

import fcntl
import mmap
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Self

_BEGIN = "BEGIN IMMEDIATE"
_RESULT = 0xFF  # of an extended result code
_POLL_SECONDS = 0.001
_QUEUE_SECONDS = 0.2
_FREE, _TAKEN = 0, 1
_READ_AND_WRITE = 0o666


class Turns:
    """For one thread with one connection."""

    def __init__(self, *, timeout: float) -> None:
        """`timeout` is the longest wait for the lock, in seconds."""
        self._timeout = timeout
        self._shared: _Shared | None = None

    def begin(self, connection: sqlite3.Connection) -> None:
        """Begins a transaction that writes. Raises `sqlite3.OperationalError` when it cannot in time."""
        if self._shared is None:
            self._shared = _Shared.beside(connection)
            connection.execute("PRAGMA busy_timeout=0").close()  # the waiting is ours
        deadline = monotonic() + self._timeout
        if not self._shared.is_taken and _executes(connection, _BEGIN, deadline):
            return
        with self._shared.turn():
            wait_to_execute(connection, _BEGIN, deadline)

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()


class _Shared:
    """What the processes share. To look at `is_taken` costs nothing; who dies with the turn leaves it to be mended."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._told = mmap.mmap(file, 1)

    @classmethod
    def beside(cls, connection: sqlite3.Connection) -> Self:
        """As SQLite makes its own files: for whoever may use the database, also when root made it."""
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        database = Path(path).stat()
        file = os.open(f"{path}-turns", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        with suppress(PermissionError):  # another's, who did this
            os.fchown(file, database.st_uid, database.st_gid)
            os.fchmod(file, database.st_mode & _READ_AND_WRITE)
        if not os.fstat(file).st_size:
            os.write(file, bytes([_FREE]))  # not truncated to length: a hole has no room on a full disk when it is used
        return cls(file)

    @property
    def is_taken(self) -> bool:
        return self._told[0] == _TAKEN

    def close(self) -> None:
        self._told.close()
        os.close(self._file)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Who has queued for long goes on without one: it may be with a process that stands still."""
        queued = monotonic()
        while not self._take():
            if monotonic() - queued > _QUEUE_SECONDS:
                yield
                return
            sleep(_POLL_SECONDS)
        try:
            self._told[0] = _TAKEN
            yield
        finally:
            self._told[0] = _FREE
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _take(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def wait_to_execute(connection: sqlite3.Connection, statement: str, deadline: float) -> None:
    """Asks again while another connection's lock is in the way. Raises `sqlite3.OperationalError` at the deadline."""
    while not _executes(connection, statement, deadline):
        sleep(_POLL_SECONDS)


def _executes(connection: sqlite3.Connection, statement: str, deadline: float) -> bool:
    try:
        connection.execute(statement).close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & _RESULT != sqlite3.SQLITE_BUSY or monotonic() > deadline:
            raise
        return False
    return True
