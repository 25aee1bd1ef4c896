"""Threads of messages put straight into a database, and the search over them as a server has it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert

from frontdesk.conversation.messages.models import messages
from frontdesk.conversation.threads.models import threads
from frontdesk.database import Database
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.embedder import Embedder
from frontdesk.ports.vector_index import VectorIndex
from frontdesk.retrieval.indexing import Indexer
from frontdesk.retrieval.likeness import Likeness
from frontdesk.retrieval.repository import Filters, Scope
from frontdesk.retrieval.service import Findings, Mode, Question, SearchService
from frontdesk.retrieval.vectors import Meaning

ROWS = 2_000
LEAST_SIMILARITY = 0.3  # what the settings have


class Said(NamedTuple):
    """A thread to be: whose it is, what is said in it and by which model it was answered."""

    owner: str
    texts: Sequence[str]
    model: str | None = None


async def store(database: Database, said: Iterator[Said]) -> list[str]:
    """The ids of the threads, in the order given."""
    ids: list[str] = []
    while batch := list(islice(said, ROWS // 10)):
        made = [(new_id(), each) for each in batch]
        await database.write(lambda connection: _insert(connection, made))  # noqa: B023  awaited here
        ids.extend(thread_id for thread_id, _ in made)
    return ids


def _insert(connection: Connection, made: Sequence[tuple[str, Said]]) -> None:
    now = datetime.now(UTC)
    connection.execute(insert(threads), [_thread(thread_id, said, now) for thread_id, said in made])
    connection.execute(insert(messages), [row for thread_id, said in made for row in _messages(thread_id, said, now)])


def _thread(thread_id: str, said: Said, now: datetime) -> dict[str, Any]:
    moments = dict.fromkeys(("created_at", "updated_at", "last_message_at", "activity_at"), now)
    nothing = dict.fromkeys(("title", "summary", "active_execution_id", "leaf_message_id"))
    counted = {"message_count": len(said.texts), "is_deleted": False, "metadata": {}}
    return {"id": thread_id, "user_id": said.owner, **moments, **nothing, **counted}


def _messages(thread_id: str, said: Said, now: datetime) -> Iterator[dict[str, Any]]:
    nothing = dict.fromkeys(("sender_id", "execution_id", "parent_id", "usage"))
    for position, text in enumerate(said.texts, start=1):
        yield {
            "id": new_id(),
            "thread_id": thread_id,
            "position": position,
            "role": "user" if position % 2 else "assistant",
            "text": text,
            "status": "completed",
            "model": None if position % 2 else said.model,
            "metadata": {},
            "created_at": now,
            "updated_at": now,
            **nothing,
        }


class Searching:
    """`indexer` brings in what is stored; nothing does so by itself."""

    def __init__(self, database: Database, meaning: Meaning) -> None:
        self._clock = SystemClock()
        self.indexer = Indexer(database=database, clock=self._clock, meaning=meaning)
        likeness = Likeness(database=database, meaning=meaning, least=LEAST_SIMILARITY)
        self._service = SearchService(database=database, likeness=likeness, enabled=True)

    def now(self) -> datetime:
        return self._clock.now()

    async def find(self, owner: str, text: str, mode: str, *, limit: int = 10, **filters: Any) -> Findings:
        scope = Scope(Principal(kind=PrincipalKind.user, id=owner), Filters(**filters))
        return await self._service.search(Question(scope=scope, text=text, mode=Mode(mode), limit=limit, offset=0))


@asynccontextmanager
async def searching(database: Database, embedder: Embedder, index: VectorIndex) -> AsyncIterator[Searching]:
    async def opening() -> tuple[Embedder, VectorIndex]:
        await embedder.open()
        await index.open()
        return embedder, index

    meaning = Meaning(opening)
    try:
        yield Searching(database, meaning)
    finally:
        await meaning.aclose()
