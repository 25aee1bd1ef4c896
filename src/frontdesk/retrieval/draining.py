"""From the outbox into the indexes, in batches, by any process: what one has claimed no other takes.

Words come first, since they take less time than vectors. While there can be no vectors, the rows wait for them.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Self

import msgspec
import structlog
from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.kit.clock import Clock
from frontdesk.ports.vector_index import Collection
from frontdesk.retrieval import entries, generations, outbox
from frontdesk.retrieval.entries import Analysis
from frontdesk.retrieval.models import Generation, GenerationState, IndexedMessage, Subject
from frontdesk.retrieval.outbox import Claimed
from frontdesk.retrieval.vectors import FAILURES, Meaning

BATCH = 16
_LEASE_SECONDS = 120.0  # a slow model on a busy machine takes seconds for each message
_RETRY_SECONDS = 5.0
_logger = structlog.get_logger(__name__)


class _Found(msgspec.Struct, frozen=True):
    """How what the rows name is stored now. `gone` are ids of messages, the threads' are apart."""

    present: Sequence[IndexedMessage]
    gone: Sequence[str]
    hidden: Sequence[str]
    shown: Sequence[str]

    def only(self, subjects: set[str]) -> Self:
        return msgspec.structs.replace(
            self,
            present=[message for message in self.present if message.id in subjects],
            gone=[each for each in self.gone if each in subjects],
            hidden=[each for each in self.hidden if each in subjects],
        )


class Drain:
    """`has_removed` since a thread was taken off, until its owner takes that back."""

    def __init__(self, *, database: Database, clock: Clock, meaning: Meaning, owner: str) -> None:
        self._database = database
        self._clock = clock
        self._meaning = meaning
        self._owner = owner
        self.has_removed = False
        self._retry_at = 0.0
        self._told: str | None = None

    async def step(self) -> bool:
        """One batch; False when there is none. Raises `UnavailableError` when the database is away."""
        targets = await self._find_targets()
        now = self._clock.now()
        claimed = await self._database.write(
            lambda connection: outbox.claim(
                connection,
                self._owner,
                now=now,
                lease=_LEASE_SECONDS,
                limit=BATCH,
                with_words=targets is not None,
            )
        )
        if not claimed:
            return False
        try:
            await self._index(claimed, targets)
        except asyncio.CancelledError:
            subjects = [row.subject for row in claimed]
            await self._database.write(lambda connection: outbox.give_back(connection, self._owner, subjects))
            raise
        return True

    async def _index(self, claimed: Sequence[Claimed], targets: Sequence[Collection] | None) -> None:
        found = await self._database.read(lambda connection: _find(connection, claimed))
        lacking = {row.subject for row in claimed if not row.has_words}
        analyses = await asyncio.to_thread(entries.analyse, [each for each in found.present if each.id in lacking])
        settled = await self._database.write(
            lambda connection: self._settle_words(connection, claimed, found, analyses=analyses)
        )
        reached = targets is not None and await self._bring(targets, found.only(settled))
        rest = [row for row in claimed if row.subject in settled]
        await self._database.write(lambda connection: self._settle(connection, rest, reached=reached))

    async def _find_targets(self) -> list[Collection] | None:
        """The collections that vectors go to; none where search has no vectors, None while they cannot be brought."""
        if not self._meaning.is_configured:
            return []
        if self._clock.monotonic() < self._retry_at:
            return None
        in_use = await self._database.read(generations.list_in_use)
        try:
            targets = await self._collections(in_use)
        except FAILURES as error:
            self._fail(error.detail)
            return None
        self._told = None
        return targets

    async def _collections(self, in_use: Sequence[Generation]) -> list[Collection]:
        """One that nobody has begun to fill will be filled from what is stored then."""
        begun = [row for row in in_use if row.model is not None or row.is_complete]
        made = await self._meaning.made()
        replaced = [
            row
            for row in begun
            if row.state is GenerationState.live and (row.model, row.dimension) != (made["model"], made["dimension"])
        ]
        if replaced and len(begun) > len(replaced):  # it answers no question any more, and its successor is under way
            begun = [row for row in begun if row not in replaced]
        return [await self._meaning.collection(row) for row in begun]

    async def _bring(self, targets: Sequence[Collection], found: _Found) -> bool:
        if not targets:
            return True
        try:
            await self._meaning.put(targets, found.present)
            await self._meaning.remove(targets, messages=found.gone, threads=found.hidden)
        except FAILURES as error:
            self._fail(error.detail)
            return False
        return True

    def _fail(self, reason: str) -> None:
        self._retry_at = self._clock.monotonic() + _RETRY_SECONDS
        if self._told != reason:
            _logger.warning("search index waits", reason=reason)
        self._told = reason

    def _settle_words(
        self, connection: Connection, claimed: Sequence[Claimed], found: _Found, *, analyses: Sequence[Analysis]
    ) -> set[str]:
        """The subjects that are still as they were found; their words are stored, and they remain claimed."""
        now = self._clock.now()
        settled = outbox.list_settled(connection, self._owner, claimed, at=now)
        entries.put(connection, [each for each in analyses if each.message_id in settled])
        entries.remove(connection, settled.intersection(found.gone))
        entries.remove_threads(connection, settled.intersection(found.hidden))
        self.has_removed = self.has_removed or not settled.isdisjoint(found.hidden)
        if shown := settled.intersection(found.shown):
            outbox.queue_messages_of(connection, shown, at=now)
        return settled

    def _settle(self, connection: Connection, claimed: Sequence[Claimed], *, reached: bool) -> None:
        """What has changed while its vectors were brought in is done once more."""
        now = self._clock.now()
        settled = outbox.list_settled(connection, self._owner, claimed, at=now)
        if reached:
            outbox.take_off(connection, settled)
        else:
            until = now + timedelta(seconds=_RETRY_SECONDS)
            outbox.release(connection, settled, until=until, has_words=True)


def _find(connection: Connection, claimed: Sequence[Claimed]) -> _Found:
    message_ids = [row.subject for row in claimed if row.kind is Subject.message]
    thread_ids = [row.subject for row in claimed if row.kind is Subject.thread]
    present = entries.list_indexable(connection, message_ids)
    there = {message.id for message in present}
    live = entries.list_live_threads(connection, thread_ids)
    return _Found(
        present,
        gone=[each for each in message_ids if each not in there],
        hidden=[each for each in thread_ids if each not in live],
        shown=[each for each in thread_ids if each in live],
    )
