"""Limits that all processes share, counted by a Redis server."""

from asyncio import CancelledError, gather
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from frontdesk.adapters.rate_limiter.circuit_breaker import CircuitOpenError
from frontdesk.adapters.rate_limiter.in_process import SETTLED_LATE, InProcessRateLimiter
from frontdesk.adapters.rate_limiter.redis_questions import Questions
from frontdesk.adapters.rate_limiter.redis_scripts import RESERVE, SETTLE, WINDOW
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock, seconds_to_midnight
from frontdesk.kit.ids import new_id
from frontdesk.ports.rate_limiter import Allowance, Budget, Limit, Reservation

PATIENCE_SECONDS = 0.25
MAX_OWED = 1_000
_SECOND = 1_000_000  # microseconds


class RedisRateLimiter:
    """Exact over all processes, as far as their clocks agree: every question is one script, which Redis runs alone.

    When Redis does not answer in `patience` (seconds), limits hold in each process until it does. Settlements that it
    has not heard are then made good, at most `MAX_OWED`; beyond, the oldest's reservation stays taken in full.
    """

    def __init__(self, url: str, clock: Clock, *, patience: float = PATIENCE_SECONDS) -> None:
        """Nothing is connected yet. Raises `ConfigurationError` when the URL is none."""
        self._clock = clock
        self._redis = Questions(url, clock, patience=patience)
        self._fallback = InProcessRateLimiter(clock)
        self._owed: dict[str, tuple[Reservation, int]] = {}

    async def hit(self, limit: Limit, key: str) -> Allowance:
        try:
            return await self._look(limit, key, count=True)
        except UnavailableError:
            return await self._fallback.hit(limit, key)

    async def peek(self, limit: Limit, key: str) -> Allowance:
        try:
            return await self._look(limit, key, count=False)
        except UnavailableError:
            return await self._fallback.peek(limit, key)

    async def give_back(self, limit: Limit, key: str) -> None:
        try:
            await self._ask("RPOP", _window_key(limit, key))
        except UnavailableError:
            await self._fallback.give_back(limit, key)

    async def reset(self, limit: Limit, key: str) -> None:
        await self._fallback.reset(limit, key)
        with suppress(UnavailableError):
            await self._ask("DEL", _window_key(limit, key))

    async def reserve(self, budget: Budget, key: str, amount: int) -> Reservation:
        now = self._clock.now()
        left = seconds_to_midnight(now)
        asked = Reservation(True, 0, 0.0, id=new_id(), budget=budget, key=key, day=now.date(), amount=amount)
        arguments = (budget.amount, amount, asked.id, int(left + SETTLED_LATE.total_seconds()))
        try:
            allowed, remaining = await self._ask(*RESERVE.over(_day_key(asked), *arguments))
        except CircuitOpenError:
            return await self._fallback.reserve(budget, key, amount)
        except UnavailableError:
            self._owe(asked, 0)  # it may have been heard
            return await self._fallback.reserve(budget, key, amount)
        except CancelledError:
            self._owe(asked, 0)
            raise
        return replace(asked, allowed=bool(allowed), remaining=remaining, retry_after=0.0 if allowed else left)

    async def settle(self, reservation: Reservation, used: int) -> bool:
        if not reservation.allowed or await self._fallback.settle(reservation, used):
            return reservation.allowed
        try:
            return bool(await self._ask(*SETTLE.over(_day_key(reservation), reservation.id, used)))
        except UnavailableError:
            return self._owe(reservation, used)
        except CancelledError:
            self._owe(reservation, used)
            raise

    async def check(self) -> None:
        await self._ask("PING")

    async def aclose(self) -> None:
        await self._fallback.aclose()
        await self._redis.aclose()

    async def _look(self, limit: Limit, key: str, *, count: bool) -> Allowance:
        now = round(self._clock.now().timestamp() * _SECOND)
        arguments = (now, limit.seconds * _SECOND, limit.amount, int(count))
        allowed, remaining, reset = await self._ask(*WINDOW.over(_window_key(limit, key), *arguments))
        reset_after = reset / _SECOND
        return Allowance(bool(allowed), remaining, reset_after, 0.0 if allowed else reset_after)

    async def _ask(self, *command: str | int) -> Any:
        answer = await self._redis.ask(*command)
        if self._owed:
            await self._deliver()
        return answer

    def _owe(self, reservation: Reservation, used: int) -> bool:
        """Whether it was not owed before."""
        if reservation.id in self._owed:
            return False
        if len(self._owed) >= MAX_OWED:
            del self._owed[next(iter(self._owed))]
        self._owed[reservation.id] = (reservation, used)
        return True

    async def _deliver(self) -> None:
        """Settling twice changes nothing, so what was heard although it was not answered does no harm."""
        owed = list(self._owed.values())
        with suppress(UnavailableError):
            await gather(*(self._redis.ask(*SETTLE.over(_day_key(one), one.id, used)) for one, used in owed))
            for reservation, _ in owed:
                self._owed.pop(reservation.id, None)


def _window_key(limit: Limit, key: str) -> str:
    return f"chat-rate:{limit.name}:{key}"


def _day_key(reservation: Reservation) -> str:
    return f"chat-budget:{reservation.budget.name}:{reservation.day}:{reservation.key}"
