"""What every rate limiter keeps to."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.adapters.rate_limiter.in_process import MAX_KEYS, InProcessRateLimiter
from frontdesk.kit.clock import HeldClock
from frontdesk.ports.rate_limiter import Limit, RateLimiter

LIMIT = Limit("calls", 3, 10)


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture(params=[InProcessRateLimiter])
async def limiter(request: pytest.FixtureRequest, clock: HeldClock) -> AsyncIterator[RateLimiter]:
    limiter: RateLimiter = request.param(clock)
    yield limiter
    await limiter.aclose()


async def test_the_limit_is_exact_and_says_what_is_left(limiter: RateLimiter) -> None:
    told = [await limiter.hit(LIMIT, "a") for _ in range(5)]
    assert [(one.allowed, one.remaining) for one in told] == [(True, 2), (True, 1), (True, 0), (False, 0), (False, 0)]
    assert told[0].retry_after == 0
    assert told[4].retry_after == pytest.approx(10)


async def test_200_at_once_get_exactly_the_limit(limiter: RateLimiter) -> None:
    limit = Limit("many", 100, 60)
    told = await asyncio.gather(*(limiter.hit(limit, "a") for _ in range(200)))
    assert sum(one.allowed for one in told) == 100


async def test_the_window_moves(limiter: RateLimiter, clock: HeldClock) -> None:
    for _ in range(3):
        assert (await limiter.hit(LIMIT, "a")).allowed
        clock.advance(4)
    assert (await limiter.hit(LIMIT, "a")).allowed, "the first is 12 seconds old"
    refused = await limiter.hit(LIMIT, "a")
    assert not refused.allowed
    assert refused.retry_after == pytest.approx(2)
    clock.advance(2)
    assert (await limiter.hit(LIMIT, "a")).allowed


async def test_a_refused_hit_is_not_counted(limiter: RateLimiter, clock: HeldClock) -> None:
    for _ in range(10):
        await limiter.hit(LIMIT, "a")
    clock.advance(10)
    assert (await limiter.hit(LIMIT, "a")).remaining == 2


async def test_a_peek_counts_nothing(limiter: RateLimiter) -> None:
    assert (await limiter.peek(LIMIT, "a")).remaining == 3
    await limiter.hit(LIMIT, "a")
    assert [(await limiter.peek(LIMIT, "a")).remaining for _ in range(3)] == [2, 2, 2]
    await limiter.hit(LIMIT, "a")
    await limiter.hit(LIMIT, "a")
    peeked = await limiter.peek(LIMIT, "a")
    assert not peeked.allowed
    assert peeked.retry_after == pytest.approx(10)


async def test_what_is_given_back_can_be_used_again(limiter: RateLimiter) -> None:
    for _ in range(3):
        await limiter.hit(LIMIT, "a")
    await limiter.give_back(LIMIT, "a")
    assert [(await limiter.hit(LIMIT, "a")).allowed for _ in range(2)] == [True, False]


async def test_giving_back_nothing_adds_nothing(limiter: RateLimiter) -> None:
    await limiter.give_back(LIMIT, "a")
    assert (await limiter.hit(LIMIT, "a")).remaining == 2


async def test_keys_and_limits_are_apart_and_a_reset_clears_one(limiter: RateLimiter) -> None:
    other = Limit("others", 3, 10)
    for _ in range(3):
        await limiter.hit(LIMIT, "a")
        await limiter.hit(LIMIT, "b")
    assert (await limiter.hit(other, "a")).allowed
    await limiter.reset(LIMIT, "a")
    assert (await limiter.hit(LIMIT, "a")).allowed
    assert not (await limiter.hit(LIMIT, "b")).allowed


@given(steps=st.lists(st.integers(min_value=0, max_value=6), max_size=60))
async def test_no_window_ever_holds_more_than_the_limit(steps: list[int]) -> None:
    clock = HeldClock()
    limiter, allowed, model = InProcessRateLimiter(clock), [], []
    for step in steps:
        clock.advance(step)
        now = clock.monotonic()
        model = [moment for moment in model if moment > now - LIMIT.seconds]
        assert (await limiter.hit(LIMIT, "a")).allowed == (len(model) < LIMIT.amount)
        if len(model) < LIMIT.amount:
            model.append(now)
            allowed.append(now)
    assert all(
        later - earlier >= LIMIT.seconds for earlier, later in zip(allowed, allowed[LIMIT.amount :], strict=False)
    )
    assert all(earlier <= later for earlier, later in pairwise(allowed))


async def test_memory_is_bounded_and_given_back(clock: HeldClock) -> None:
    limiter = InProcessRateLimiter(clock)
    for number in range(MAX_KEYS + 10):
        await limiter.hit(LIMIT, str(number))
    assert len(limiter._windows[LIMIT]) == MAX_KEYS
    clock.advance(LIMIT.seconds)
    await limiter.hit(LIMIT, "last")
    assert len(limiter._windows[LIMIT]) == 1
