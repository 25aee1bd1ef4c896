"""SQLite with group commit: units of work that are waiting while one transaction runs share the next one.

One thread writes, so there is one writer; a lone unit waits for nothing, and under load the cost of a commit is shared.
Each unit has a savepoint, so one that fails takes nothing else with it. A caller waits for its unit to begin no longer
than the timeout, or what its request has left of it; a unit whose caller has been turned away is never begun.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import QueuePool

from frontdesk.database.types import decode_json, encode_json
from frontdesk.errors import UnavailableError
from frontdesk.kit.time_limit import time_left

T = TypeVar("T")
Work = Callable[[Connection], T]
Outcome = tuple[bool, Any]
_BATCH = 256
_BUSY_SECONDS = 0.01


class _Unit(msgspec.Struct, Generic[T], eq=False):
    work: Work[T]
    future: asyncio.Future[T]
    begun: bool = False


class SqliteDatabase:
    def __init__(self, url: URL, *, readers: int, timeout: float) -> None:
        self._write_engine = _engine(url, begin="BEGIN IMMEDIATE", pool_size=1, timeout=timeout)
        self._read_engine = _engine(url, begin="BEGIN", pool_size=readers, timeout=timeout)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="sqlite-reader")
        self._waiting: list[_Unit[Any]] = []
        self._timeout = timeout
        self._flushing: asyncio.Task[None] | None = None

    @property
    def connections_in_use(self) -> int:
        return _checked_out(self._write_engine) + _checked_out(self._read_engine)

    async def read(self, work: Work[T]) -> T:
        loop, seconds = asyncio.get_running_loop(), self._patience()
        reading = loop.run_in_executor(self._readers, _read, self._read_engine, work)
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
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(unit.future)
        except TimeoutError as error:
            if not unit.begun:
                unit.future.cancel()
                raise _unavailable(error) from error
        return await asyncio.shield(unit.future)

    def _patience(self) -> float:
        """Raises `UnavailableError` when there is none left."""
        seconds = min(self._timeout, time_left())
        if seconds <= 0:
            raise _unavailable(TimeoutError())
        return seconds

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                batch = [unit for unit in batch if not unit.future.cancelled()]
                if not batch:
                    continue
                for unit in batch:
                    unit.begun = True
                works = [unit.work for unit in batch]
                outcomes = await loop.run_in_executor(self._writer, _write, self._write_engine, works)
                for unit, (succeeded, result) in zip(batch, outcomes, strict=True):
                    _settle(unit.future, succeeded=succeeded, result=result)
        finally:
            self._flushing = None

    async def check(self) -> None:
        await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def aclose(self) -> None:
        if self._flushing is not None:
            await asyncio.wait([self._flushing])
        self._writer.shutdown()
        self._readers.shutdown()
        self._write_engine.dispose()
        self._read_engine.dispose()


def _settle(future: asyncio.Future[Any], *, succeeded: bool, result: Any) -> None:
    if future.cancelled():
        return
    if succeeded:
        future.set_result(result)
        return
    future.set_exception(result)
    future.exception()  # a caller that has left does not make it an unhandled one


def _read(engine: Engine, work: Work[T]) -> T:
    try:
        with engine.begin() as connection:  # all that the work reads is of one moment
            return work(connection)
    except (OperationalError, sqlite3.OperationalError) as error:
        raise _unavailable(error) from error


def _write(engine: Engine, works: Sequence[Work[Any]]) -> list[Outcome]:
    try:
        with engine.begin() as connection:
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


def _checked_out(engine: Engine) -> int:
    return engine.pool.checkedout() if isinstance(engine.pool, QueuePool) else 0


def _write_ahead(connection: sqlite3.Connection, timeout: float) -> None:
    """A new file changes its journal once; SQLite does not wait by itself for another that does it now."""
    deadline = monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_BUSY_SECONDS)
        else:
            return


def _engine(url: URL, *, begin: str, pool_size: int, timeout: float) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout,
        connect_args={"timeout": timeout, "check_same_thread": False},
        json_serializer=encode_json,
        json_deserializer=decode_json,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the transactions are SQLAlchemy's, not the driver's
        _write_ahead(connection, timeout)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "temp_store=MEMORY", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
