"""How long to wait for a server that is away, and how often to look."""

import asyncio
from collections.abc import Awaitable, Callable
from random import uniform
from time import monotonic
from typing import TypeVar

from frontdesk.cli.chat.gateway import NotReachedError

Result = TypeVar("Result")

_FIRST_SECONDS, _LONGEST_SECONDS, _GIVE_UP_SECONDS = 0.2, 5.0, 120.0


class Patience:
    """Waits that double from 0.2 s to 5 s, each shortened at random so that clients do not come back together.

    `on_wait` hears the seconds before each wait. Two minutes without success end it.
    """

    def __init__(self, on_wait: Callable[[float], None]) -> None:
        self._on_wait = on_wait
        self.renew()

    def renew(self) -> None:
        """To be called at each sign of life."""
        self._next = _FIRST_SECONDS
        self._deadline = monotonic() + _GIVE_UP_SECONDS

    async def wait(self, reason: NotReachedError) -> None:
        """Raises `reason` when it is no longer worth waiting."""
        if monotonic() > self._deadline:
            raise reason
        seconds = self._next * uniform(0.5, 1.0)  # noqa: S311  spreads load, guards nothing
        self._next = min(self._next * 2, _LONGEST_SECONDS)
        self._on_wait(seconds)
        await asyncio.sleep(seconds)


async def persist(call: Callable[[], Awaitable[Result]], patience: Patience) -> Result:
    """The result of `call`, which must be safe to repeat, once the server answers it."""
    while True:
        try:
            return await call()
        except NotReachedError as error:
            await patience.wait(error)
