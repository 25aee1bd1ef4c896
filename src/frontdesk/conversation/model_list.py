"""The provider's models, remembered: fresh for 30 s, and for 10 minutes while the provider is down."""

import asyncio
from typing import Any

from frontdesk.kit.clock import Clock
from frontdesk.ports.language_model import LanguageModel, ModelCallError

_FRESH_SECONDS = 30.0
_STALE_SECONDS = 600.0


class ModelList:
    """`default_model` answers when a message names no model; without one the provider's first does."""

    def __init__(self, model: LanguageModel, *, clock: Clock, default_model: str | None) -> None:
        self._model = model
        self._clock = clock
        self._default_model = default_model
        self._models: list[dict[str, Any]] = []
        self._loaded_at: float | None = None
        self._loading = asyncio.Lock()

    async def list_models(self) -> list[dict[str, Any]]:
        """Raises `ModelCallError` when the provider is down and nothing recent is known."""
        if (models := self._younger_than(_FRESH_SECONDS)) is not None:
            return models
        async with self._loading:
            if (models := self._younger_than(_FRESH_SECONDS)) is not None:
                return models
            return await self._load()

    async def check(self) -> None:
        """Raises `ModelCallError` when the provider does not answer now."""
        await self._model.models()

    async def default(self) -> str:
        """The model for a message that names none. Raises `ModelCallError`."""
        if self._default_model is not None:
            return self._default_model
        models = await self.list_models()
        if not models:
            raise ModelCallError("no_model", "The model provider offers no model")
        return str(models[0]["id"])

    def _younger_than(self, seconds: float) -> list[dict[str, Any]] | None:
        if self._loaded_at is None or self._clock.monotonic() - self._loaded_at > seconds:
            return None
        return self._models

    async def _load(self) -> list[dict[str, Any]]:
        try:
            models = await self._model.models()
        except ModelCallError:
            if (known := self._younger_than(_STALE_SECONDS)) is not None:
                return known
            raise
        self._models, self._loaded_at = models, self._clock.monotonic()
        return models
