"""Every adapter of the thread log, made for the tests that all of them must pass."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import Redis

from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
from frontdesk.adapters.thread_log.redis import RedisThreadLog
from frontdesk.kit.clock import HeldClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.thread_log import EventType, ThreadLog

RETENTION = 60.0
RETAINED_BYTES = 400_000
THREAD_BYTES = 200_000
SECONDS = 10


@dataclass
class Made:
    """A log that is written to and one that is read from: the same, or one of another process.

    `advance` moves their time, which need not be that of a server behind them.
    """

    log: ThreadLog
    reading: ThreadLog
    advance: Callable[[float], None]
    has_server: bool = True

    async def settle(self) -> None:
        """Wait until all that was appended has come to where it is read: what comes last has."""
        last = new_id()
        follower = await self.reading.follow(last)
        came = asyncio.Event()
        follower.on_ready(came.set)
        self.log.announce(last, entries=[(EventType.message_added, b"{}")])
        async with asyncio.timeout(SECONDS):
            while not follower.take():
                await came.wait()
                came.clear()
        follower.close()

    def end_retention(self) -> None:
        self.pass_time(RETENTION + 1)

    def pass_time(self, seconds: float) -> None:
        """Time goes on, and an answer ends in another thread, as they do."""
        self.advance(seconds)
        self.log.append("elsewhere", new_id(), 1, entries=[(EventType.execution_completed, b"{}")])


Make = Callable[[str], AbstractAsyncContextManager[Made]]
BOUNDS = {"retention": RETENTION, "retained_bytes": RETAINED_BYTES, "thread_bytes": THREAD_BYTES}


@asynccontextmanager
async def in_process(_: str) -> AsyncIterator[Made]:
    clock = HeldClock()
    log = InProcessThreadLog(clock=clock, **BOUNDS)
    yield Made(log, log, clock.advance, has_server=False)
    await log.aclose()


@asynccontextmanager
async def redis(url: str) -> AsyncIterator[Made]:
    """Written and read in one process."""
    clock = HeldClock()
    async with emptied(url):
        log = RedisThreadLog(url, clock=clock, runs_answers=True, **BOUNDS)
        yield Made(log, log, clock.advance)
        await log.aclose()


@asynccontextmanager
async def redis_elsewhere(url: str) -> AsyncIterator[Made]:
    """Written in one process, read in another."""
    clock = HeldClock()
    async with emptied(url):
        log, reading = (RedisThreadLog(url, clock=clock, runs_answers=runs, **BOUNDS) for runs in (True, False))
        yield Made(log, reading, clock.advance)
        await log.aclose()
        await reading.aclose()


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[None]:
    client = Redis.from_url(url)
    await client.flushall()
    yield
    await client.aclose()


ADAPTERS: dict[str, Make] = {"in_process": in_process, "redis": redis, "redis_elsewhere": redis_elsewhere}
