"""Calls to Temporal that nobody waits for: few at once, and none for a moment after one has failed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from temporalio.client import Client
from temporalio.service import RetryConfig, RPCError

from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock

AWAY = (RPCError, RuntimeError, TimeoutError)  # the client raises RuntimeError when it cannot connect
_CALL_SECONDS = 2.0
_AT_ONCE = 64
_MOST = 5000
_REST_SECONDS = 1.0
_logger = structlog.get_logger(__name__)
T = TypeVar("T")
Call = Callable[[Client], Awaitable[object]]


class TemporalCalls:
    """`address` is `HOST:PORT`. A call that is not made or fails is lost: the caller has another way to notice."""

    def __init__(self, *, address: str, namespace: str, clock: Clock) -> None:
        self._address = address
        self._namespace = namespace
        self._clock = clock
        self._client: Client | None = None
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._resting_until = 0.0

    @property
    def room(self) -> int:
        """How many more calls may be begun now: none while it rests."""
        resting = self._client is None or self._clock.monotonic() < self._resting_until
        return 0 if resting else _MOST - len(self._under_way)

    async def open(self) -> None:
        """Connects when it is first needed, so that the program starts while Temporal is away."""
        retries = RetryConfig(max_retries=1, max_elapsed_time_millis=1000)
        self._client = await Client.connect(self._address, namespace=self._namespace, lazy=True, retry_config=retries)

    async def aclose(self) -> None:
        self._client = None
        calls = list(self._under_way.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def begin(self, name: str, call: Call) -> None:
        """Make the call soon; a `name` that is under way is not begun twice."""
        if self.room > 0 and name not in self._under_way:
            task = self._under_way[name] = asyncio.create_task(self._make(name, call))
            task.add_done_callback(lambda _: self._under_way.pop(name))

    async def ask(self, call: Callable[[Client], Awaitable[T]], *, seconds: float) -> T:
        """Make the call now. Raises `UnavailableError` when there is no answer within `seconds`."""
        if self._client is None:
            raise UnavailableError("The engine is closed")
        try:
            async with asyncio.timeout(seconds):
                return await call(self._client)
        except RPCError as error:
            raise UnavailableError(f"Temporal cannot be used: {error.status.name}") from error
        except (RuntimeError, TimeoutError) as error:
            raise UnavailableError("Temporal cannot be reached") from error

    async def _make(self, name: str, call: Call) -> None:
        async with self._places:
            if self.room <= 0:
                return
            try:
                await self.ask(call, seconds=_CALL_SECONDS)
            except UnavailableError as error:
                self._rest(name, error)

    def _rest(self, name: str, error: UnavailableError) -> None:
        if self._clock.monotonic() >= self._resting_until:
            _logger.warning("a call to Temporal failed", call=name, reason=str(error.__cause__) or error.detail)
        self._resting_until = self._clock.monotonic() + _REST_SECONDS
