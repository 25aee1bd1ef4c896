"""PostgreSQL through asyncpg: each unit of work has its own transaction on a pooled connection.

A caller waits for its unit no longer than the timeout, or what its request has left of it, whatever that waits for: a
connection, a lock, a server that hangs. A unit whose caller has been turned away commits nothing.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi as driver
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

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
_CLASSES_OF_CLOSING = ("08", "57P")
_BROKEN_OFF = "57"  # by the server's own time limit, for one
_QUIET_SECONDS = 0.5
_QUIET_SINCE = "frontdesk.quiet_since"
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


class _NotBegunError(Exception):
    """The connection broke before anything was done on it: what was to be done may be done on another."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


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
        _watch_over(self._engine)

    @property
    def connections_in_use(self) -> int:
        pool = self._engine.pool
        return pool.checkedout() if isinstance(pool, AsyncAdaptedQueuePool) else 0

    async def read(self, work: Work[T]) -> T:
        return await self._unit(work, commits=False)

    async def write(self, work: Work[T]) -> T:
        return await self._unit(work, commits=True)

    async def check(self) -> None:
        await self.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    async def aclose(self) -> None:
        if self._units:
            await asyncio.wait(self._units)
        await self._engine.dispose()

    async def _unit(self, work: Work[T], *, commits: bool) -> T:
        """A caller that leaves does not break its unit in the middle, so no connection is lost with it."""
        seconds = min(self._timeout, time_left())
        if seconds <= 0:
            raise _translated(TimeoutError())
        caller = _Caller()
        task = asyncio.create_task(self._run(work, caller, commits=commits))
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

    async def _run(self, work: Work[T], caller: _Caller, *, commits: bool) -> T:
        """Again where the server asks for that, where nothing was begun, and where nothing is lost by reading again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._attempt(work, caller, commits=commits)
            except _FAILURES as error:
                is_cut = not commits and _sqlstate(error).startswith(_CLASSES_OF_CLOSING)
                if attempt == _ATTEMPTS or not (is_cut or _sqlstate(error) in _RETRIED):
                    raise _translated(error) from error
            except _NotBegunError as error:
                if attempt == _ATTEMPTS:
                    raise _translated(error.reason) from error
        raise AssertionError("unreachable")

    async def _attempt(self, work: Work[T], caller: _Caller, *, commits: bool) -> T:
        """What only reads is begun by its first statement, and ends when the connection is given back."""
        async with self._turns, self._engine.connect() as connection:
            caller.require()
            if not commits:
                return await connection.run_sync(_watched(work))
            async with connection.begin():
                result = await connection.run_sync(_watched(work))
                caller.require()
                return result


def _watched(work: Work[T]) -> Work[T]:
    """A connection is not used again on which a statement was not answered, or no transaction could be begun.

    After a BEGIN that the server carries out later, the driver would take the next transaction for a part of it: a
    savepoint, whose commit commits nothing. SQLAlchemy throws such connections away by itself, but does not see what
    prepared statements meet. Raises `_NotBegunError`.
    """

    def watched(connection: Connection) -> T:
        driver_connection: Any = connection.connection.driver_connection
        try:
            return work(connection)
        except _FAILURES as error:
            is_unanswered = isinstance(error, TimeoutError)
            may_be_begun = is_unanswered or driver_connection.is_in_transaction()
            if is_unanswered or not may_be_begun or _sqlstate(error).startswith(_BROKEN_OFF):
                connection.invalidate(error)
            if may_be_begun:
                raise
            raise _NotBegunError(error) from error

    return watched


def _watch_over(engine: AsyncEngine) -> None:
    """A connection that was quiet is asked for a sign of life before a unit gets it.

    SQLAlchemy's `pool_pre_ping` asks before each unit, which costs three round trips, as much as a read. One that was
    used just now is as likely to break in the unit as before it, and the unit is told then; that its other end has
    closed it the driver knows without asking.
    """

    def answers(connection: DBAPIConnection) -> bool:
        try:
            return engine.dialect.do_ping(connection)
        except (driver.Error, DBAPIError):
            return False

    def left(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info[_QUIET_SINCE] = monotonic()

    def taken(connection: DBAPIConnection, record: ConnectionPoolEntry, _holder: object) -> None:
        since: float | None = record.info.get(_QUIET_SINCE)
        if since is None:
            return
        driver_connection: Any = record.driver_connection
        is_quiet = monotonic() - since > _QUIET_SECONDS
        if driver_connection.is_closed() or (is_quiet and not answers(connection)):
            raise InvalidatePoolError

    event.listen(engine.sync_engine, "checkin", left)
    event.listen(engine.sync_engine, "checkout", taken)


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
