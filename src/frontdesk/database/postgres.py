"""PostgreSQL through asyncpg: each unit of work has its own transaction on a pooled connection.

A caller waits for its unit no longer than the timeout, or what its request has left of it, whatever that waits for: a
connection, a lock, a server that hangs. A unit whose caller has been turned away commits nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi as driver
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from frontdesk.database.types import decode_json, encode_json
from frontdesk.errors import UnavailableError
from frontdesk.kit.time_limit import time_left

T = TypeVar("T")
Work = Callable[[Connection], T]
_SERIALIZATION_FAILURE = "40001"
_DEADLOCK_DETECTED = "40P01"
_RETRIED = frozenset({_SERIALIZATION_FAILURE, _DEADLOCK_DETECTED})
# connection, authorization, catalogue, resources, a lock not given in time, operator intervention (and time limits)
_CLASSES_OF_ABSENCE = ("08", "28", "3D", "53", "55P03", "57")
_BROKEN_OFF = "57"  # by the server's own time limit, for one
_ATTEMPTS = 4
_FAILURES = (
    DBAPIError,
    driver.Error,
    PoolTimeoutError,
    OSError,
    TimeoutError,
)  # prepared statements raise the driver's


class _TurnedAwayError(Exception):
    """Nobody waits for the unit any more. Its connection is as good as before."""


class _Caller:
    """Who waits for a unit, as the unit sees it."""

    __slots__ = ("is_turned_away",)

    def __init__(self) -> None:
        self.is_turned_away = False

    def require(self) -> None:
        if self.is_turned_away:
            raise _TurnedAwayError


class PostgresDatabase:
    def __init__(self, url: URL, *, pool_size: int, timeout: float) -> None:
        milliseconds = str(int(timeout * 1000))
        self._timeout = timeout
        self._units: set[asyncio.Task[Any]] = set()
        self._turns = asyncio.Semaphore(pool_size)  # the pool gives a connection to whoever asks first, not who waits
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout,
            pool_pre_ping=True,
            json_serializer=encode_json,
            json_deserializer=decode_json,
            connect_args={
                "timeout": timeout,
                "command_timeout": timeout,
                "server_settings": {
                    "statement_timeout": milliseconds,
                    "lock_timeout": milliseconds,
                    # A machine that is gone without a word must not keep its locks until TCP notices, in hours.
                    "idle_in_transaction_session_timeout": milliseconds,
                },
            },
        )

    @property
    def connections_in_use(self) -> int:
        pool = self._engine.pool
        return pool.checkedout() if isinstance(pool, AsyncAdaptedQueuePool) else 0

    async def read(self, work: Work[T]) -> T:
        return await self._unit(self._read, work)

    async def write(self, work: Work[T]) -> T:
        return await self._unit(self._write, work)

    async def check(self) -> None:
        await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def aclose(self) -> None:
        if self._units:
            await asyncio.wait(self._units)
        await self._engine.dispose()

    async def _unit(self, run: Callable[[Work[T], _Caller], Coroutine[Any, Any, T]], work: Work[T]) -> T:
        """A caller that leaves does not break its unit in the middle, so no connection is lost with it."""
        seconds = min(self._timeout, time_left())
        if seconds <= 0:
            raise _translated(TimeoutError())
        caller = _Caller()
        task = asyncio.create_task(run(work, caller))
        self._units.add(task)
        task.add_done_callback(self._forget)
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(task)
        except TimeoutError as error:
            if task.done():  # in the same moment
                return task.result()
            caller.is_turned_away = True
            raise _translated(error) from error

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._units.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that has left does not make it an unhandled one

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection on which a statement was not answered in time is not used again.

        After a BEGIN that the server carries out later, the driver would take the next transaction for a part of it:
        a savepoint, whose commit commits nothing. SQLAlchemy throws such a connection away by itself, but does not see
        what prepared statements meet.
        """
        async with self._turns, self._engine.connect() as connection:
            try:
                yield connection
            except _FAILURES as error:
                if isinstance(error, TimeoutError) or _sqlstate(error).startswith(_BROKEN_OFF):
                    await connection.invalidate(error)
                raise

    async def _read(self, work: Work[T], caller: _Caller) -> T:
        try:
            async with self._connected() as connection:
                caller.require()
                return await connection.run_sync(work)
        except _FAILURES as error:
            raise _translated(error) from error

    async def _write(self, work: Work[T], caller: _Caller) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self._connected() as connection, connection.begin():
                    caller.require()
                    result = await connection.run_sync(work)
                    caller.require()
                    return result
            except _FAILURES as error:
                if attempt == _ATTEMPTS or _sqlstate(error) not in _RETRIED:
                    raise _translated(error) from error
        raise AssertionError("unreachable")


def _sqlstate(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def _translated(error: Exception) -> Exception:
    """An absent or overloaded server is `UnavailableError`; anything else stays what it is."""
    absent = (
        not isinstance(error, DBAPIError | driver.Error)
        or (isinstance(error, DBAPIError) and error.connection_invalidated)
        or isinstance(error, OperationalError | InterfaceError | driver.OperationalError | driver.InterfaceError)
        or _sqlstate(error).startswith(_CLASSES_OF_ABSENCE)
    )
    return UnavailableError("The database is not available") if absent else error
