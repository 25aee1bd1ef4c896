"""Something that is done again and again, whatever happens to it."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock

_logger = structlog.get_logger(__name__)


class Ticker:
    """Does `work` at once and then every `interval` seconds. `name` is for the log, which hears once of an
    outage however many ticks that lasts.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], *, interval: float, clock: Clock) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._clock = clock
        self._last = clock.monotonic()
        self._is_failing = False
        self._task: asyncio.Task[None] | None = None

    def check(self, most_silence: float) -> None:
        """Raises `UnavailableError` when it has not succeeded for `most_silence` seconds and two ticks."""
        silence = self._clock.monotonic() - self._last
        if silence > most_silence + 2 * self._interval:
            raise UnavailableError(f"The engine has not ticked for {silence:.0f} s")

    def open(self) -> None:
        self._task = asyncio.create_task(self._tick_forever())

    async def aclose(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _tick_forever(self) -> None:
        while True:
            try:
                await self._work()
            except UnavailableError as error:
                if not self._is_failing:
                    _logger.warning("tick failed", ticker=self._name, reason=error.detail)
                self._is_failing = True
            except Exception:  # the worker step's boundary: a tick that breaks must not be the last
                _logger.exception("tick broke", ticker=self._name)
            else:
                self._last = self._clock.monotonic()
                self._is_failing = False
            await asyncio.sleep(self._interval)
