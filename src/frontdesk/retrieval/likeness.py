"""Search by meaning: the nearest vectors of the asker's own, of threads that they might see as they asked.

Who shows a match asks the database once more: a message may be gone whose vector is still there.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import SearchIndexError
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Neighbour, Where
from frontdesk.retrieval import generations, outbox, repository
from frontdesk.retrieval.models import Generation
from frontdesk.retrieval.repository import Match, Scope
from frontdesk.retrieval.vectors import Meaning

_FIRST = 100
_MOST = 6_400
_GROWTH = 4
_SUPPORT = 0.25  # of a thread's second best message


class Alike(msgspec.Struct, frozen=True):
    """One match of each thread, best first, and the same with scores in which a thread's second message counts a bit.
    `notice` says so when the index is still being filled.
    """

    matches: list[Match]
    supported: list[Match]
    notice: str | None = None


class Likeness:
    """`least` is the cosine similarity below which nothing is found."""

    def __init__(self, *, database: Database, meaning: Meaning, least: float) -> None:
        self._database = database
        self._meaning = meaning
        self._least = least

    async def find(self, scope: Scope, question: str, *, wanted: int) -> Alike:
        """At least `wanted` threads, if there are so many. Raises `SearchIndexError` and `UnavailableError`."""
        vector, (live, where) = await asyncio.gather(self._meaning.embed_question(question), self._look_up(scope))
        try:
            return await self._find(live, vector, where=where, wanted=wanted)
        except SearchIndexError:
            successor, where = await self._look_up(scope)
            if successor.generation == live.generation:
                raise
        return await self._find(successor, vector, where=where, wanted=wanted)

    async def _look_up(self, scope: Scope) -> tuple[Generation, Where]:
        live, where = await self._database.read(
            lambda connection: (generations.find_live(connection), _where(connection, scope))
        )
        if live is None or (live.model is None and not live.is_complete):
            raise SearchIndexError("The search index has not been begun yet")
        return live, where

    async def _find(self, live: Generation, vector: Vectors, *, where: Where, wanted: int) -> Alike:
        collection = await self._meaning.collection(live)
        count = max(_FIRST, 2 * wanted)
        while True:
            near = await self._meaning.nearest(collection, vector, where=where, count=count)
            alike = [neighbour for neighbour in near if neighbour.similarity >= self._least]
            matches, supported = _of_threads(alike)
            if len(matches) >= wanted or len(alike) < count or count >= _MOST:
                break
            count *= _GROWTH
        total = max(live.total, live.done)  # more are said meanwhile
        notice = None if live.is_complete else f"The search index is being filled: {live.done} of {total} messages"
        return Alike(matches, supported, notice)


def _of_threads(alike: Sequence[Neighbour]) -> tuple[list[Match], list[Match]]:
    """`matches` and `supported`."""
    near: dict[str, list[Neighbour]] = {}
    for neighbour in alike:
        near.setdefault(neighbour.group, []).append(neighbour)
    matches = [Match(found[0].id, thread_id, found[0].similarity) for thread_id, found in near.items()]
    least = alike[-1].similarity if alike else 0.0

    def supported(match: Match) -> Match:
        second = near[match.thread_id][1:2]
        score = match.score + _SUPPORT * (second[0].similarity if second else least)
        return msgspec.structs.replace(match, score=score)

    return matches, sorted(map(supported, matches), key=lambda match: -match.score)


def _where(connection: Connection, scope: Scope) -> Where:
    """Threads are named where the index may hold some that the asker may not see: all others are not worth a list."""
    principal, filters = scope.principal, scope.filters
    is_limited = principal.products is not None or principal.agents is not None
    groups = None
    if is_limited or outbox.has_hidden(connection, principal.id):
        groups = repository.list_threads(connection, principal)
    labels = {"role": filters.role, "model": filters.model}
    return Where(
        owner=principal.id,
        groups=groups,
        labels={name: value for name, value in labels.items() if value is not None},
        since=None if filters.since is None else filters.since.timestamp(),
        until=None if filters.until is None else filters.until.timestamp(),
    )
