"""A large index of search on PostgreSQL in minutes: rows first, then the indexes that the program has over them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection, text, update

from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.adapters.vector_index.entries import identity
from frontdesk.adapters.vector_index.pgvector import PgvectorIndex
from frontdesk.database import Database
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, VectorEntry
from frontdesk.retrieval import entries, generations
from frontdesk.retrieval.models import IndexedMessage, search_indexes
from frontdesk.retrieval.vectors import NAME

BATCH = 1_000
_WORDS = ("ix_search_entries_words", "ix_search_entries_grams")


class Filled:
    """What was put into the index of vectors, for comparing all of it."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.entries: list[VectorEntry] = []
        self.rows: list[Vectors] = []


async def fill(database: Database, known: dict[str, Vectors]) -> Filled:
    """All stored messages, whose vectors are `known` by their texts; the index is complete and analysed then."""
    index = PgvectorIndex(database)
    await index.open()
    filled = Filled(Collection(name=NAME, generation=1, model=PackagedE5Embedder.model, dimension=384))
    await index.create(filled.collection)
    table = identity(filled.collection)
    definitions = await database.write(lambda connection: _dropped(connection, [*_WORDS, f"{table}_e"]))
    cursor = None
    while batch := await database.read(lambda connection: entries.list_behind(connection, cursor, limit=BATCH)):  # noqa: B023  awaited here
        analyses = await asyncio.to_thread(entries.analyse, batch)
        await database.write(lambda connection: entries.put(connection, analyses))  # noqa: B023  awaited here
        made = [_entry(message) for message in batch]
        vectors = np.array([known[message.text] for message in batch])
        await index.put(filled.collection, made, vectors)
        filled.entries.extend(made)
        filled.rows.extend(vectors)
        cursor = batch[-1].id
    for definition in definitions:
        await database.write(lambda connection: _run(connection, definition))  # noqa: B023  awaited here
    await database.write(lambda connection: _complete(connection, len(filled.entries)))
    return filled


def _dropped(connection: Connection, names: Sequence[str]) -> list[str]:
    """What makes them again."""
    definitions = text("SELECT indexdef FROM pg_indexes WHERE indexname = ANY(CAST(:names AS text[]))")
    found = list(connection.scalars(definitions, {"names": [*names]}))
    for name in names:
        connection.execute(text(f"DROP INDEX {name}"))
    return found


def _run(connection: Connection, definition: str) -> None:
    connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text(definition))


def _complete(connection: Connection, count: int) -> None:
    generations.ensure_first(connection, now=datetime.now(UTC))
    made = {"model": PackagedE5Embedder.model, "dimension": 384}
    connection.execute(update(search_indexes).values(**made, is_complete=True, done=count, total=count))
    connection.execute(text("ANALYZE"))


def _entry(message: IndexedMessage) -> VectorEntry:
    labels = {"role": message.role} if message.model is None else {"role": message.role, "model": message.model}
    moment = message.created_at.timestamp()
    return VectorEntry(id=message.id, owner=message.user_id, group=message.thread_id, made_at=moment, labels=labels)
