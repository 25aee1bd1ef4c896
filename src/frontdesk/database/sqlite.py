"""SQLite with group commit: units of work that are waiting while one transaction runs share the next one.

One thread writes, so there is one writer; a lone unit waits for nothing, and under load the cost of a commit is shared.
Each unit has a savepoint, so one that fails takes nothing else with it. A caller waits for its unit to begin no longer
than the timeout, or what its request has left of it; a unit whose caller has been turned away is never begun.

Each thread keeps its connection, and its transactions are begun and ended on the driver's: SQLAlchemy's pool and
transactions cost more than what most units do.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar, cast

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from frontdesk.database.turns import Turns, wait_to_execute
from frontdesk.database.types import decode_json, encode_json
from frontdesk.errors import UnavailableError
from frontdesk.kit.time_limit import time_left

T = TypeVar("T")
R = TypeVar("R")
Work = Callable[[Connection], T]
Outcome = tuple[bool, Any]
_BATCH = 256


class _Unit(msgspec.Struct, Generic[T], eq=False):
    work: Work[T]
    future: asyncio.Future[T]
    begun: bool = False


class SqliteDatabase:
    def __init__(self, url: URL, *, readers: int, timeout: float) -> None:
        engine = _engine(url, timeout=timeout)
        self._turns = Turns(timeout=timeout)
        self._write_threads = _Threads(engine, 1, name="sqlite-writer", begin=self._turns.begin)
        self._read_threads = _Threads(engine, readers, name="sqlite-reader", begin=_begin_to_read)
        self._waiting: list[_Unit[Any]] = []
        self._timeout = timeout
        self._writing: asyncio.Future[list[Outcome]] | None = None

    @property
    def connections_in_use(self) -> int:
        return self._write_threads.in_use + self._read_threads.in_use

    async def read(self, work: Work[T]) -> T:
        seconds = self._patience()
        reading = self._read_threads.run(_read, work)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(reading)
        except TimeoutError as error:
            reading.cancel()
            raise _unavailable(error) from error

    async def write(self, work: Work[T]) -> T:
        seconds = self._patience()
        unit = _Unit(work, asyncio.get_running_loop().create_future())
        self._waiting.append(unit)
        if self._writing is None:
            self._write_waiting()
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(unit.future)
        except TimeoutError as error:
            if not unit.begun:
                self._waiting.remove(unit)
                raise _unavailable(error) from error
        return await asyncio.shield(unit.future)

    def _patience(self) -> float:
        """Raises `UnavailableError` when there is none left."""
        seconds = min(self._timeout, time_left())
        if seconds <= 0:
            raise _unavailable(TimeoutError())
        return seconds

    def _write_waiting(self) -> None:
        batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
        for unit in batch:
            unit.begun = True
        self._writing = self._write_threads.run(_write, [unit.work for unit in batch])
        self._writing.add_done_callback(partial(self._written, batch))

    def _written(self, batch: Sequence[_Unit[Any]], writing: asyncio.Future[list[Outcome]]) -> None:
        for unit, (succeeded, result) in zip(batch, writing.result(), strict=True):
            _settle(unit.future, succeeded=succeeded, result=result)
        self._writing = None
        if self._waiting:
            self._write_waiting()

    async def check(self) -> None:
        await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def aclose(self) -> None:
        while self._writing is not None:
            await asyncio.wait([self._writing])
        self._write_threads.close()
        self._read_threads.close()
        self._turns.close()


class _Threads:
    """Threads with a connection each, which is opened when it is needed. `begin` begins a transaction."""

    def __init__(self, engine: Engine, count: int, *, name: str, begin: Callable[[sqlite3.Connection], None]) -> None:
        self.in_use = 0
        self._engine = engine
        self._begin = begin
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._own = threading.local()
        self._opened: list[Connection] = []
        self._counting = threading.Lock()

    def run(self, step: Callable[["_Threads", T], R], given: T) -> "asyncio.Future[R]":
        return asyncio.get_running_loop().run_in_executor(self._threads, step, self, given)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One of the calling thread's connection; it is rolled back when what happens in it raises."""
        self._count(1)
        try:
            connection = self._connection()
            driver = cast("sqlite3.Connection", connection.connection.driver_connection)
            self._begin(driver)
            try:
                with driver:  # commits, or rolls back
                    yield connection
            finally:
                connection.rollback()  # SQLAlchemy's own state: the driver has no transaction any more
        finally:
            self._count(-1)

    def close(self) -> None:
        self._threads.shutdown()
        for connection in self._opened:
            connection.close()
        self._engine.dispose()

    def _count(self, change: int) -> None:
        with self._counting:
            self.in_use += change

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._engine.connect()
            self._opened.append(connection)
        return connection


def _begin_to_read(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN").close()


def _settle(future: asyncio.Future[Any], *, succeeded: bool, result: Any) -> None:
    if future.cancelled():
        return
    if succeeded:
        future.set_result(result)
        return
    future.set_exception(result)
    future.exception()  # a caller that has left does not make it an unhandled one


def _read(threads: _Threads, work: Work[T]) -> T:
    try:
        with threads.transaction() as connection:  # all that the work reads is of one moment
            return work(connection)
    except (OperationalError, sqlite3.OperationalError) as error:
        raise _unavailable(error) from error


def _write(threads: _Threads, works: Sequence[Work[Any]]) -> list[Outcome]:
    try:
        with threads.transaction() as connection:
            if len(works) == 1:
                return [(True, works[0](connection))]
            return [_in_savepoint(connection, work) for work in works]
    except (OperationalError, sqlite3.OperationalError) as error:
        return [(False, _unavailable(error))] * len(works)
    except BaseException as error:  # noqa: BLE001  the worker step's boundary: every waiting caller is told
        return [(False, error)] * len(works)


def _in_savepoint(connection: Connection, work: Work[Any]) -> Outcome:
    driver = connection.connection.cursor()
    driver.execute("SAVEPOINT unit")
    try:
        result = work(connection)
    except (OperationalError, sqlite3.OperationalError):
        raise
    except BaseException as error:  # noqa: BLE001  the worker step's boundary: the failure belongs to this unit's caller
        driver.execute("ROLLBACK TO unit")
        driver.execute("RELEASE unit")
        return False, error
    driver.execute("RELEASE unit")
    return True, result


def _unavailable(error: Exception) -> UnavailableError:
    failure = UnavailableError("The database is not available")
    failure.__cause__ = error
    return failure


def _engine(url: URL, *, timeout: float) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,
        connect_args={"timeout": timeout, "check_same_thread": False},
        json_serializer=encode_json,
        json_deserializer=decode_json,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the transactions are ours, not the driver's
        # A new file changes its journal once; SQLite does not wait by itself for another that does it now.
        wait_to_execute(connection, "PRAGMA journal_mode=WAL", monotonic() + timeout)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine
