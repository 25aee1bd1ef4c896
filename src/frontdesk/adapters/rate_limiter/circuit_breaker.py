"""Keeps calls away from a server that does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock

FAILURES_TO_OPEN = 2
REST_SECONDS = 2.0

_logger = structlog.get_logger(__name__)
Result = TypeVar("Result")


class CircuitOpenError(UnavailableError):
    """The call was not made."""


class CircuitBreaker:
    """Closed, it lets every call through. `FAILURES_TO_OPEN` in a row open it: then calls are refused at once.

    `REST_SECONDS` later one call, and only one at a time, goes through as a probe: its success closes, its failure
    makes for another rest. `failures` are the errors that count, beside taking longer than `patience` (seconds).
    """

    def __init__(self, clock: Clock, *, server: str, failures: tuple[type[Exception], ...], patience: float) -> None:
        self._clock = clock
        self._server = server
        self._failures: tuple[type[Exception], ...] = (TimeoutError, *failures)
        self._patience = patience
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False

    async def run(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Raises `CircuitOpenError`, with nothing called, and `UnavailableError` when the call failed."""
        probing = self._admit()
        try:
            async with asyncio.timeout(self._patience):
                result = await call()
        except self._failures as error:
            self._fail(error, probing=probing)
            raise UnavailableError(f"{self._server} does not answer") from error
        finally:
            self._probing = self._probing and not probing
        self._succeed(probing=probing)
        return result

    def _admit(self) -> bool:
        """Whether the call is a probe."""
        if self._opened_at is None:
            return False
        if self._probing or self._clock.monotonic() < self._opened_at + REST_SECONDS:
            raise CircuitOpenError(f"{self._server} does not answer")
        self._probing = True
        return True

    def _fail(self, error: Exception, *, probing: bool) -> None:
        if probing:
            self._opened_at = self._clock.monotonic()
        elif self._opened_at is None:
            self._failed += 1
            if self._failed >= FAILURES_TO_OPEN:
                self._opened_at = self._clock.monotonic()
                _logger.warning("going on without a server", server=self._server, reason=repr(error))

    def _succeed(self, *, probing: bool) -> None:
        if probing:
            self._opened_at = None
            _logger.info("a server answers again", server=self._server)
        if self._opened_at is None:
            self._failed = 0
