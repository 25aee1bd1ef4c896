"""How often something may happen.

Owns counting in moving windows, exactly, over every process that shares the limiter. It refuses to know who is
limited or why: keys are the caller's.
"""

from typing import Protocol

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """At most `amount` in any `seconds` (a moving window)."""

    name: str
    amount: int
    seconds: int


class Allowance(msgspec.Struct, frozen=True):
    """`reset_after` and `retry_after` are in seconds; `retry_after` is 0 when allowed."""

    allowed: bool
    remaining: int
    reset_after: float
    retry_after: float


class RateLimiter(Protocol):
    async def hit(self, limit: Limit, key: str) -> Allowance:
        """Count one if it is allowed; a refused one is not counted."""
        ...

    async def peek(self, limit: Limit, key: str) -> Allowance:
        """What a hit would be told now; nothing is counted."""
        ...

    async def give_back(self, limit: Limit, key: str) -> None:
        """Count the newest hit no more, if there is one: what it was reserved for did not count."""
        ...

    async def reset(self, limit: Limit, key: str) -> None: ...

    async def aclose(self) -> None: ...
