"""What limiters ask Redis. Questions that come together go together, and the next go when those are answered: a burst
costs a round or two, and none of it waits for a connection.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any

from frontdesk.adapters.rate_limiter.circuit_breaker import CircuitBreaker
from frontdesk.adapters.rate_limiter.redis_scripts import SCRIPTS
from frontdesk.adapters.redis_link import Link, LinkLostError
from frontdesk.errors import ConfigurationError, UnavailableError
from frontdesk.kit.clock import Clock

_LACKING = "NOSCRIPT"
# RuntimeError is what uvloop says to who writes on a connection that was reset.
_FAILURES = (LinkLostError, RuntimeError)
_Command = tuple[str | int, ...]


class Questions:
    """`patience` is in seconds, for those that go together. Raises `ConfigurationError` when the URL is none."""

    def __init__(self, url: str, clock: Clock, *, patience: float) -> None:
        try:
            self._link = Link(url, timeout=patience)
        except ValueError as error:
            raise ConfigurationError("CHAT_REDIS_URL is not a Redis URL, such as redis://HOST:PORT/0") from error
        self._breaker = CircuitBreaker(clock, server="Redis", failures=_FAILURES, patience=patience)
        self._waiting: list[tuple[_Command, asyncio.Future[Any]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, *command: str | int) -> Any:
        """Raises `CircuitOpenError` when it was not asked, `UnavailableError` when it may not have been heard."""
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        if self._asking is None:
            # It outlives the request that happens to be the first, and must not bear its name in the log.
            self._asking = asyncio.create_task(self._ask_all(), context=Context())
        return await answer

    async def aclose(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        await self._link.aclose()

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                await self._ask_together([one for one in waiting if not one[1].done()])
        finally:
            self._asking = None
            for _, answer in self._waiting:
                answer.cancel()

    async def _ask_together(self, asked: Sequence[tuple[_Command, asyncio.Future[Any]]]) -> None:
        try:
            told = await self._breaker.run(lambda: self._exchange([command for command, _ in asked]))
        except asyncio.CancelledError:
            for _, answer in asked:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001  the task's boundary: whoever waits is told
            told = [error] * len(asked)
        for (_, answer), one in zip(asked, told, strict=True):
            if answer.done():
                continue
            if isinstance(one, Exception):
                answer.set_exception(one)
            else:
                answer.set_result(one)

    async def _exchange(self, commands: Sequence[_Command]) -> list[Any]:
        """What Redis says to each, or `UnavailableError` where it refuses. Raises `LinkLostError`, also when it refuses
        them all.
        """
        await self._link.renew()
        told = await self._link.ask_all(commands)
        lacking = [number for number, one in enumerate(told) if _lacks_script(one)]
        if lacking:  # it forgets them when it starts
            loads = [("SCRIPT", "LOAD", script.source) for script in SCRIPTS]
            again = await self._link.ask_all([*loads, *(commands[number] for number in lacking)])
            for number, one in zip(lacking, again[len(loads) :], strict=True):
                told[number] = one
        refused = [one for one in told if isinstance(one, Exception)]
        if refused and len(refused) == len(told):
            raise LinkLostError(str(refused[0]))
        return [UnavailableError(f"Redis refuses: {one}") if isinstance(one, Exception) else one for one in told]


def _lacks_script(told: object) -> bool:
    return isinstance(told, Exception) and str(told).startswith(_LACKING)
