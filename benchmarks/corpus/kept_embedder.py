"""The packaged embedder, which computes each text once and keeps it in a file: a second run takes seconds."""

import hashlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from frontdesk.adapters.embedder.packaged_e5 import PackagedE5Embedder
from frontdesk.ports.embedder import Vectors

BATCH = 32


class KeptEmbedder:
    model = PackagedE5Embedder.model
    dimension = PackagedE5Embedder.dimension

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self._path = path
        self._embedder = PackagedE5Embedder(threads=threads)

    async def open(self) -> None:
        await self._embedder.open()
        with self._kept() as kept:
            kept.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return await self._embed(texts, self._embedder.embed_queries, "query")

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return await self._embed(texts, self._embedder.embed_passages, "passage")

    async def _embed(
        self, texts: Sequence[str], compute: Callable[[Sequence[str]], Awaitable[Vectors]], kind: str
    ) -> Vectors:
        keys = [hashlib.sha256(f"{self.model}\0{kind}\0{text}".encode()).digest() for text in texts]
        known = self._find(keys)
        missing = [number for number, key in enumerate(keys) if key not in known]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            vectors = await compute([texts[number] for number in part])
            made = {keys[number]: vector.tobytes() for number, vector in zip(part, vectors, strict=True)}
            with self._kept() as kept, kept:
                kept.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", list(made.items()))
            known.update(made)
        return np.array([np.frombuffer(known[key], dtype=np.float32) for key in keys]).reshape(-1, self.dimension)

    async def aclose(self) -> None:
        await self._embedder.aclose()

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        with self._kept() as kept:
            rows = [kept.execute("SELECT key, vector FROM vectors WHERE key = ?", (key,)).fetchone() for key in keys]
        return dict(row for row in rows if row is not None)

    def _kept(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self._path))
