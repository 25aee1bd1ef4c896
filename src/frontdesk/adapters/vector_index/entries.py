"""What both indexes check and put in order before they store."""

import hashlib
import re
from collections.abc import Sequence

from frontdesk.errors import SearchIndexError
from frontdesk.ports.embedder import Vectors
from frontdesk.ports.vector_index import Collection, VectorEntry

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_ROWS_AND_NUMBERS = 2


def identity(collection: Collection) -> str:
    """A name for all that makes it another collection, at most 60 characters. Raises ValueError."""
    if not _NAME.fullmatch(collection.name):
        raise ValueError(f"{collection.name!r} cannot name a collection")
    of = hashlib.sha256(f"{collection.model}\n{collection.dimension}".encode()).hexdigest()[:8]
    return f"v_{collection.name}_{int(collection.generation)}_{of}"


def absence(collection: Collection) -> str:
    return (
        f"There is no usable {collection.name}, generation {collection.generation}, with vectors of {collection.model}"
        f" ({collection.dimension} dimensions)"
    )


def require_shape(collection: Collection, vectors: Vectors, *, rows: int) -> None:
    """Raises `SearchIndexError` for vectors that are not the collection's, ValueError when they are not so many."""
    if vectors.ndim != _ROWS_AND_NUMBERS or vectors.shape[1] != collection.dimension:
        raise SearchIndexError(
            f"{collection.name} holds vectors of {collection.dimension} dimensions ({collection.model}), not of shape"
            f" {vectors.shape}"
        )
    if len(vectors) != rows:
        raise ValueError(f"{rows} entries with {len(vectors)} vectors")


def latest(entries: Sequence[VectorEntry], vectors: Vectors) -> list[tuple[VectorEntry, Vectors]]:
    """Each id once, as it was given last, in the order of ids: writers that meet wait for each other, not in a ring."""
    rows = {entry.id: (entry, vector) for entry, vector in zip(entries, vectors, strict=True)}
    return [rows[name] for name in sorted(rows)]
