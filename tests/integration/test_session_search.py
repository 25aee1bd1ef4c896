"""Finding a session's chunks in a database, also those whose rows an older program has stored."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, func, select, update

from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.database import Database, open_database
from frontdesk.database.migrations import upgrade
from frontdesk.database.types import encode_json
from frontdesk.kit.clock import HeldClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.chunk_store import DocumentChunk
from frontdesk.ports.embedder import Vectors
from frontdesk.retrieval.passages import packed_words
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import NewSource, SourceType, chat_interface_message_chunks
from frontdesk.retrieval.sources.search import SourceSearch, packed_rows

SESSION = new_id()
DIMENSION = PackagedE5Embedder.dimension
TOWARDS, ACROSS = np.eye(2, DIMENSION, dtype=np.float32)


def near(cosine: float) -> Vectors:
    """A passage that is as near as that to `TOWARDS`."""
    return np.array([cosine * TOWARDS + np.sqrt(1 - cosine**2) * ACROSS], dtype=np.float32)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/chunks.db"
    upgrade(url)
    contents = [f"{number} The museum of clocks opens at nine." for number in range(40)]
    contents += ["The code of the door is 7431x.", "It has two parts."]
    chunks = [DocumentChunk(content=text, start=0, end=len(text), heading="Doors") for text in contents]
    vectors = [*[near(0.8)] * 40, near(0.76), np.concatenate([near(0.1), near(0.9)])]
    # Without the foreign keys to a session that is not what is tested.
    engine = create_engine(url, json_serializer=encode_json)
    with engine.begin() as connection:
        new = [NewSource(type=SourceType.file, name="notes.txt")]
        (source,) = sources.add(connection, new, thread_id=SESSION, message_id=SESSION, at=HeldClock().now())
        words = [packed_words(chunk.content, chunk.heading) for chunk in chunks]
        packed = packed_rows(vectors)
        sources.add_chunks(connection, source, chunks, model=PackagedE5Embedder.model, vectors=packed, words=words)
    engine.dispose()
    opened = open_database(url, pool_size=2, timeout=10)
    yield opened
    await opened.aclose()


async def found(database: Database, question: str) -> list[str]:
    search = SourceSearch(database=database, embedder=PackagedE5Embedder())
    best = await search.nearest(SESSION, question, TOWARDS[None], count=3)
    return [chunk.label for chunk in best]


async def test_a_chunk_is_as_near_as_its_nearest_passage(database):
    assert (await found(database, "quokka"))[0] == "1.42"


async def test_what_only_words_tell_is_found(database):
    assert "1.41" in await found(database, "7431x")


async def test_words_that_an_older_program_did_not_store_are_filled_in_once(database):
    words = chat_interface_message_chunks.c.words
    await database.write(
        lambda connection: connection.execute(update(chat_interface_message_chunks).values(words=None))
    )
    assert "1.41" in await found(database, "7431x")
    lacking = select(func.count()).where(words.is_(None))
    assert await database.read(lambda connection: connection.scalar(lacking)) == 0


async def test_a_source_that_has_vectors_of_another_length_is_not_compared(database):
    vector = {"vector": b"\0" * 6}
    await database.write(lambda connection: connection.execute(update(chat_interface_message_chunks).values(**vector)))
    assert await found(database, "7431x") == []
