"""A request waits for PostgreSQL no longer than one time limit, however many units of work it makes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import pytest
from sqlalchemy import Connection, text

from frontdesk.database import Database, open_database
from frontdesk.identity.standings import MAX_AGE
from harness.callers import Caller, founder
from harness.identities import settings_for
from harness.served import served

LIMIT = 2.0
HELD = 1.4  # of the limit; twice that is over it


@pytest.fixture
async def owner(postgres_url: str) -> AsyncIterator[Caller]:
    async with served(settings_for(postgres_url, database_timeout_seconds=LIMIT)) as client:
        yield await founder(client)


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[Database]:
    database = open_database(postgres_url, pool_size=2, timeout=30)
    yield database
    await database.aclose()


@asynccontextmanager
async def locked(database: Database, table: str, *, seconds: float) -> AsyncIterator[None]:
    """Nobody reads the table for so long."""
    loop, has_lock = asyncio.get_running_loop(), asyncio.Event()

    def lock(connection: Connection) -> None:
        connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        loop.call_soon(has_lock.set)
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})

    holding = asyncio.create_task(database.write(lock))
    try:
        await has_lock.wait()
        yield
    finally:
        await holding


async def test_authentication_and_the_routes_own_unit_share_one_limit(owner: Caller, other: Database) -> None:
    thread = await owner.made("POST", "/threads", json={"title": "before"})
    await asyncio.sleep(MAX_AGE)  # what is known of the caller counts no more
    async with locked(other, "users", seconds=HELD), locked(other, "threads", seconds=3 * HELD):
        begun = perf_counter()
        answer = await owner.send("PATCH", f"/threads/{thread['id']}", json={"title": "after"})
        took = perf_counter() - begun
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert HELD / 2 < took < LIMIT + 0.9, f"{took:.2f} s, and {HELD + LIMIT:.1f} s with two limits"
    assert (await owner.made("GET", f"/threads/{thread['id']}"))["title"] == "before"


async def test_a_body_that_comes_slowly_takes_none_of_it(owner: Caller) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"title":'
        await asyncio.sleep(LIMIT + 0.2)
        yield b'"slow"}'

    answer = await owner.send("POST", "/threads", content=slowly(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json().get("title")) == (201, "slow")
