"""Every adapter of the thread log, made for the tests that all of them must pass."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
from frontdesk.kit.clock import HeldClock
from frontdesk.ports.thread_log import EventType, ThreadLog

RETENTION = 60.0
RETAINED_BYTES = 400_000
THREAD_BYTES = 200_000


@dataclass
class Made:
    """A log and what a test needs to move its time. `end_retention` lets what has finished by now leave."""

    log: ThreadLog
    advance: Callable[[float], None]

    def end_retention(self) -> None:
        self.pass_time(RETENTION + 1)

    def pass_time(self, seconds: float) -> None:
        """Time goes on, and something happens in another thread, as it does."""
        self.advance(seconds)
        self.log.append("elsewhere", "", 0, entries=[(EventType.message_added, b"{}")])


Make = Callable[[], AbstractAsyncContextManager[Made]]


@asynccontextmanager
async def in_process() -> AsyncIterator[Made]:
    clock = HeldClock()
    log = InProcessThreadLog(clock=clock, retention=RETENTION, retained_bytes=RETAINED_BYTES, thread_bytes=THREAD_BYTES)
    yield Made(log, clock.advance)
    await log.aclose()


ADAPTERS: dict[str, Make] = {"in_process": in_process}
