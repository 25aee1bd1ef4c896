"""What must be thrown away from time to time: expired idempotency keys and whatever else registers itself."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from frontdesk.database import Database
from frontdesk.database.idempotency import purge_expired
from frontdesk.kit.clock import Clock

_INTERVAL_SECONDS = 600.0
Chore = Callable[[datetime], Awaitable[object]]


class Housekeeping:
    def __init__(self, *, database: Database, clock: Clock, chores: Sequence[Chore] = ()) -> None:
        self._database = database
        self._clock = clock
        self._chores = chores
        self._due = clock.monotonic() + _INTERVAL_SECONDS

    async def run_if_due(self) -> None:
        if self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + _INTERVAL_SECONDS
        now = self._clock.now()
        await self._database.write(lambda connection: purge_expired(connection, now))
        for chore in self._chores:
            await chore(now)
