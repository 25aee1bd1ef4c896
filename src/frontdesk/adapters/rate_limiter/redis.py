"""Limits that all processes share, counted by a Redis server."""

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from msgspec.structs import replace
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from frontdesk.adapters.rate_limiter.circuit_breaker import CircuitBreaker, CircuitOpenError
from frontdesk.adapters.rate_limiter.in_process import SETTLED_LATE, InProcessRateLimiter
from frontdesk.adapters.rate_limiter.redis_scripts import RESERVE, SETTLE, WINDOW
from frontdesk.errors import ConfigurationError, UnavailableError
from frontdesk.kit.clock import Clock, seconds_to_midnight
from frontdesk.kit.ids import new_id
from frontdesk.ports.rate_limiter import Allowance, Budget, Limit, Reservation

CONNECTIONS = 16
PATIENCE_SECONDS = 0.25
MAX_OWED = 1_000
# RuntimeError is what uvloop says to who writes on a connection that was reset.
_FAILURES = (RedisError, OSError, RuntimeError)
_SECOND = 1_000_000  # microseconds


class RedisRateLimiter:
    """Exact over all processes, as far as their clocks agree: every question is one script, which Redis runs alone.

    When Redis does not answer in `patience` (seconds), limits hold in each process until it does. Settlements that it
    has not heard are then made good, at most `MAX_OWED`; beyond, the oldest's reservation stays taken in full.
    """

    def __init__(self, url: str, clock: Clock, *, patience: float = PATIENCE_SECONDS) -> None:
        """Nothing is connected yet. Raises `ConfigurationError` when the URL is none."""
        self._clock = clock
        self._client = _client(url)
        self._window = self._client.register_script(WINDOW)
        self._reserve = self._client.register_script(RESERVE)
        self._settle = self._client.register_script(SETTLE)
        self._breaker = CircuitBreaker(clock, server="Redis", failures=_FAILURES, patience=patience)
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
            await self._ask(partial(self._client.rpop, _window_key(limit, key)))
        except UnavailableError:
            await self._fallback.give_back(limit, key)

    async def reset(self, limit: Limit, key: str) -> None:
        await self._fallback.reset(limit, key)
        with suppress(UnavailableError):
            await self._ask(partial(self._client.delete, _window_key(limit, key)))

    async def reserve(self, budget: Budget, key: str, amount: int) -> Reservation:
        now = self._clock.now()
        left = seconds_to_midnight(now)
        asked = Reservation(True, 0, 0.0, id=new_id(), budget=budget, key=key, day=now.date(), amount=amount)
        arguments = (budget.amount, amount, asked.id, int(left + SETTLED_LATE.total_seconds()))
        try:
            allowed, remaining = await self._ask(partial(self._reserve, [_day_key(asked)], arguments))
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
            return bool(await self._ask(partial(self._settle, [_day_key(reservation)], (reservation.id, used))))
        except UnavailableError:
            return self._owe(reservation, used)
        except CancelledError:
            self._owe(reservation, used)
            raise

    async def check(self) -> None:
        await self._ask(self._client.ping)

    async def aclose(self) -> None:
        await self._fallback.aclose()
        await self._client.aclose()

    async def _look(self, limit: Limit, key: str, *, count: bool) -> Allowance:
        now = round(self._clock.now().timestamp() * _SECOND)
        arguments = (now, limit.seconds * _SECOND, limit.amount, int(count))
        allowed, remaining, reset = await self._ask(partial(self._window, [_window_key(limit, key)], arguments))
        reset_after = reset / _SECOND
        return Allowance(bool(allowed), remaining, reset_after, 0.0 if allowed else reset_after)

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        answer = await self._breaker.run(call)
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

        async def send() -> None:
            async with self._client.pipeline(transaction=False) as pipe:
                for reservation, used in owed:
                    await self._settle([_day_key(reservation)], (reservation.id, used), client=pipe)
                await pipe.execute()

        with suppress(UnavailableError):
            await self._breaker.run(send)
            for reservation, _ in owed:
                self._owed.pop(reservation.id, None)


def _client(url: str) -> Redis:
    """Waiting and trying again are the breaker's business, so neither is the client's."""
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
    except ValueError as error:
        raise ConfigurationError("CHAT_REDIS_URL is not a Redis URL, such as redis://HOST:PORT/0") from error
    return Redis.from_pool(pool)


def _window_key(limit: Limit, key: str) -> str:
    return f"chat-rate:{limit.name}:{key}"


def _day_key(reservation: Reservation) -> str:
    return f"chat-budget:{reservation.budget.name}:{reservation.day}:{reservation.key}"
