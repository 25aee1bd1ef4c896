"""One of several processes that ask one rate limiter at once: `python -m harness.rate_limiter_load URL`.

It says `ready`, waits for a line of JSON and does what that asks for: `hits` or `reserves`, all at the same time. It
answers with a line of JSON.
"""

import asyncio
import json
import sys
from typing import Any

from frontdesk.adapters.rate_limiter.redis import RedisRateLimiter
from frontdesk.kit.clock import HeldClock
from frontdesk.ports.rate_limiter import Budget, Limit

PATIENT = 30.0  # seconds: a busy machine is no failure where failures are not what is tested


async def hits(limiter: RedisRateLimiter, *, count: int, amount: int) -> dict[str, Any]:
    told = await asyncio.gather(*(limiter.hit(Limit("load", amount, 60), "all") for _ in range(count)))
    return {"allowed": sum(one.allowed for one in told), "remaining": sorted(one.remaining for one in told)}


async def reserves(limiter: RedisRateLimiter, *, asked: list[int], used: list[int], amount: int) -> dict[str, Any]:
    """Everyone reserves; then the ones that were allowed are settled, every second of them twice."""
    told = await asyncio.gather(*(limiter.reserve(Budget("load", amount), "all", one) for one in asked))
    allowed = [(one, really) for one, really in zip(told, used, strict=True) if one.allowed]
    await asyncio.gather(*(limiter.settle(one, really) for one, really in allowed + allowed[::2]))
    return {"reserved": sum(one.amount for one, _ in allowed), "used": sum(really for _, really in allowed)}


async def main(url: str) -> None:
    limiter = RedisRateLimiter(url, HeldClock(), patience=PATIENT)
    await limiter.check()
    print("ready", flush=True)  # noqa: T201  the protocol
    work = json.loads(await asyncio.to_thread(sys.stdin.readline))
    does = {"hits": hits, "reserves": reserves}[work.pop("do")]
    answer = await does(limiter, **work)
    await limiter.aclose()
    print(json.dumps(answer), flush=True)  # noqa: T201  the protocol


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
