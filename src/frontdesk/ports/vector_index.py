"""Where vectors are kept and the nearest of them found, for one owner at a time.

Owns collections of vectors with the little that a search filters by. It refuses to hold texts, and to search without
an owner: whose vectors they are is part of every question, so that no answer has to be filtered afterwards.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from frontdesk.ports.embedder import Vectors


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """Vectors of one embedder for one purpose. Another model, dimension or generation is another collection.

    `name` is `[a-z][a-z0-9_]{0,39}`; a rebuilt index is filled as a new `generation` beside the one in use.
    """

    name: str
    generation: int
    model: str
    dimension: int


class VectorEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`id`, `owner` and `group` are ids of rows (UUID strings): a message, its user and its thread, or a chunk, its
    session and its file. `made_at` is seconds since the epoch, `labels` what else a search may ask to be equal, such
    as `role` and `model`.
    """

    id: str
    owner: str
    group: str
    made_at: float
    labels: dict[str, str] = {}


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """All that is given must hold. `groups` empty finds nothing, None means any; `since` and `until` are inclusive."""

    owner: str
    groups: frozenset[str] | None = None
    labels: dict[str, str] = {}
    since: float | None = None
    until: float | None = None


class Neighbour(msgspec.Struct, frozen=True):
    """`similarity` is the cosine, from -1 to 1."""

    id: str
    group: str
    similarity: float


class VectorIndex(Protocol):
    """Every call is safe to repeat. Raises `UnavailableError` when its store is away, and from everything but `create`
    and `drop` a `SearchIndexError` (missing, corrupt, or of another model or dimension) that names the command which
    repairs it.
    """

    async def open(self) -> None:
        """Raises `ConfigurationError`. What is damaged opens all the same, for whoever repairs it: `check` tells."""
        ...

    async def check(self) -> None: ...

    async def create(self, collection: Collection) -> None:
        """One that is there stays as it is. A store that is damaged as a whole is begun anew, without the others."""
        ...

    async def drop(self, collection: Collection) -> None: ...

    async def put(self, collection: Collection, entries: Sequence[VectorEntry], vectors: Vectors) -> None:
        """Stored durably on return; an entry that is there is replaced."""
        ...

    async def remove(self, collection: Collection, ids: Sequence[str]) -> None:
        """Ids that are not there are no error."""
        ...

    async def remove_groups(self, collection: Collection, groups: Sequence[str]) -> None: ...

    async def nearest(self, collection: Collection, vector: Vectors, *, where: Where, count: int) -> list[Neighbour]:
        """The `count` nearest to the one row of `vector`, best first; fewer only when no more satisfy `where`."""
        ...

    async def ids(self, collection: Collection, *, after: str | None, count: int) -> list[str]:
        """Ids in their order behind `after`: what a repair compares with the database."""
        ...

    async def count(self, collection: Collection) -> int: ...

    async def aclose(self) -> None: ...
