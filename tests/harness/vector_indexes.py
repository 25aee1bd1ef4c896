"""Every index of vectors, made for the tests that all of them must pass."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frontdesk.adapters.vector_index.chroma import ChromaVectorIndex
from frontdesk.adapters.vector_index.pgvector import PgvectorIndex
from frontdesk.database import open_database
from frontdesk.kit.ids import new_id
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, VectorEntry, VectorIndex
from harness.databases import PostgresDatabases

DIMENSION = 16
_numbers = count(1)


@dataclass
class Indexed:
    index: VectorIndex
    make: Callable[[], VectorIndex]

    async def reopen(self) -> None:
        """Another one over the same store."""
        await self.index.aclose()
        self.index = self.make()
        await self.index.open()

    async def collection(self, **named: Any) -> Collection:
        given = {"name": f"test_{next(_numbers)}", "generation": 1, "model": "a-model", "dimension": DIMENSION} | named
        collection = Collection(**given)
        await self.index.create(collection)
        return collection


def entry(owner: str, group: str, *, made_at: float = 0.0, id_: str | None = None, **labels: str) -> VectorEntry:
    return VectorEntry(id=id_ or new_id(), owner=owner, group=group, made_at=made_at, labels=labels)


def vectors(rows: int, *, seed: int, dimension: int = DIMENSION) -> Vectors:
    """Of unit length, in no direction in particular."""
    given = np.random.default_rng(seed).standard_normal((rows, dimension)).astype(np.float32)
    return given / np.linalg.norm(given, axis=1, keepdims=True)


def clustered(rows: int, *, seed: int, dimension: int, clusters: int = 100) -> Vectors:
    """As texts are: about subjects, each with a centre that its vectors are near to."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((clusters, dimension))
    given = centres[random.integers(0, clusters, rows)] + 0.6 * random.standard_normal((rows, dimension))
    return (given / np.linalg.norm(given, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
async def chroma_indexed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Indexed]:
    folder = tmp_path_factory.mktemp("chroma")
    made = Indexed(ChromaVectorIndex(str(folder)), lambda: ChromaVectorIndex(str(folder)))
    await made.index.open()
    yield made
    await made.index.aclose()


@pytest.fixture(scope="session")
async def pgvector_indexed(postgres_server: PostgresDatabases) -> AsyncIterator[Indexed]:
    name = postgres_server.create()
    database = open_database(postgres_server.url(name), pool_size=4, timeout=20)
    made = Indexed(PgvectorIndex(database), lambda: PgvectorIndex(database))
    await made.index.open()
    yield made
    await made.index.aclose()
    await database.aclose()
    postgres_server.drop(name)


@pytest.fixture(params=["chroma", "pgvector"])
def indexed(request: pytest.FixtureRequest) -> Indexed:
    made: Indexed = request.getfixturevalue(f"{request.param}_indexed")
    return made


@pytest.fixture
def chroma_folder(tmp_path: Path) -> Path:
    return tmp_path / "chroma"
