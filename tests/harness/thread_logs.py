"""Every adapter of the thread log, made for the tests that all of them must pass."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
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

    `advance` moves their time.
    """

    log: ThreadLog
    reading: ThreadLog
    advance: Callable[[float], None]

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


Make = Callable[[], AbstractAsyncContextManager[Made]]


@asynccontextmanager
async def in_process() -> AsyncIterator[Made]:
    clock = HeldClock()
    log = InProcessThreadLog(clock=clock, retention=RETENTION, retained_bytes=RETAINED_BYTES, thread_bytes=THREAD_BYTES)
    yield Made(log, log, clock.advance)
    await log.aclose()


ADAPTERS: dict[str, Make] = {"in_process": in_process}
