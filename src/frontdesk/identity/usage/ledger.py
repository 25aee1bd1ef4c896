"""What was used, on its way into the database: added up in memory, written one batch at a time."""

import asyncio
from contextlib import suppress

import structlog

from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.identity.usage import repository
from frontdesk.identity.usage.models import Spent, UsageDay

MAX_ROWS = 100_000  # that wait while the database is away; what comes beyond is lost, and said
_AGAIN_SECONDS = 1.0
_logger = structlog.get_logger(__name__)


class UsageLedger:
    """A batch is written as soon as the one before it is, so what waits is what came meanwhile.

    A process that is killed loses what it has not written: a moment's worth. Closing writes the rest.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UsageDay, Spent] = {}
        self._woken = asyncio.Event()
        self._closing = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._writing = asyncio.create_task(self._write_on())

    async def aclose(self) -> None:
        self._closing.set()
        self._woken.set()
        if self._writing is not None:
            await self._writing

    def add(self, day: UsageDay, spent: Spent) -> None:
        known = self._waiting.get(day)
        if known is None and len(self._waiting) >= MAX_ROWS:
            _logger.error("usage is not counted: the database has been away for too long")
            return
        self._waiting[day] = spent if known is None else known + spent
        self._woken.set()

    async def _write_on(self) -> None:
        while not self._closing.is_set():
            await self._woken.wait()
            self._woken.clear()
            if not await self._write() and not self._closing.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _AGAIN_SECONDS)
                self._woken.set()
        if not await self._write():
            _logger.error("usage is lost: the database is away", rows=len(self._waiting))

    async def _write(self) -> bool:
        batch, self._waiting = self._waiting, {}
        if not batch:
            return True
        try:
            await self._database.write(lambda connection: repository.add(connection, batch))
        except UnavailableError:
            for day, spent in self._waiting.items():
                batch[day] = batch[day] + spent if day in batch else spent
            self._waiting = batch
            return False
        return True
