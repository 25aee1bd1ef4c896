"""What every rate limiter keeps to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.adapters.rate_limiter.in_process import MAX_KEYS, InProcessRateLimiter
from frontdesk.kit.clock import HeldClock
from frontdesk.ports.rate_limiter import Budget, Limit, RateLimiter, Reservation
from harness.rate_limiters import Make

LIMIT = Limit("calls", 3, 10)
BUDGET = Budget("tokens", 100)
DAY = 86_400


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC))


@pytest.fixture
async def limiter(make_limiter: Make, clock: HeldClock) -> AsyncIterator[RateLimiter]:
    limiter = make_limiter(clock)
    yield limiter
    await limiter.aclose()


async def day_sum(limiter: RateLimiter, key: str = "a") -> int:
    """What counts against today's budget; a budget's name, not its amount, is what it is."""
    return 1_000_000 - (await limiter.reserve(Budget(BUDGET.name, 1_000_000), key, 0)).remaining


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


async def test_a_hit_counts_until_its_window_ends_and_no_longer(limiter: RateLimiter, clock: HeldClock) -> None:
    for _ in range(3):
        await limiter.hit(LIMIT, "a")
    clock.advance(LIMIT.seconds - 0.000_001)
    refused = await limiter.hit(LIMIT, "a")
    assert not refused.allowed
    assert refused.retry_after == pytest.approx(0.000_001, rel=0.01)
    clock.advance(0.000_001)
    assert (await limiter.peek(LIMIT, "a")).remaining == 3
    assert [(await limiter.hit(LIMIT, "a")).allowed for _ in range(4)] == [True, True, True, False]


async def test_a_budget_is_reserved_to_its_last_unit_and_a_refusal_takes_nothing(limiter: RateLimiter) -> None:
    told = [await limiter.reserve(BUDGET, "a", amount) for amount in (60, 41, 40, 1, 0)]
    assert [(one.allowed, one.remaining) for one in told] == [
        (True, 40),
        (False, 40),
        (True, 0),
        (False, 0),
        (True, 0),
    ]
    assert (await limiter.reserve(BUDGET, "b", 100)).allowed
    assert (await limiter.reserve(Budget("others", 100), "a", 100)).allowed


async def test_a_refusal_says_how_long_it_is_to_midnight(limiter: RateLimiter) -> None:
    assert (await limiter.reserve(BUDGET, "a", 100)).retry_after == 0
    refused = await limiter.reserve(BUDGET, "a", 1)
    assert refused.retry_after == pytest.approx(DAY / 2 - 0.123_457, abs=1e-6)


async def test_what_was_not_used_is_given_back_once(limiter: RateLimiter) -> None:
    reservation = await limiter.reserve(BUDGET, "a", 80)
    assert await limiter.settle(reservation, 30)
    assert not await limiter.settle(reservation, 0)
    assert not await limiter.settle(reservation, 99)
    assert await day_sum(limiter) == 30
    assert (await limiter.reserve(BUDGET, "a", 70)).allowed


async def test_an_overrun_counts_in_full_and_stops_what_follows(limiter: RateLimiter) -> None:
    first = await limiter.reserve(BUDGET, "a", 50)
    second = await limiter.reserve(BUDGET, "a", 50)
    assert await limiter.settle(first, 170)
    assert await day_sum(limiter) == 220
    refused = await limiter.reserve(BUDGET, "a", 0)
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert await limiter.settle(second, 10)
    assert await day_sum(limiter) == 180


async def test_a_refused_reservation_settles_nothing(limiter: RateLimiter) -> None:
    refused = await limiter.reserve(BUDGET, "a", 101)
    assert not await limiter.settle(refused, 40)
    assert await day_sum(limiter) == 0


async def test_a_limit_that_changes_keeps_what_it_has_counted(limiter: RateLimiter) -> None:
    told = [await limiter.hit(Limit("changing", 5, 10), "a") for _ in range(4)]
    assert [one.remaining for one in told] == [4, 3, 2, 1]
    less = await limiter.hit(Limit("changing", 2, 10), "a")
    assert (less.allowed, less.remaining) == (False, 0)
    more = await limiter.hit(Limit("changing", 6, 20), "a")
    assert (more.allowed, more.remaining) == (True, 1)


async def test_an_amount_that_changes_keeps_the_days_sum(limiter: RateLimiter) -> None:
    await limiter.reserve(BUDGET, "a", 60)
    assert not (await limiter.reserve(Budget(BUDGET.name, 50), "a", 1)).allowed
    assert (await limiter.reserve(Budget(BUDGET.name, 200), "a", 140)).allowed


async def test_the_day_ends_at_midnight_utc(limiter: RateLimiter, clock: HeldClock) -> None:
    clock.advance(DAY / 2 - 0.123_457 - 0.000_001)
    assert (await limiter.reserve(BUDGET, "a", 100)).allowed
    refused = await limiter.reserve(BUDGET, "a", 1)
    assert refused.retry_after == pytest.approx(0.000_001)
    clock.advance(0.000_001)
    assert clock.now() == datetime(2026, 3, 2, tzinfo=UTC)
    assert (await limiter.reserve(BUDGET, "a", 100)).allowed


async def test_a_reservation_belongs_to_the_day_on_which_it_was_made(limiter: RateLimiter, clock: HeldClock) -> None:
    yesterdays = await limiter.reserve(BUDGET, "a", 100)
    clock.advance(DAY)
    await limiter.reserve(BUDGET, "a", 10)
    assert await limiter.settle(yesterdays, 130)
    assert not await limiter.settle(yesterdays, 0)
    assert await day_sum(limiter) == 10
    clock.advance(-DAY)
    assert await day_sum(limiter) == 130


async def test_reservations_at_once_never_pass_the_budget(limiter: RateLimiter) -> None:
    async def reserve_and_settle(number: int) -> Reservation:
        reservation = await limiter.reserve(BUDGET, "a", 1 + number % 7)
        await limiter.settle(reservation, reservation.amount)
        return reservation

    told = await asyncio.gather(*(reserve_and_settle(number) for number in range(200)))
    assert await day_sum(limiter) == sum(one.amount for one in told if one.allowed)
    assert 100 - 7 < await day_sum(limiter) <= 100


async def test_a_limiter_that_is_well_says_so(limiter: RateLimiter) -> None:
    await limiter.check()


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
    assert len(limiter._windows[LIMIT.name]) == MAX_KEYS
    clock.advance(LIMIT.seconds)
    await limiter.hit(LIMIT, "last")
    assert len(limiter._windows[LIMIT.name]) == 1


async def test_days_that_nothing_can_be_settled_on_are_forgotten(clock: HeldClock) -> None:
    limiter = InProcessRateLimiter(clock)
    early = await limiter.reserve(BUDGET, "a", 10)
    for _ in range(5):
        clock.advance(DAY)
        await limiter.reserve(BUDGET, "a", 10)
    assert len(limiter._days) == 2
    assert not await limiter.settle(early, 0)
    for number in range(MAX_KEYS + 10):
        await limiter.reserve(BUDGET, str(number), 1)
    assert len(limiter._days[clock.now().date()]) == MAX_KEYS
