"""What keeps the indexes up to date in a process, run again and again by its owner."""

from datetime import datetime

from frontdesk.database import Database
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.retrieval import entries, outbox
from frontdesk.retrieval.draining import Drain
from frontdesk.retrieval.outbox import Backlog
from frontdesk.retrieval.rebuilding import Rebuild
from frontdesk.retrieval.vectors import Meaning


class Indexer:
    """Any number of processes may have one. `rows` and `lag` tell of the outbox as it was last seen, `owner`
    is its name in leases.
    """

    def __init__(self, *, database: Database, clock: Clock, meaning: Meaning) -> None:
        self.owner = owner = new_id()
        self._database = database
        self._clock = clock
        self._drain = Drain(database=database, clock=clock, meaning=meaning, owner=owner)
        self._rebuild = Rebuild(database=database, clock=clock, meaning=meaning, owner=owner)
        self._backlog = Backlog(0, None)

    @property
    def rows(self) -> int:
        return self._backlog.rows

    @property
    def lag(self) -> float:
        """Seconds that the oldest row has waited."""
        oldest: datetime | None = self._backlog.oldest
        return 0.0 if oldest is None else max(0.0, (self._clock.now() - oldest).total_seconds())

    async def run(self) -> None:
        """Until there is nothing to do now: changes first, and between two batches of them one of a rebuilding."""
        is_busy = True
        while is_busy:
            self._backlog = await self._database.read(outbox.measure)
            drained = await self._drain.step()
            built = await self._rebuild.step()
            is_busy = drained or built
        if self._drain.has_removed:
            await self._forget_removed()
        self._backlog = await self._database.read(outbox.measure)

    async def _forget_removed(self) -> None:
        """In steps between which others write."""
        self._drain.has_removed = False
        begin = True
        while await self._database.write(lambda connection: entries.forget_removed(connection, begin=begin)):  # noqa: B023
            begin = False

    async def rebuild(self) -> bool:
        """One batch of a rebuilding alone; False when there is none, or none that this process can go on with."""
        return await self._rebuild.step()
