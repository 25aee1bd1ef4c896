"""What is opened when it is first needed, and may fail to be."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from frontdesk.errors import ConfigurationError, UnavailableError

_RETRY_SECONDS = 60
T = TypeVar("T")


class OpenedOnce(Generic[T]):
    """`opening` is tried again after a failure. Without it there is nothing here, for the `reason` given."""

    def __init__(self, opening: Callable[[], Awaitable[T]] | None, *, reason: str) -> None:
        self._opening = opening
        self._reason = reason
        self._held: T | None = None
        self._lock = asyncio.Lock()

    @property
    def is_configured(self) -> bool:
        return self._opening is not None

    async def get(self) -> T:
        """Raises `UnavailableError`, and what `opening` raises."""
        if self._opening is None:
            raise UnavailableError(self._reason, retry_after=_RETRY_SECONDS)
        async with self._lock:
            if self._held is None:
                try:
                    self._held = await self._opening()
                except ConfigurationError as error:
                    raise UnavailableError(error.detail, retry_after=_RETRY_SECONDS) from error
        return self._held

    def take(self) -> T | None:
        """What is open, whose closing is the taker's."""
        held, self._held = self._held, None
        return held
