"""What Chroma's index has of its own: one writer, and a directory that survives whatever ends its process."""

import os
from pathlib import Path

import pytest

from chaos.indexes import COLLECTION, OWNER, processes_of, prove_chroma_kills
from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.errors import ConfigurationError, SearchIndexError, UnavailableError
from frontdesk.ports.vector_index import Collection, Where
from harness.vector_indexes import DIMENSION, Indexed, entry, vectors

KILLS = int(os.environ.get("KILLS", "5"))
# From a thousand on, graphs are written when the index is opened.
GRAPH_ROWS = 1_010


def directory_of(indexed: Indexed) -> Path:
    assert isinstance(indexed.index, ChromaVectorIndex)
    return Path(indexed.index._link._directory)


async def test_a_second_process_is_told_what_to_do(chroma_indexed: Indexed) -> None:
    directory = directory_of(chroma_indexed)
    second = ChromaVectorIndex(str(directory))
    with pytest.raises(ConfigurationError) as caught:
        await second.open()
    assert str(directory) in caught.value.detail
    assert "another process" in caught.value.detail
    assert "CHAT_VECTOR_INDEX=pgvector" in caught.value.detail
    await second.aclose()
    assert len(processes_of(directory)) == 1
    await chroma_indexed.index.check()


async def test_a_directory_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    index = ChromaVectorIndex(str(file / "chroma"))
    with pytest.raises(ConfigurationError, match="CHAT_CHROMA_PERSIST_DIRECTORY"):
        await index.open()
    await index.aclose()


async def test_its_process_is_started_again_when_it_was_ended(chroma_indexed: Indexed) -> None:
    index = chroma_indexed.index
    collection = await chroma_indexed.collection()
    await index.put(collection, [entry(OWNER, "g", id_="a")], vectors(1, seed=1))
    (process,) = processes_of(directory_of(chroma_indexed))
    process.kill()
    with pytest.raises(UnavailableError):
        await index.count(collection)
    assert await index.count(collection) == 1


async def ids_of(index: ChromaVectorIndex, collection: Collection) -> list[str]:
    return await index.ids(collection, after=None, count=1_000_000)


async def test_nothing_acknowledged_is_lost_or_half_there_however_often_it_is_killed(chroma_folder: Path) -> None:
    found = await prove_chroma_kills(chroma_folder, kills=KILLS)
    assert found.faults == []
    assert found.counts["acknowledged calls"] > KILLS


def damage_every_page(folder: Path) -> None:
    path = folder / "store" / "chroma.sqlite3"
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(reversed(data[4096:]))
    path.write_bytes(data)


def damage_graph(folder: Path) -> None:
    paths = [*folder.glob("store/*/*.pickle"), *folder.glob("store/*/header.bin")]
    assert len(paths) == 2
    for path in paths:
        path.write_bytes(b"\xff" * 64)


async def test_a_damaged_directory_is_said_to_be_and_can_be_filled_again(chroma_folder: Path) -> None:
    index = ChromaVectorIndex(str(chroma_folder))
    await index.open()
    collection = COLLECTION
    await index.create(collection)
    entries = [entry(OWNER, "g") for _ in range(GRAPH_ROWS)]
    rows, where = vectors(GRAPH_ROWS, seed=2), Where(owner=OWNER)
    for generation, (damage, some) in enumerate(((damage_graph, GRAPH_ROWS), (damage_every_page, 10)), start=2):
        await index.put(collection, entries[:some], rows[:some])
        assert len(await index.nearest(collection, rows[:1], where=where, count=5)) == 5
        await index.aclose()
        await index.open()  # which writes a graph
        assert len(await ids_of(index, collection)) == some
        await index.aclose()
        damage(chroma_folder)
        await index.open()
        with pytest.raises(SearchIndexError, match="frontdesk search reindex"):
            await index.nearest(collection, rows[:1], where=where, count=5)
        await index.drop(collection)
        collection = Collection(name=COLLECTION.name, generation=generation, model="a-model", dimension=DIMENSION)
        await index.create(collection)
        assert await ids_of(index, collection) == []
    await index.put(collection, entries[:10], rows[:10])
    assert await ids_of(index, collection) == sorted(each.id for each in entries[:10])
    assert len(await index.nearest(collection, rows[:1], where=where, count=50)) == 10
    await index.aclose()
