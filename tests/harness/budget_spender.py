"""One of several processes that spend one budget: `python -m harness.budget_spender URL AMOUNT`.

It reserves and settles until a while past midnight, some at a time, and writes a line of JSON before and after each
step, so that what it had done is known when it is killed. It never uses more than it has reserved.
"""

import asyncio
import json
import random
import sys
from datetime import date
from typing import Any

from frontdesk.adapters.rate_limiter.redis import RedisRateLimiter
from frontdesk.kit.clock import SystemClock
from frontdesk.ports.rate_limiter import Budget, Reservation
from harness.rate_limiter_load import PATIENT

NAME, KEY = "spent", "all"
SPENDERS = 5
MOST = 40
LONGEST_USE = 0.2  # seconds
SECONDS_AFTER_MIDNIGHT = 1.0
POLL_SECONDS = 0.02


def tell(did: str, **fields: Any) -> None:
    print(json.dumps({"did": did, **fields}), flush=True)  # noqa: T201  the protocol


class Spender:
    def __init__(self, url: str, amount: int) -> None:
        self._clock = SystemClock()
        self._limiter = RedisRateLimiter(url, self._clock, patience=PATIENT)
        self._budget = Budget(NAME, amount)
        self._is_over = False

    async def run(self) -> None:
        """One reservation is kept past midnight and used on the day after."""
        kept = await self._reserve()
        async with asyncio.TaskGroup() as group:
            for _ in range(SPENDERS):
                group.create_task(self._spend())
            while self._today() == kept.day:  # noqa: ASYNC110  nobody tells what a wall clock shows
                await asyncio.sleep(POLL_SECONDS)
            await self._settle(kept)
            await asyncio.sleep(SECONDS_AFTER_MIDNIGHT)
            self._is_over = True
        await self._limiter.aclose()

    async def _spend(self) -> None:
        while not self._is_over:
            reservation = await self._reserve()
            await asyncio.sleep(random.uniform(0.0, LONGEST_USE))
            if reservation.allowed:
                await self._settle(reservation)

    async def _reserve(self) -> Reservation:
        before = self._clock.now()
        told = await self._limiter.reserve(self._budget, KEY, random.randint(1, MOST))
        tell(
            "reserved",
            before=before.isoformat(),
            after=self._clock.now().isoformat(),
            id=told.id,
            day=told.day.isoformat(),
            amount=told.amount,
            allowed=told.allowed,
            retry_after=told.retry_after,
        )
        return told

    async def _settle(self, reservation: Reservation) -> None:
        used = random.randint(0, reservation.amount)
        tell("settling", id=reservation.id, used=used)
        is_first = await self._limiter.settle(reservation, used)
        tell("settled", id=reservation.id, first=is_first, day=self._today().isoformat())

    def _today(self) -> date:
        return self._clock.now().date()


if __name__ == "__main__":
    asyncio.run(Spender(sys.argv[1], int(sys.argv[2])).run())
