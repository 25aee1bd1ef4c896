"""A generation of the index filled from what is stored, a batch at a time, beside what changes meanwhile.

The place is stored with each batch, so that whoever takes it up after a death goes on there. A batch is compared with
what is stored once more after it was brought in: what has changed in between goes through the outbox again.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import SearchIndexError
from frontdesk.kit.clock import Clock
from frontdesk.retrieval import entries, generations, outbox
from frontdesk.retrieval.entries import Analysis
from frontdesk.retrieval.models import Generation, IndexedMessage
from frontdesk.retrieval.vectors import FAILURES, Meaning, collection_of

BATCH = 32
LEASE_SECONDS = 30.0
_RETRY_SECONDS = 5.0
_RETIRED_SECONDS = 10.0  # longer than any question takes that began on it


class Rebuild:
    """`owner` names the process in the leases."""

    def __init__(self, *, database: Database, clock: Clock, meaning: Meaning, owner: str) -> None:
        self._database = database
        self._clock = clock
        self._meaning = meaning
        self._owner = owner
        self._retry_at = 0.0

    async def step(self) -> bool:
        """One batch of what is unfinished; False when there is nothing that this process can do about it now."""
        if self._clock.monotonic() < self._retry_at:
            return False
        row = await self._database.read(generations.find_unfinished)
        if row is None:
            return await self._find_work()
        try:
            taken = await self._take_up(row)
            return taken is not None and await self._fill(taken)
        except FAILURES as error:
            await self._note(row, error)
            return False

    async def _find_work(self) -> bool:
        """The first generation of all, and what was retired."""
        now = self._clock.now()
        before = now - timedelta(seconds=_RETIRED_SECONDS)
        live, retired = await self._database.read(
            lambda connection: (generations.find_live(connection), generations.list_retired(connection, before=before))
        )
        try:
            for row in retired:
                await self._meaning.drop(row)
                await self._database.write(lambda connection: generations.forget(connection, row.generation))  # noqa: B023  awaited here
        except FAILURES:
            self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
        if live is not None:
            return False
        return await self._database.write(lambda connection: generations.ensure_first(connection, now=now)) is not None

    async def _take_up(self, row: Generation) -> Generation | None:
        made: dict[str, str | int | None] = {"model": None, "dimension": None}
        if self._meaning.is_configured:
            made = {**await self._meaning.made()}
        taken = await self._database.write(
            lambda connection: generations.take_up(
                connection, row.generation, self._owner, now=self._clock.now(), lease=LEASE_SECONDS, made=made
            )
        )
        if taken is not None and taken.cursor is None and self._meaning.is_configured:
            await self._meaning.create(taken)
        return taken

    async def _fill(self, taken: Generation) -> bool:
        batch = await self._database.read(lambda connection: entries.list_behind(connection, taken.cursor, limit=BATCH))
        if not batch:
            now = self._clock.now()
            return await self._database.write(lambda connection: generations.complete(connection, taken, now=now))
        analyses = await asyncio.to_thread(entries.analyse, batch)
        if self._meaning.is_configured:
            await self._meaning.put([collection_of(taken)], batch)
        return await self._database.write(lambda connection: self._settle(connection, taken, batch, analyses=analyses))

    def _settle(
        self,
        connection: Connection,
        taken: Generation,
        batch: Sequence[IndexedMessage],
        *,
        analyses: Sequence[Analysis],
    ) -> bool:
        now = self._clock.now()
        if not generations.advance(
            connection, taken, cursor=batch[-1].id, done=len(batch), now=now, lease=LEASE_SECONDS
        ):
            return False
        changed = _changed(connection, batch)
        entries.put(connection, [each for each in analyses if each.message_id not in changed])
        for message_id in changed:
            outbox.queue_message(connection, message_id, at=now)
        return True

    async def _note(self, row: Generation, error: Exception) -> None:
        self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
        now, problem, lost = self._clock.now(), str(error), isinstance(error, SearchIndexError)
        await self._database.write(lambda connection: _store_problem(connection, row, problem, lost=lost, now=now))


def _store_problem(connection: Connection, row: Generation, problem: str, *, lost: bool, now: datetime) -> None:
    """What was lost is begun anew."""
    generations.note_problem(connection, row.generation, problem, now=now)
    if lost:
        generations.begin_anew(connection, row.generation, now=now)


def _changed(connection: Connection, batch: Sequence[IndexedMessage]) -> set[str]:
    """Those that are not stored any more as they were read."""
    now = {message.id: message for message in entries.list_indexable(connection, [each.id for each in batch])}
    return {each.id for each in batch if now.get(each.id) != each}
