"""What Chroma's index has of its own: one writer, and a directory that survives whatever ends its process."""

import asyncio
import os
import random
from pathlib import Path

import psutil
import pytest

from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.errors import ConfigurationError, SearchIndexError, UnavailableError
from frontdesk.kit.ids import new_id
from frontdesk.ports.vector_index import Collection, Where
from harness.vector_indexes import DIMENSION, Indexed, entry, vectors

COLLECTION = Collection(name="written", generation=1, model="a-model", dimension=DIMENSION)
OWNER = "an-owner"
KILLS = int(os.environ.get("KILLS", "5"))
SECONDS = 30
# From a thousand on, graphs are written when the index is opened.
GRAPH_ROWS = 1_010


def processes_of(directory: Path) -> list[psutil.Process]:
    """Those that hold Chroma in the directory, below this process."""
    return [each for each in psutil.Process().children(recursive=True) if str(directory) in each.cmdline()]


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


class Writer:
    """Puts and removes without end, and knows of each id whether it is stored. An id is unknown while it is on its way
    and after a call that failed.
    """

    def __init__(self, index: ChromaVectorIndex, *, seed: int) -> None:
        self.stored: set[str] = set()
        self.unknown: set[str] = set()
        self.calls = 0
        self._moved = asyncio.Event()
        self._failed: list[SearchIndexError] = []
        self._index = index
        self._random = random.Random(seed)

    async def write(self) -> None:
        while True:
            ids = [new_id() for _ in range(self._random.randint(1, 150))]
            rows = vectors(len(ids), seed=self.calls)
            gone = self._random.sample(sorted(self.stored), len(self.stored) // 4)
            self._start(ids + gone)
            try:
                await self._index.put(COLLECTION, [entry(OWNER, "g", id_=id_) for id_ in ids], rows)
                self._end(ids, stored=True)
                await self._index.remove(COLLECTION, gone)
                self._end(gone, stored=False)
            except UnavailableError:
                continue
            except SearchIndexError as error:
                self._failed.append(error)
                self._moved.set()
                return

    def _start(self, ids: list[str]) -> None:
        self.unknown.update(ids)
        self.stored.difference_update(ids)

    def _end(self, ids: list[str], *, stored: bool) -> None:
        self.unknown.difference_update(ids)
        self.stored.update(ids if stored else ())
        self.calls += 1
        self._moved.set()

    async def after(self, calls: int) -> None:
        """Until so many more calls were acknowledged; the next is under way then."""
        wanted = self.calls + calls
        async with asyncio.timeout(SECONDS):
            while self.calls < wanted and not self._failed:
                self._moved.clear()
                await self._moved.wait()
        assert not self._failed, self._failed

    async def require_whole(self) -> None:
        """What was acknowledged is there, nothing that nobody sent, and each of them in every part of the index."""
        stored = set(await ids_of(self._index, COLLECTION))
        assert self.stored <= stored
        assert stored <= self.stored | self.unknown
        assert await self._index.count(COLLECTION) == len(stored)
        where = Where(owner=OWNER)
        found = await self._index.nearest(COLLECTION, vectors(1, seed=1), where=where, count=len(stored) or 1)
        assert sorted(neighbour.id for neighbour in found) == sorted(stored)


async def ids_of(index: ChromaVectorIndex, collection: Collection) -> list[str]:
    return await index.ids(collection, after=None, count=1_000_000)


async def test_nothing_acknowledged_is_lost_or_half_there_however_often_it_is_killed(chroma_folder: Path) -> None:
    index = ChromaVectorIndex(str(chroma_folder))
    await index.open()
    await index.create(COLLECTION)
    writer = Writer(index, seed=random.randrange(10**6))
    writing = asyncio.create_task(writer.write())
    for number in range(KILLS):
        # Every other one comes where it comes: while the process starts, while it writes graphs.
        await writer.after(random.randint(1, 20) if number % 2 else 0)
        await asyncio.sleep(random.uniform(0, 0.05 if number % 2 else 2.5))
        for process in processes_of(chroma_folder):
            process.kill()
    await writer.after(1)
    writing.cancel()
    await asyncio.wait([writing])
    await writer.require_whole()
    assert writer.calls > KILLS
    await index.aclose()
    assert not processes_of(chroma_folder)


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
