"""Ends what is open in this process once the credential that it was opened with counts no more, whoever has ended that
and wherever: a sign-out, a password, a suspension, a role, a visit that is over.

However much is open, the database is asked once a round, and says nothing as long as nothing happens.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable
from datetime import timedelta
from typing import Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.identity.holders import Holder
from frontdesk.identity.standings import Standing, Standings, read_moved
from frontdesk.kit.clock import Clock
from frontdesk.public_chat.sessions.repository import list_closed

HOLDER = "frontdesk.holder"  # in a request's scope, where it was admitted by what can be revoked
_ROUND_SECONDS = 1.0
K = TypeVar("K", bound=Hashable)
_SLACK = timedelta(minutes=1)  # by which clocks may differ, and a change may be older than its commit


class Held(Protocol):
    """What was opened with a credential and goes on. A holder of None has none that could be revoked."""

    @property
    def holder(self) -> Holder | None: ...

    def revoke(self) -> None:
        """End it: its credential counts no more."""
        ...

    def readmit(self, holder: Holder) -> None:
        """Its holder has changed. Where other things are permitted now, end it: who comes again is admitted by that."""
        ...


class Revocations:
    def __init__(self, database: Database, standings: Standings, clock: Clock) -> None:
        self._database = database
        self._standings = standings
        self._clock = clock
        self._users: defaultdict[tuple[str, int], set[Held]] = defaultdict(set)
        self._visits: defaultdict[str, set[Held]] = defaultdict(set)
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def add(self, held: Held) -> None:
        """Watch over it, until it is removed with the same version and the same visit."""
        holder = held.holder
        if holder is not None and holder.version is not None:
            self._users[holder.principal.id, holder.version].add(held)
        if holder is not None and holder.visit is not None:
            self._visits[holder.visit].add(held)

    def remove(self, held: Held) -> None:
        holder = held.holder
        if holder is not None and holder.version is not None:
            _discard(self._users, (holder.principal.id, holder.version), held)
        if holder is not None and holder.visit is not None:
            _discard(self._visits, holder.visit, held)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            self._end_expired()
            try:
                await self._look()
            except UnavailableError:  # the next round asks again
                continue

    def _end_expired(self) -> None:
        now = self._clock.now().timestamp()
        for held in _all(self._users.values()):
            if held.holder is not None and held.holder.expires_at is not None and held.holder.expires_at <= now:
                held.revoke()

    async def _look(self) -> None:
        users, visits, since = list(self._users), list(self._visits), self._clock.now() - _SLACK
        if not users and not visits:
            return

        def work(connection: Connection) -> tuple[dict[str, Standing | None], list[str]]:
            moved = read_moved(connection, users, since=since) if users else {}
            return moved, list_closed(connection, visits) if visits else []

        moved, closed = await self._database.read(work)
        for user_id in moved:  # who comes again at once is admitted by how it is now
            self._standings.forget(user_id)
        for held in _all(self._visits.get(visit, ()) for visit in closed):
            held.revoke()
        for key in [key for key in self._users if key[0] in moved]:
            for held in tuple(self._users.get(key, ())):
                _tell(held, moved[key[0]], version=key[1])


def _tell(held: Held, standing: Standing | None, *, version: int) -> None:
    before = held.holder
    if standing is None or not standing.counts(version):
        held.revoke()
    elif before is not None and before.principal != standing.principal:
        held.readmit(msgspec.structs.replace(before, principal=standing.principal))


def _all(sets: Iterable[Iterable[Held]]) -> list[Held]:
    return [held for some in sets for held in some]


def _discard(held_by: dict[K, set[Held]], key: K, held: Held) -> None:
    some = held_by.get(key, set())
    some.discard(held)
    if not some:
        held_by.pop(key, None)
