"""How often something may happen, and how much of it in a day.

Owns counting, exactly, over every process that shares the limiter: in moving windows, and in budgets of one day (UTC).
It refuses to know who is limited or why: keys are the caller's. Nothing it is asked takes long or fails for want of a
server: one that cannot reach what the processes share counts in each process by itself.
"""

from datetime import date
from typing import Protocol

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """At most `amount` in any `seconds` (a moving window). The name tells limits apart: how much each allows may
    change, and what was counted stays counted.
    """

    name: str
    amount: int
    seconds: int


class Allowance(msgspec.Struct, frozen=True):
    """`reset_after` and `retry_after` are in seconds; `retry_after` is 0 when allowed."""

    allowed: bool
    remaining: int
    reset_after: float
    retry_after: float


class Budget(msgspec.Struct, frozen=True):
    """At most `amount` a day, from midnight to midnight UTC. The name tells budgets apart: its amount may change."""

    name: str
    amount: int


class Reservation(msgspec.Struct, frozen=True):
    """`remaining` is never negative; `retry_after` is in seconds, to midnight, and 0 when allowed.

    The rest is what `settle` has to know; `day` is the one that the reservation belongs to.
    """

    allowed: bool
    remaining: int
    retry_after: float
    id: str
    budget: Budget
    key: str
    day: date
    amount: int


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

    async def reserve(self, budget: Budget, key: str, amount: int) -> Reservation:
        """Take `amount`, 0 or more, of the day's budget if the day's sum stays within it; a refused one takes nothing.

        The sum is what was used and what is still reserved. What is never settled stays reserved until midnight.
        """
        ...

    async def settle(self, reservation: Reservation, used: int) -> bool:
        """Count what was really used, 0 or more, in place of what was reserved, on the day of the reservation.

        More than was reserved counts in full, so the sum may pass the budget: then nothing is reserved any more.
        Returns whether this settled it: not if it was refused, is settled, or its day ended more than a day ago.
        """
        ...

    async def check(self) -> None:
        """Raises `UnavailableError` when limits do not hold over all processes for now."""
        ...

    async def aclose(self) -> None: ...
