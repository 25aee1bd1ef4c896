"""Vectors in a Chroma of this machine, in a process of its own that writes to its directory alone.

A process that ends, for whatever reason, is started again with the next call.
"""

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from frontdesk.adapters.vector_index.chroma_link import ChromaLink
from frontdesk.adapters.vector_index.entries import identity, latest, require_shape
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, Neighbour, VectorEntry, Where

# Chroma answers nothing else while it stores: so many rows take it some tens of milliseconds.
PUT_ROWS = 64
REMOVED_AT_ONCE = 200
_LABEL = "label_"


class ChromaVectorIndex:
    """To be used within one event loop. `directory` is made when it is not there."""

    def __init__(self, directory: str) -> None:
        """Raises ImportError when Chroma is not installed."""
        if find_spec("chromadb") is None:
            raise ImportError("chromadb")
        self._link = ChromaLink(directory)
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Raises `ConfigurationError` when the directory cannot be had, such as when another process has it."""
        await self._link.open()

    async def check(self) -> None:
        await self._link.ask("check")

    async def create(self, collection: Collection) -> None:
        """A store that is damaged as a whole is put aside for a new one: the collections in it are missing then."""
        await self._link.put_damaged_aside()
        await self._link.ask("create", name=identity(collection))

    async def drop(self, collection: Collection) -> None:
        if not self._link.is_damaged:
            await self._link.ask("drop", name=identity(collection))

    async def put(self, collection: Collection, entries: Sequence[VectorEntry], vectors: Vectors) -> None:
        require_shape(collection, vectors, rows=len(entries))
        rows = latest(entries, vectors)
        for start in range(0, len(rows), PUT_ROWS):
            given = rows[start : start + PUT_ROWS]
            async with self._writing:
                await self._link.ask(
                    "put",
                    name=identity(collection),
                    ids=[entry.id for entry, _ in given],
                    vectors=b"".join(vector.astype("<f4").tobytes() for _, vector in given),
                    metadatas=[_metadata(entry) for entry, _ in given],
                )

    async def remove(self, collection: Collection, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), REMOVED_AT_ONCE):
            given = [*ids[start : start + REMOVED_AT_ONCE]]
            await self._link.ask("remove", name=identity(collection), ids=given)

    async def remove_groups(self, collection: Collection, groups: Sequence[str]) -> None:
        for start in range(0, len(groups), REMOVED_AT_ONCE):
            given = [*groups[start : start + REMOVED_AT_ONCE]]
            await self._link.ask("remove_groups", name=identity(collection), groups=given)

    async def nearest(self, collection: Collection, vector: Vectors, *, where: Where, count: int) -> list[Neighbour]:
        require_shape(collection, vector, rows=1)
        if where.groups is not None and not where.groups:
            return []
        found = await self._link.ask(
            "nearest",
            name=identity(collection),
            vector=vector.astype("<f4").tobytes(),
            where=_conditions(where),
            count=count,
        )
        return [Neighbour(*each) for each in found]

    async def ids(self, collection: Collection, *, after: str | None, count: int) -> list[str]:
        found: list[str] = await self._link.ask("ids", name=identity(collection), after=after or "", count=count)
        return found

    async def count(self, collection: Collection) -> int:
        return int(await self._link.ask("count", name=identity(collection)))

    async def aclose(self) -> None:
        await self._link.aclose()


def _metadata(entry: VectorEntry) -> dict[str, Any]:
    labels = {_LABEL + name: value for name, value in entry.labels.items()}
    return {"owner": entry.owner, "group": entry.group, "made_at": float(entry.made_at), **labels}


def _conditions(where: Where) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = [{"owner": {"$eq": where.owner}}]
    if where.groups is not None:
        conditions.append({"group": {"$in": sorted(where.groups)}})
    if where.since is not None:
        conditions.append({"made_at": {"$gte": float(where.since)}})
    if where.until is not None:
        conditions.append({"made_at": {"$lte": float(where.until)}})
    conditions.extend({_LABEL + name: {"$eq": value}} for name, value in where.labels.items())
    return conditions[0] if len(conditions) == 1 else {"$and": conditions}
