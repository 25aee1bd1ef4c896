"""What the index in PostgreSQL has of its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from frontdesk.adapters.vector_index.pgvector import MAX_DIMENSION, PgvectorIndex
from frontdesk.database import Database, open_database
from frontdesk.errors import ConfigurationError, SearchIndexError
from frontdesk.kit.ids import new_id
from frontdesk.ports.vector_index import Collection, Where
from harness.databases import PostgresDatabases
from harness.vector_indexes import DIMENSION, clustered, entry, vectors

COLLECTION = Collection(name="made", generation=1, model="a-model", dimension=DIMENSION)


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = open_database(postgres_url, pool_size=4, timeout=20)
    yield database
    await database.aclose()


async def test_walking_the_graph_finds_what_comparing_all_finds_also_under_a_filter(database: Database) -> None:
    """`exact_rows=0` never compares all, unless the graph is left with less than was asked for."""
    dimension, rows = 48, clustered(4000, seed=1, dimension=48)
    collection = Collection(name="walked", generation=1, model="a-model", dimension=dimension)
    walking, comparing = PgvectorIndex(database, exact_rows=0), PgvectorIndex(database, exact_rows=4000)
    await walking.open()
    await walking.create(collection)
    owner = new_id()
    entries = [entry(owner, "g", share=str(number % 100)) for number in range(4000)]
    await walking.put(collection, entries, rows)
    for labels in ({}, {"share": "7"}):
        where, hits = Where(owner=owner, labels=labels), 0
        for question in clustered(20, seed=2, dimension=dimension):
            met = await walking.nearest(collection, question[None], where=where, count=10)
            best = await comparing.nearest(collection, question[None], where=where, count=10)
            assert len(met) == len(best) == 10
            hits += len({neighbour.id for neighbour in met} & {neighbour.id for neighbour in best})
        assert hits >= 0.97 * 200, labels


async def test_programs_that_open_and_create_at_once_make_everything_once(database: Database) -> None:
    indexes = [PgvectorIndex(database) for _ in range(4)]
    await asyncio.gather(*(index.open() for index in indexes))
    await asyncio.gather(*(index.create(COLLECTION) for index in indexes))
    assert await indexes[0].count(COLLECTION) == 0


async def test_without_rights_to_the_extension_it_says_what_to_do(
    postgres_server: PostgresDatabases, database: Database, postgres_url: str
) -> None:
    role = f"guest_{new_id().replace('-', '')}"
    postgres_server.ask(f"CREATE ROLE {role} LOGIN;")
    guest = open_database(postgres_url.replace("postgres:@", f"{role}:@"), pool_size=1, timeout=10)
    try:
        with pytest.raises(ConfigurationError, match="CREATE EXTENSION vector"):
            await PgvectorIndex(guest).open()
        with pytest.raises(SearchIndexError, match="frontdesk search reindex"):
            await PgvectorIndex(guest).check()
        await PgvectorIndex(database).open()
        await PgvectorIndex(guest).open()
        await PgvectorIndex(guest).check()
    finally:
        await guest.aclose()
        postgres_server.ask(f"DROP ROLE {role};")


async def test_other_databases_and_too_many_dimensions_are_refused(database: Database, sqlite_url: str) -> None:
    sqlite = open_database(sqlite_url, pool_size=1, timeout=5)
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        await PgvectorIndex(sqlite).open()
    await sqlite.aclose()
    index = PgvectorIndex(database)
    await index.open()
    with pytest.raises(ConfigurationError, match="CHAT_EMBEDDING_DIMENSIONS"):
        await index.create(Collection(name="wide", generation=1, model="m", dimension=MAX_DIMENSION + 1))


async def test_the_graph_is_made_as_it_is_said_to_be(database: Database) -> None:
    index = PgvectorIndex(database)
    await index.open()
    await index.create(COLLECTION)
    found = await database.read(
        lambda connection: connection.execute(
            text("SELECT indexdef FROM pg_indexes WHERE indexdef LIKE '%hnsw%'")
        ).all()
    )
    (definition,) = [row.indexdef for row in found]
    assert "vector_cosine_ops" in definition
    assert "m='16', ef_construction='64'" in definition


async def test_a_vector_without_a_direction_is_near_to_nothing(database: Database) -> None:
    index = PgvectorIndex(database)
    await index.open()
    await index.create(COLLECTION)
    rows = vectors(2, seed=3)
    rows[0] = 0
    await index.put(COLLECTION, [entry("o", "g", id_="zero"), entry("o", "g", id_="one")], rows)
    found = await index.nearest(COLLECTION, rows[1:], where=Where(owner="o"), count=5)
    assert [(neighbour.id, round(neighbour.similarity, 3)) for neighbour in found] == [("one", 1.0), ("zero", 0.0)]
