"""Any model of the `sentence-transformers` library, on this machine's processor or graphics card.

A tokenizer is not safe between threads, so one thread computes everything, at most one batch of passages waits for it,
and a batch is as large as what takes `TURN_SECONDS`: a query waits for no longer than that.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from sentence_transformers import SentenceTransformer

from frontdesk.adapters.embedder.texts import clean, joined, prefixes_of, unit_rows
from frontdesk.errors import ConfigurationError, UnavailableError
from frontdesk.ports.embedder import Vectors

T = TypeVar("T")
CHARACTERS = 32_000
TURN_SECONDS = 0.05


class SentenceTransformersEmbedder:
    """`model` is a name or a folder, `device` as the library names it; `batch_size` bounds what is computed together.

    With `only_local` a model that is not on this machine is not downloaded. E5 models get their prefixes, others the
    prompts that they declare.
    """

    def __init__(self, model: str, *, device: str | None, batch_size: int, only_local: bool = False) -> None:
        self.model = model
        self.dimension = 0
        self._device = device
        self._batch_size = batch_size
        self._only_local = only_local
        self._prefixes = prefixes_of(model)
        self._size = 1
        self._thread = ThreadPoolExecutor(1, "embed")
        self._turn = asyncio.Lock()
        self._loaded: SentenceTransformer | None = None

    async def open(self) -> None:
        try:
            loaded = await self._run(self._load)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ConfigurationError(
                f"CHAT_EMBEDDING_MODEL_NAME: {self.model} cannot be loaded on {self._device or 'this machine'}"
            ) from error
        self._loaded = loaded
        self.dimension = loaded.get_embedding_dimension() or 0

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        given = clean(texts, characters=CHARACTERS)
        return await self._run(partial(self._computed, given, is_query=True))

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        parts: list[Vectors] = []
        start = 0
        while start < len(texts):
            async with self._turn:
                given = clean(texts[start : start + self._size], characters=CHARACTERS)
                parts.append(await self._run(partial(self._timed, given)))
            start += len(given)
        return joined(parts, self.dimension)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._loaded = None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _load(self) -> SentenceTransformer:
        return SentenceTransformer(self.model, device=self._device, local_files_only=self._only_local)

    def _timed(self, texts: Sequence[str]) -> Vectors:
        """With the size of the next batch, by the time that this one took."""
        begun = time.perf_counter()
        vectors = self._computed(texts, is_query=False)
        fitting = int(len(texts) * TURN_SECONDS / max(time.perf_counter() - begun, 1e-6))
        self._size = max(1, min(fitting, self._size * 2, self._batch_size))
        return vectors

    def _computed(self, texts: Sequence[str], *, is_query: bool) -> Vectors:
        if self._loaded is None:
            raise UnavailableError("The embedder is not open")
        encode: Any = self._loaded.encode_query if is_query else self._loaded.encode_document
        prefix = None if self._prefixes is None else self._prefixes.query if is_query else self._prefixes.passage
        if not texts:
            return joined([], self.dimension)
        return unit_rows(encode(list(texts), prompt=prefix, batch_size=self._batch_size, show_progress_bar=False))
