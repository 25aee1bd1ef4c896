"""One limit for all that a request waits for.

It binds the task that sets it and nothing which that task starts: what goes on without the request has limits of its
own.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class _Limit:
    __slots__ = ("task", "until")

    def __init__(self, seconds: float) -> None:
        self.task = asyncio.current_task()
        self.until = asyncio.get_running_loop().time() + seconds


_current: ContextVar[_Limit | None] = ContextVar("time_limit", default=None)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """What this task waits for inside takes so long at most, all of it together."""
    token = _current.set(_Limit(seconds))
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def not_counted() -> Iterator[None]:
    """What takes its time inside is not ours: a body that comes slowly."""
    limit, loop = _binding(), asyncio.get_running_loop()
    begun = loop.time()
    try:
        yield
    finally:
        if limit is not None:
            limit.until += loop.time() - begun


def time_left() -> float:
    """Seconds, none or less when the time is over; infinite without a limit."""
    limit = _binding()
    return math.inf if limit is None else limit.until - asyncio.get_running_loop().time()


def _binding() -> _Limit | None:
    limit = _current.get()
    return limit if limit is not None and limit.task is asyncio.current_task() else None
