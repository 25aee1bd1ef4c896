"""Several processes write to one SQLite file: none of them starves, and none that dies holds up the others."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Connection, make_url, text

from frontdesk.database import Database, open_database
from harness.processes import SOURCE, Process

SECONDS = 30
LONG = text("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 300000) SELECT max(n) FROM c")
WAIT_TO_WRITE = """
import asyncio, sys
from sqlalchemy import text
from frontdesk.database import open_database

database = open_database(sys.argv[1], pool_size=1, timeout=60)
asyncio.run(database.write(lambda connection: connection.execute(text("INSERT INTO notes VALUES (-1)"))))
"""


@pytest.fixture
def path(sqlite_url: str) -> Path:
    return Path(make_url(sqlite_url).database or "")


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    opened = open_database(sqlite_url, pool_size=1, timeout=5)
    await opened.write(lambda connection: connection.execute(text("CREATE TABLE notes (n INTEGER PRIMARY KEY)")))
    yield opened
    await opened.aclose()


def turns(path: Path) -> Path:
    return Path(f"{path}-turns")


def is_taken(path: Path) -> bool:
    return turns(path).read_bytes() == b"\1"


def make_for_another(path: Path) -> None:
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE notes (n INTEGER PRIMARY KEY)")
    path.chmod(0o664)
    with suppress(PermissionError):  # only root gives files away
        os.chown(path, 12345, 12345)


def rights(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid


async def write(database: Database, number: int) -> None:
    await database.write(lambda connection: connection.execute(text("INSERT INTO notes VALUES (:n)"), {"n": number}))


async def test_who_waits_comes_before_who_has_just_written(database: Database, sqlite_url: str) -> None:
    busy = open_database(sqlite_url, pool_size=1, timeout=5)
    written = 0

    def write_long(connection: Connection) -> None:
        nonlocal written
        connection.execute(LONG)
        written += 1

    async def write_on_and_on() -> None:
        while True:
            await busy.write(write_long)

    waited = []
    await busy.write(write_long)
    writing = asyncio.create_task(write_on_and_on())
    for number in range(20):
        before = written
        await write(database, number)
        waited.append(written - before)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await busy.aclose()
    assert any(waited)
    assert max(waited) <= 3  # the one that it found, and what began before it had asked


def die(process: Process) -> None:
    process.kill()


def stand_still(process: Process) -> None:
    process.send(signal.SIGSTOP)
    process.await_ready(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, seconds=SECONDS)


@pytest.mark.parametrize("end", [die, stand_still])
async def test_who_ends_with_the_turn_holds_nobody_up(
    database: Database, sqlite_url: str, path: Path, tmp_path: Path, end: Callable[[Process], None]
) -> None:
    (tmp_path / "waiter.py").write_text(WAIT_TO_WRITE)
    folders = {"PYTHONPATH": f"{tmp_path}:{SOURCE}"}
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as holder,
        Process("waiter", sqlite_url, log=tmp_path / "waiter.log", environment=folders) as waiter,
    ):
        holder.execute("BEGIN IMMEDIATE")
        await asyncio.to_thread(waiter.await_ready, lambda: is_taken(path), seconds=SECONDS)
        await asyncio.to_thread(end, waiter)
        holder.execute("ROLLBACK")
        async with asyncio.timeout(SECONDS):
            for number in range(20):
                await write(database, number)
        assert await database.read(lambda connection: connection.scalar(text("SELECT max(n) FROM notes"))) == 19
        if end is die:
            assert not is_taken(path)
        else:
            waiter.kill()


async def test_who_may_use_the_database_may_take_turns_on_it(sqlite_url: str, path: Path) -> None:
    make_for_another(path)
    opened = open_database(sqlite_url, pool_size=1, timeout=5)
    await write(opened, 1)
    await opened.aclose()
    assert rights(turns(path)) == rights(path)
