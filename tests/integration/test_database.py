"""Units of work on both databases: what commits, what does not, and what happens when the database is not there."""

import asyncio
import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, bindparam, func, make_url, select, text
from sqlalchemy.exc import IntegrityError

from frontdesk.database import Database, open_database, postgres
from frontdesk.database.idempotency import LIFETIME, IdempotencyKey, Once, find_result, once, purge_expired
from frontdesk.database.prepared import Prepared
from frontdesk.errors import ConflictError, IdempotencyKeyReusedError, UnavailableError
from frontdesk.kit.clock import HeldClock
from frontdesk.kit.time_limit import not_counted, time_limit
from harness.postgres import ListeningPostgres
from harness.processes import Process

SECONDS = 20
NOW = HeldClock().now()
Work = Callable[[Connection], object]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = open_database(database_url, pool_size=5, timeout=5)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    yield database
    await unused(database)
    await database.aclose()


def note(number: int) -> Work:
    return lambda connection: connection.execute(text("INSERT INTO notes VALUES (:n)"), {"n": number}).rowcount


async def noted(database: Database) -> list[int]:
    return await database.read(lambda connection: list(connection.scalars(text("SELECT n FROM notes ORDER BY n"))))


async def unused(database: Database) -> None:
    async with asyncio.timeout(SECONDS):
        while database.connections_in_use:  # noqa: ASYNC110  a figure tells no one that it changed
            await asyncio.sleep(0.01)


async def test_a_unit_that_fails_takes_nothing_else_with_it(database: Database) -> None:
    def fail(connection: Connection) -> None:
        note(1000)(connection)
        raise ValueError("mine")

    def break_a_rule(connection: Connection) -> None:
        note(2000)(connection)
        note(2000)(connection)

    works = [note(1), fail, note(2), break_a_rule, note(3), fail, note(4)]
    outcomes = await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [int, ValueError, int, IntegrityError, int, ValueError, int]
    assert await noted(database) == [1, 2, 3, 4]


async def test_a_unit_is_all_or_nothing(database: Database) -> None:
    def fail(connection: Connection) -> None:
        note(1)(connection)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await database.write(fail)
    assert await noted(database) == []


async def test_a_caller_that_leaves_does_not_break_its_unit(database: Database) -> None:
    begun, may_go_on = asyncio.Event(), Event()
    loop = asyncio.get_running_loop()

    def slow(connection: Connection) -> None:
        note(1)(connection)
        loop.call_soon_threadsafe(begun.set)
        if connection.dialect.name == "sqlite":
            assert may_go_on.wait(SECONDS)
        else:
            connection.execute(text("SELECT pg_sleep(0.2)"))
        note(2)(connection)

    caller = asyncio.create_task(database.write(slow))
    await begun.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    may_go_on.set()
    await unused(database)
    assert await noted(database) == [1, 2]


async def test_callers_that_leave_at_any_moment_leak_nothing(database: Database) -> None:
    for number in range(60):
        work = database.write(note(number)) if number % 2 else noted(database)
        caller = asyncio.create_task(work)
        for _ in range(number % 7):
            await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
    await unused(database)
    await database.write(note(1000))
    assert (await noted(database))[-1] == 1000


async def test_200_writers_at_once(database: Database) -> None:
    async with asyncio.timeout(SECONDS):
        await asyncio.gather(*(database.write(note(number)) for number in range(200)))
        reads = await asyncio.gather(*(noted(database) for _ in range(50)))
    assert all(read == list(range(200)) for read in reads)
    await unused(database)


async def test_what_was_written_is_read(database: Database) -> None:
    for number in range(30):
        await database.write(note(number))
        assert (await noted(database))[-1] == number


async def test_what_a_unit_reads_on_sqlite_is_of_one_moment(sqlite_url: str) -> None:
    database = open_database(sqlite_url, pool_size=1, timeout=5)
    path = sqlite_url.removeprefix("sqlite:///")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def work(connection: Connection) -> list[int]:
        counts = []
        for _ in range(2):
            cursor = connection.connection.cursor()
            counts.append(cursor.execute("SELECT count(*) FROM schema_floor").fetchone()[0])
            cursor.close()
            other.execute("INSERT INTO schema_floor VALUES (hex(randomblob(8)))")
        return counts

    try:
        first, second = await database.read(work)
        assert first == second
    finally:
        await database.aclose()
        other.close()


async def test_a_closed_database_has_finished_its_units(database_url: str) -> None:
    database = open_database(database_url, pool_size=2, timeout=5)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    writes = [asyncio.create_task(database.write(note(number))) for number in range(20)]
    await asyncio.sleep(0)
    await database.aclose()
    await asyncio.gather(*writes)
    again = open_database(database_url, pool_size=2, timeout=5)
    assert await noted(again) == list(range(20))
    await again.aclose()


async def test_a_database_that_works_says_so(database: Database) -> None:
    await database.check()


HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO notes VALUES (1)")
print('{"holds": true}', flush=True)
import time
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


@pytest.fixture
def holder(tmp_path: Path) -> Path:
    (tmp_path / "holder.py").write_text(HOLD_LOCK)
    return tmp_path


async def _hold(folder: Path, url: str, seconds: float) -> Process:
    path = make_url(url).database or ""
    process = Process(
        "holder", path, str(seconds), log=folder / "holder.log", environment={"PYTHONPATH": str(folder)}
    ).start()
    await asyncio.to_thread(process.ready_line)
    return process


async def test_sqlite_waits_for_another_process(sqlite_url: str, holder: Path) -> None:
    database = open_database(sqlite_url, pool_size=2, timeout=5)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    process = await _hold(holder, sqlite_url, 1)
    try:
        writes = [asyncio.create_task(database.write(note(number))) for number in (2, 3)]
        assert await noted(database) == [], "readers do not wait"
        await asyncio.gather(*writes)
        assert await noted(database) == [1, 2, 3]
    finally:
        await asyncio.to_thread(process.stop)
        await database.aclose()


SLEEP = Prepared(select(func.pg_sleep(bindparam("seconds"))))


@pytest.mark.parametrize("prepared", [False, True])
async def test_postgres_that_goes_away_in_the_middle_is_unavailable(postgres_url: str, *, prepared: bool) -> None:
    database = open_database(postgres_url, pool_size=1, timeout=5)
    other = open_database(postgres_url, pool_size=1, timeout=5)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    pids: asyncio.Queue[int] = asyncio.Queue()

    def work(connection: Connection) -> None:
        note(1)(connection)
        pids.put_nowait(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
        if prepared:
            SLEEP.all(connection, {"seconds": 5})
        else:
            connection.execute(text("SELECT pg_sleep(5)"))

    writing = asyncio.create_task(database.write(work))
    victim = {"pid": await pids.get()}
    await other.write(lambda connection: connection.execute(text("SELECT pg_terminate_backend(:pid)"), victim))
    with pytest.raises(UnavailableError):
        await writing
    await database.check()
    assert await noted(database) == []
    for opened in (database, other):
        assert opened.connections_in_use == 0
        await opened.aclose()


async def test_a_new_sqlite_file_that_another_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE notes (n INTEGER PRIMARY KEY)")
        other.execute("BEGIN IMMEDIATE")
        database = open_database(f"sqlite:///{path}", pool_size=2, timeout=5)
        outcomes = asyncio.gather(database.write(note(1)), noted(database), return_exceptions=True)
        await asyncio.sleep(0.2)
        other.execute("COMMIT")
        written, read = await outcomes
        assert written == 1
        assert read in ([], [1])
        await database.aclose()


async def test_sqlite_that_stays_busy_is_unavailable_for_all_that_wait(sqlite_url: str) -> None:
    database = open_database(sqlite_url, pool_size=2, timeout=0.2)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    with closing(sqlite3.connect(make_url(sqlite_url).database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(*(database.write(note(n)) for n in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 3
        other.execute("ROLLBACK")
    await database.write(note(1))
    assert await noted(database) == [1]
    await database.aclose()


NOTES = Table("notes", MetaData(), Column("n", Integer, primary_key=True))
PREPARED = Prepared(select(NOTES.c.n).where(NOTES.c.n == bindparam("n")).with_for_update())


def lock_prepared(connection: Connection, number: int) -> None:
    PREPARED.all(connection, {"n": number})


def lock(connection: Connection, number: int) -> None:
    connection.execute(text("SELECT n FROM notes WHERE n = :n FOR UPDATE"), {"n": number})


LOCKS = pytest.mark.parametrize("lock", [lock, lock_prepared])


@LOCKS
async def test_postgres_deadlocks_are_tried_again(postgres_url: str, lock: Callable[[Connection, int], None]) -> None:
    database = open_database(postgres_url, pool_size=5, timeout=10)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    for number in (1, 2):
        await database.write(note(number))
    runs: list[tuple[int, int]] = []

    def cross(first: int, second: int) -> Work:
        def work(connection: Connection) -> None:
            runs.append((first, second))
            lock(connection, first)
            connection.execute(text("SELECT pg_sleep(0.3)"))
            lock(connection, second)

        return work

    await asyncio.gather(database.write(cross(1, 2)), database.write(cross(2, 1)))
    assert len(runs) > 2, "one was the victim and ran again"
    assert set(runs) == {(1, 2), (2, 1)}
    assert database.connections_in_use == 0
    await database.aclose()


async def test_postgres_serialization_failures_are_tried_again(postgres_url: str) -> None:
    database = open_database(postgres_url, pool_size=5, timeout=10)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    runs: list[int] = []

    def add_next(connection: Connection) -> None:
        runs.append(1)
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        highest = connection.scalar(text("SELECT count(*) FROM notes")) or 0
        connection.execute(text("SELECT pg_sleep(0.1)"))
        connection.execute(text("INSERT INTO notes VALUES (:n)"), {"n": highest * 1000 + len(runs)})

    await asyncio.gather(database.write(add_next), database.write(add_next))
    assert len(runs) > 2
    assert len(await noted(database)) == 2
    await database.aclose()


@LOCKS
async def test_a_postgres_lock_that_is_not_given_in_time_is_unavailable(
    postgres_url: str, lock: Callable[[Connection, int], None]
) -> None:
    database = open_database(postgres_url, pool_size=5, timeout=10)
    impatient = open_database(postgres_url, pool_size=1, timeout=0.3)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    await database.write(note(1))

    def hold(connection: Connection) -> None:
        connection.execute(text("SELECT n FROM notes FOR UPDATE"))
        connection.execute(text("SELECT pg_sleep(1.5)"))

    def lock_with_its_own_bound(connection: Connection) -> None:
        connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
        lock(connection, 1)

    holding = asyncio.create_task(database.write(hold))
    await asyncio.sleep(0.3)
    for work in (lock_with_its_own_bound, lambda connection: lock(connection, 1)):
        with pytest.raises(UnavailableError):
            await impatient.write(work)
    await holding
    await impatient.write(note(2))
    for opened in (database, impatient):
        assert opened.connections_in_use == 0
        await opened.aclose()


async def test_a_full_pool_is_unavailable(postgres_url: str) -> None:
    database = open_database(postgres_url, pool_size=1, timeout=0.3)
    slow = database.read(lambda connection: connection.execute(text("SELECT pg_sleep(0.2)")))
    outcomes = await asyncio.gather(
        *(database.read(lambda connection: connection.execute(text("SELECT pg_sleep(0.2)"))) for _ in range(4)),
        slow,
        return_exceptions=True,
    )
    assert any(isinstance(outcome, UnavailableError) for outcome in outcomes)
    await database.check()
    await database.aclose()


async def test_a_unit_whose_caller_was_turned_away_commits_nothing(postgres_url: str) -> None:
    """Each statement is quick enough, all of them are not."""
    database = open_database(postgres_url, pool_size=2, timeout=1)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))

    def slow(connection: Connection) -> None:
        for number in range(4):
            note(number)(connection)
            connection.execute(text("SELECT pg_sleep(0.4)"))

    with pytest.raises(UnavailableError):
        await database.write(slow)
    await unused(database)
    assert await noted(database) == []
    await database.aclose()


def slow_note(number: int, *, seconds: float) -> Work:
    def work(connection: Connection) -> None:
        note(number)(connection)
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    return work


async def test_units_of_one_request_share_its_time(postgres_url: str) -> None:
    """Each alone is quick enough."""
    database = open_database(postgres_url, pool_size=2, timeout=10)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    with time_limit(1):
        await database.write(slow_note(1, seconds=0.7))
        with pytest.raises(UnavailableError):
            await database.write(slow_note(2, seconds=0.7))
        with pytest.raises(UnavailableError):
            await database.write(note(3))
    await unused(database)
    assert await noted(database) == [1]
    await database.aclose()


async def test_what_a_request_begins_is_not_bound_by_its_time(database: Database) -> None:
    with time_limit(0):
        begun = asyncio.create_task(database.write(note(1)))
        with pytest.raises(UnavailableError):
            await database.write(note(2))
    await begun
    await database.write(note(3))
    assert await noted(database) == [1, 3]


async def test_what_is_not_counted_takes_none_of_a_requests_time(database: Database) -> None:
    with time_limit(0.3):
        with not_counted():
            await asyncio.sleep(0.4)
        await database.write(note(1))
    assert await noted(database) == [1]


async def test_an_sqlite_unit_whose_caller_was_turned_away_is_never_begun(sqlite_url: str) -> None:
    database = open_database(sqlite_url, pool_size=2, timeout=5)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    begun, may_go_on = asyncio.Event(), Event()
    loop = asyncio.get_running_loop()

    def slow(connection: Connection) -> None:
        note(1)(connection)
        loop.call_soon_threadsafe(begun.set)
        assert may_go_on.wait(SECONDS)

    first = asyncio.create_task(database.write(slow))
    await begun.wait()
    with time_limit(0.05), pytest.raises(UnavailableError):
        await database.write(note(2))
    may_go_on.set()
    await first
    await database.write(note(3))
    assert await noted(database) == [1, 3]
    await database.aclose()


async def test_postgres_that_hangs_keeps_no_caller_longer_than_the_timeout() -> None:
    """Not even those who wait for a connection first, or for one to be made anew."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # its socket's path must be short
    postgres = await asyncio.to_thread(ListeningPostgres, folder, ports=range(24160, 24180))
    try:
        database = open_database(postgres.url, pool_size=2, timeout=1)
        await database.check()
        postgres.pause()
        async with asyncio.timeout(1.9):
            tries = [database.check() for _ in range(6)]
            outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 6
        async with asyncio.timeout(1.9):
            with pytest.raises(UnavailableError):
                await database.check()
        postgres.resume()
        await unused(database)
        await database.check()
        await database.aclose()
    finally:
        await asyncio.to_thread(postgres.aclose)
        shutil.rmtree(folder, ignore_errors=True)


INSERT = Prepared(Table("notes", MetaData(), Column("n", Integer)).insert().values(n=bindparam("n")))


async def test_what_is_written_after_a_begin_that_postgres_answered_too_late_is_kept(postgres_url: str) -> None:
    """The driver takes what follows for a part of that transaction, and nobody would ever commit it."""
    database = open_database(postgres_url, pool_size=1, timeout=1)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    backend = await database.read(lambda connection: connection.scalar(text("SELECT pg_backend_pid()")) or 0)

    def hang(connection: Connection) -> int:
        os.kill(backend, signal.SIGSTOP)
        return INSERT.run(connection, {"n": 1})

    try:
        with pytest.raises(UnavailableError):
            await database.write(hang)
    finally:
        os.kill(backend, signal.SIGCONT)
    await database.write(lambda connection: INSERT.run(connection, {"n": 2}))
    other = open_database(postgres_url, pool_size=1, timeout=5)
    assert await noted(other) == [2]
    for opened in (database, other):
        await opened.aclose()


async def test_what_a_machine_held_that_says_nothing_any_more_is_let_go(postgres_url: str) -> None:
    database = open_database(postgres_url, pool_size=1, timeout=1)
    other = open_database(postgres_url, pool_size=1, timeout=15)
    await database.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    await database.write(note(1))
    async with database._engine.connect() as silent:
        await silent.execute(text("UPDATE notes SET n = 2"))
        await other.write(lambda connection: connection.execute(text("UPDATE notes SET n = 3")))
        assert await noted(other) == [3]
        await silent.invalidate()
    await database.check()
    await database.aclose()
    await other.aclose()


CUT_ALL = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize("quiet_seconds", [0.0, SECONDS], ids=["asked before", "found out"])
async def test_postgres_connections_that_were_cut_are_replaced(
    postgres_url: str, quiet_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_QUIET_SECONDS", quiet_seconds)
    database = open_database(postgres_url, pool_size=3, timeout=5)
    other = open_database(postgres_url, pool_size=1, timeout=5)
    await asyncio.gather(*(database.check() for _ in range(3)))
    await other.write(lambda connection: connection.execute(CUT_ALL))
    await asyncio.gather(*(database.check() for _ in range(3)))
    await database.aclose()
    await other.aclose()


@pytest.mark.parametrize("prepared", [False, True])
async def test_postgres_is_read_again_where_the_connection_was_cut_meanwhile(
    postgres_url: str, *, prepared: bool
) -> None:
    database = open_database(postgres_url, pool_size=1, timeout=5)
    other = open_database(postgres_url, pool_size=1, timeout=5)
    begun: asyncio.Queue[int] = asyncio.Queue()

    def work(connection: Connection) -> int:
        connection.execute(text("SELECT 1"))
        begun.put_nowait(1)
        if prepared:
            return len(SLEEP.all(connection, {"seconds": 1}))
        return len(connection.execute(text("SELECT pg_sleep(1)")).all())

    reading = asyncio.create_task(database.read(work))
    await begun.get()
    await other.write(lambda connection: connection.execute(CUT_ALL))
    assert await reading == 1
    assert begun.qsize() == 1, "it ran twice"
    await database.aclose()
    await other.aclose()


@pytest.mark.parametrize("case", ["no server", "no such database", "refuses connections", "no file"])
async def test_a_database_that_is_not_there_is_unavailable(case: str, postgres_url: str, tmp_path: Path) -> None:
    present = make_url(postgres_url)
    url = {
        "no server": "postgresql://nobody@127.0.0.1:18599/nothing",
        "no such database": present.set(database="missing").render_as_string(hide_password=False),
        "refuses connections": postgres_url,
        "no file": f"sqlite:///{tmp_path}/missing/frontdesk.db",
    }[case]
    if case == "refuses connections":
        await _admin(postgres_url, f'ALTER DATABASE "{present.database}" CONNECTION LIMIT 0')
        await _admin(postgres_url, "CREATE ROLE visitor_of_nothing LOGIN")
        url = present.set(username="visitor_of_nothing").render_as_string(hide_password=False)
    database = open_database(url, pool_size=2, timeout=2)
    for attempt in (database.read, database.write):
        with pytest.raises(UnavailableError) as caught:
            await attempt(lambda connection: connection.execute(text("SELECT 1")).scalar_one())
        assert int(caught.value.headers["Retry-After"]) >= 1
        assert "visitor" not in caught.value.detail
    with pytest.raises(UnavailableError):
        await database.check()
    assert database.connections_in_use == 0
    await database.aclose()


async def _admin(url: str, statement: str) -> None:
    database = open_database(url, pool_size=1, timeout=5)
    await database.write(lambda connection: connection.execute(text(statement)))
    await database.aclose()


def key(name: str = "k", *, of: str = "p1", fingerprint: str = "f", later: timedelta = timedelta()) -> IdempotencyKey:
    return IdempotencyKey(of, name, fingerprint, NOW + later)


def effect(connection: Connection, which: IdempotencyKey, number: int) -> Once[int]:
    def work() -> int:
        note(number)(connection)
        return number

    return once(connection, which, int, effect=work)


async def test_100_at_once_with_one_key_have_one_effect(database: Database) -> None:
    async with asyncio.timeout(SECONDS):
        outcomes = await asyncio.gather(
            *(database.write(lambda connection, n=n: effect(connection, key(), n)) for n in range(100))
        )
    stored = await noted(database)
    assert len(stored) == 1
    assert {outcome.result for outcome in outcomes} == set(stored)
    assert [outcome.replayed for outcome in outcomes].count(False) == 1


async def test_a_key_for_another_request_is_refused(database: Database) -> None:
    await database.write(lambda connection: effect(connection, key(), 1))
    with pytest.raises(IdempotencyKeyReusedError):
        await database.write(lambda connection: effect(connection, key(fingerprint="other"), 2))
    with pytest.raises(IdempotencyKeyReusedError):
        await database.read(lambda connection: find_result(connection, key(fingerprint="other"), int))
    assert await noted(database) == [1]


async def test_a_key_belongs_to_its_principal(database: Database) -> None:
    await database.write(lambda connection: effect(connection, key(), 1))
    other = await database.write(lambda connection: effect(connection, key(of="p2", fingerprint="other"), 2))
    assert other == Once(2, replayed=False)
    assert await database.read(lambda connection: find_result(connection, key(of="p3"), int)) is None


async def test_an_effect_that_fails_leaves_its_key_free(database: Database) -> None:
    def fail(connection: Connection) -> None:
        def work() -> int:
            note(1)(connection)
            raise ConflictError

        once(connection, key(), int, effect=work)

    with pytest.raises(ConflictError):
        await database.write(fail)
    assert await database.write(lambda connection: effect(connection, key(), 2)) == Once(2, replayed=False)
    assert await noted(database) == [2]


async def test_a_key_lives_24_hours(database: Database) -> None:
    await database.write(lambda connection: effect(connection, key(), 1))
    almost, over = LIFETIME - timedelta(seconds=1), LIFETIME
    assert (await database.write(lambda connection: effect(connection, key(later=almost), 2))).replayed
    taken_over = await database.write(lambda connection: effect(connection, key(fingerprint="new", later=over), 3))
    assert taken_over == Once(3, replayed=False)
    again = await database.write(lambda connection: effect(connection, key(fingerprint="new", later=over), 4))
    assert again == Once(3, replayed=True)
    assert await noted(database) == [1, 3]


async def test_expired_keys_are_purged(database: Database) -> None:
    await database.write(lambda connection: effect(connection, key("old"), 1))
    await database.write(lambda connection: effect(connection, key("new", later=timedelta(hours=1)), 2))
    assert await database.write(lambda connection: purge_expired(connection, NOW + LIFETIME)) == 1
    assert await database.read(lambda connection: find_result(connection, key("new"), int)) is not None


async def test_without_a_key_every_request_has_its_effect(database: Database) -> None:
    for number in (1, 2):
        done = await database.write(lambda connection, n=number: once(connection, None, int, effect=lambda: n))
        assert done == Once(number, replayed=False)
