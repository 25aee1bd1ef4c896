"""Limits on a real Redis: over several processes, and while it is away."""

import asyncio
import json
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis

from deploy.parts.redis import RedisServer
from frontdesk.adapters.rate_limiter.circuit_breaker import FAILURES_TO_OPEN, REST_SECONDS
from frontdesk.adapters.rate_limiter.redis import MAX_OWED, RedisRateLimiter
from frontdesk.errors import ConfigurationError, UnavailableError
from frontdesk.kit.clock import HeldClock
from frontdesk.ports.rate_limiter import Budget, Limit
from harness.callers import founder
from harness.fault_proxy import FaultProxy
from harness.fixtures import Logged
from harness.identities import settings_for
from harness.rate_limiter_load import PATIENT
from harness.served import served

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src"
PROCESSES = 4
LIMIT = Limit("calls", 3, 60)
BUDGET = Budget("tokens", 100)
DAY = 86_400


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def limiter(redis_server: RedisServer, clock: HeldClock) -> AsyncIterator[RedisRateLimiter]:
    """With the patience that it has when it serves."""
    limiter = RedisRateLimiter(redis_server.url, clock)
    yield limiter
    await limiter.aclose()


@pytest.fixture
async def neighbour(redis_server: RedisServer) -> AsyncIterator[RedisRateLimiter]:
    """Another process's limiter, as Redis sees it: it tells what Redis holds."""
    limiter = RedisRateLimiter(redis_server.url, HeldClock(), patience=PATIENT)
    yield limiter
    await limiter.aclose()


async def day_sum(limiter: RedisRateLimiter) -> int:
    return 1_000_000 - (await limiter.reserve(Budget(BUDGET.name, 1_000_000), "a", 0)).remaining


async def until_well(limiter: RedisRateLimiter, clock: HeldClock) -> None:
    async with asyncio.timeout(30):
        while True:
            clock.advance(REST_SECONDS)
            try:
                return await limiter.check()
            except UnavailableError:
                await asyncio.sleep(0.02)


async def opened(limiter: RedisRateLimiter) -> None:
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(UnavailableError):
            await limiter.check()


async def line_of(process: Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


async def at_once(server: RedisServer, work: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each piece of work by a process of its own, all told to begin when all are ready; what they answer."""
    command = (sys.executable, "-m", "harness.rate_limiter_load", server.url)
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"}
    started = [await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment) for _ in work]
    try:
        async with asyncio.timeout(60):
            for process in started:
                assert await line_of(process) == b"ready\n"
            for process, asked in zip(started, work, strict=True):
                assert process.stdin is not None
                process.stdin.write(json.dumps(asked).encode() + b"\n")
            told = [json.loads(await line_of(process)) for process in started]
            assert [await process.wait() for process in started] == [0] * len(work)
            return told
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_200_hits_by_4_processes_get_exactly_the_limit(redis_server: RedisServer) -> None:
    work = {"do": "hits", "count": 200 // PROCESSES, "amount": 100}
    told = await at_once(redis_server, [work] * PROCESSES)
    assert sum(one["allowed"] for one in told) == 100
    remaining = sorted(left for one in told for left in one["remaining"])
    assert remaining == [0] * 100 + list(range(100)), "every number once, and 0 for each that was refused"


async def test_200_reservations_by_4_processes_stay_in_the_budget(
    redis_server: RedisServer, neighbour: RedisRateLimiter
) -> None:
    chance = random.Random(7)
    asked = [[chance.randint(1, 9) for _ in range(200 // PROCESSES)] for _ in range(PROCESSES)]
    used = [[chance.randint(0, 12) for _ in one] for one in asked]
    amount = 300
    assert sum(map(sum, asked)) > 2 * amount
    work = [{"do": "reserves", "asked": a, "used": u, "amount": amount} for a, u in zip(asked, used, strict=True)]
    told = await at_once(redis_server, work)
    held = 1_000_000 - (await neighbour.reserve(Budget("load", 1_000_000), "all", 0)).remaining
    assert held == sum(one["used"] for one in told), "what was really used, each once"


async def test_200_reservations_of_one_each_by_4_processes_get_exactly_the_budget(redis_server: RedisServer) -> None:
    count = 200 // PROCESSES
    work = {"do": "reserves", "asked": [1] * count, "used": [1] * count, "amount": 100}
    told = await at_once(redis_server, [work] * PROCESSES)
    assert sum(one["reserved"] for one in told) == 100


async def test_keys_have_their_prefixes_and_do_not_stay(limiter: RedisRateLimiter, redis_server: RedisServer) -> None:
    await limiter.hit(LIMIT, "a:b")
    await limiter.reserve(BUDGET, "a:b", 5)
    async with Redis.from_url(redis_server.url, decode_responses=True) as redis:
        left = {key: await redis.ttl(key) async for key in redis.scan_iter()}
    assert left.keys() == {"chat-rate:calls:a:b", "chat-budget:tokens:2026-01-01:a:b"}
    assert 0 < left["chat-rate:calls:a:b"] <= LIMIT.seconds
    assert DAY < left["chat-budget:tokens:2026-01-01:a:b"] <= 2 * DAY


async def test_while_redis_hangs_limits_hold_in_the_process(
    limiter: RedisRateLimiter,
    neighbour: RedisRateLimiter,
    *,
    redis_server: RedisServer,
    clock: HeldClock,
    logged: Logged,
) -> None:
    await limiter.hit(LIMIT, "a")
    redis_server.pause()
    async with asyncio.timeout(20):  # to wait for Redis each time would take minutes
        told = [await limiter.hit(LIMIT, "a") for _ in range(500)]
    assert sum(one.allowed for one in told) == LIMIT.amount
    with pytest.raises(UnavailableError):
        await limiter.check()
    redis_server.resume()
    await until_well(limiter, clock)
    await limiter.hit(LIMIT, "b")
    assert (await neighbour.peek(LIMIT, "b")).remaining == 2, "it counts in Redis again"
    assert [line["level"] for line in logged()] == ["warning", "info"]


async def test_many_at_once_wait_for_redis_no_longer_than_one(
    limiter: RedisRateLimiter, redis_server: RedisServer
) -> None:
    redis_server.pause()
    limit = Limit("many", 100, 60)
    async with asyncio.timeout(20):  # one after the other would take longer
        told = await asyncio.gather(*(limiter.hit(limit, "a") for _ in range(200)))
    assert sum(one.allowed for one in told) == 100


async def test_everything_is_answered_while_redis_is_gone(
    limiter: RedisRateLimiter, redis_server: RedisServer, clock: HeldClock
) -> None:
    await asyncio.to_thread(redis_server.stop)
    await opened(limiter)
    assert (await limiter.hit(LIMIT, "a")).remaining == 2
    assert (await limiter.peek(LIMIT, "a")).remaining == 2
    await limiter.give_back(LIMIT, "a")
    assert (await limiter.hit(LIMIT, "a")).remaining == 2
    await limiter.reset(LIMIT, "a")
    assert (await limiter.peek(LIMIT, "a")).remaining == 3
    reservation = await limiter.reserve(BUDGET, "a", 70)
    assert not (await limiter.reserve(BUDGET, "a", 31)).allowed
    assert await limiter.settle(reservation, 10)
    assert (await limiter.reserve(BUDGET, "a", 90)).allowed
    await asyncio.to_thread(redis_server.start)
    await until_well(limiter, clock)


async def test_a_restart_that_nobody_asked_in_is_not_noticed(
    limiter: RedisRateLimiter, redis_server: RedisServer, logged: Logged
) -> None:
    await asyncio.gather(*(limiter.hit(LIMIT, "a") for _ in range(20)))
    await asyncio.to_thread(redis_server.stop)
    await asyncio.to_thread(redis_server.start)
    assert [(await limiter.hit(LIMIT, "a")).remaining for _ in range(3)] == [2, 1, 0]
    assert logged() == []


async def test_what_was_used_while_redis_was_away_is_settled_when_it_is_back(
    limiter: RedisRateLimiter, neighbour: RedisRateLimiter, redis_server: RedisServer, clock: HeldClock
) -> None:
    early = await limiter.reserve(BUDGET, "a", 80)
    redis_server.pause()
    await opened(limiter)
    assert await limiter.settle(early, 30)
    assert not await limiter.settle(early, 0)
    meanwhile = await limiter.reserve(BUDGET, "a", 50)
    redis_server.resume()
    await until_well(limiter, clock)
    assert await day_sum(neighbour) == 30
    assert not await limiter.settle(early, 0)
    assert await limiter.settle(meanwhile, 20), "it was made in the process"
    assert await day_sum(neighbour) == 30


async def test_a_reservation_that_redis_heard_and_did_not_answer_is_given_back(
    limiter: RedisRateLimiter, neighbour: RedisRateLimiter, redis_server: RedisServer, clock: HeldClock
) -> None:
    assert await day_sum(limiter) == 0  # Redis has the script: it does what it hears
    redis_server.pause()
    assert (await limiter.reserve(BUDGET, "a", 60)).allowed
    await opened(limiter)
    redis_server.resume()
    await until_well(limiter, clock)
    assert await day_sum(neighbour) == 0


async def test_a_caller_that_leaves_leaves_nothing_reserved(
    limiter: RedisRateLimiter, neighbour: RedisRateLimiter, redis_server: RedisServer
) -> None:
    assert await day_sum(limiter) == 0
    redis_server.pause()
    asking = asyncio.create_task(limiter.reserve(BUDGET, "a", 60))
    for _ in range(20):
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    redis_server.resume()
    await neighbour.check()
    await limiter.check()
    assert await day_sum(neighbour) == 0


async def test_what_is_owed_is_bounded(limiter: RedisRateLimiter, redis_server: RedisServer) -> None:
    made = [await limiter.reserve(Budget("many", MAX_OWED * 2), "a", 1) for _ in range(MAX_OWED + 5)]
    redis_server.pause()
    await opened(limiter)
    for one in made:
        await limiter.settle(one, 0)
    assert list(limiter._owed) == [one.id for one in made[5:]]


@pytest.mark.parametrize("url", ["http://localhost", "redis://localhost:port", "nonsense"])
def test_what_is_no_redis_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CHAT_REDIS_URL"):
        RedisRateLimiter(url, HeldClock())


async def test_the_server_throttles_over_redis_and_is_ready_without_it(
    sqlite_url: str, redis_server: RedisServer
) -> None:
    chosen = settings_for(sqlite_url, redis_url=redis_server.url, login_attempts_per_user=2)
    async with served(chosen) as client:
        person = await founder(client)
        wrong = {"username": person.username, "password": "not the password"}
        told = [(await client.post("/auth/login", json=wrong)).status_code for _ in range(3)]
        assert told == [401, 401, 429]
        async with Redis.from_url(redis_server.url, decode_responses=True) as redis:
            keys = {key async for key in redis.scan_iter("chat-rate:login-user:*")}
        assert keys == {f"chat-rate:login-user:{person.username}"}
        root = str(client.base_url).removesuffix("/api/")
        assert (await client.get(f"{root}/health/ready")).json()["parts"]["limiter"]["status"] == "ok"
        await asyncio.to_thread(redis_server.stop)
        ready = await client.get(f"{root}/health/ready")
        assert (ready.status_code, ready.json()["parts"]["limiter"]["status"]) == (200, "down")
        assert (await client.post("/auth/login", json=wrong)).status_code == 401, "counted in the process from now"


@pytest.mark.parametrize("error", [LookupError("nobody foresaw it"), RuntimeError("uvloop's")])
async def test_whatever_breaks_between_redis_and_a_question_nobody_waits_for_ever(
    limiter: RedisRateLimiter, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def broken(_commands: object) -> list[Any]:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(limiter._redis._link, "ask_all", broken)
        async with asyncio.timeout(5):
            asked = await asyncio.gather(*(limiter.hit(LIMIT, "a") for _ in range(3)), return_exceptions=True)
    if isinstance(error, RuntimeError):
        assert [getattr(one, "allowed", one) for one in asked] == [True] * 3, "counted in the process"
    else:
        assert asked == [error] * 3
    assert (await limiter.hit(LIMIT, "b")).allowed, "and the next is asked"


async def test_one_question_that_redis_refuses_fails_no_other(
    limiter: RedisRateLimiter, redis_server: RedisServer
) -> None:
    async with Redis.from_url(redis_server.url) as redis:
        await redis.set("chat-rate:calls:odd", "no list")
    odd, even = await asyncio.gather(limiter.hit(LIMIT, "odd"), limiter.hit(LIMIT, "even"))
    assert (odd.allowed, even.allowed) == (True, True)
    async with Redis.from_url(redis_server.url) as redis:
        assert await redis.llen("chat-rate:calls:even") == 1


async def test_connections_that_were_cut_while_idle_fail_no_request(redis_server: RedisServer) -> None:
    """On the loop that the program runs on: it says so in a way of its own."""

    async def cut_while_idle() -> None:
        async with FaultProxy("127.0.0.1", redis_server.port) as proxy:
            limiter = RedisRateLimiter(f"redis://127.0.0.1:{proxy.port}/0", HeldClock(), patience=5)
            limit = LIMIT
            assert (await limiter.hit(limit, "ann")).allowed
            proxy.reset_all()
            wire = limiter._redis._link._wire
            async with asyncio.timeout(20):
                while wire is None or not wire.is_lost:  # noqa: ASYNC110  nobody is told
                    await asyncio.sleep(0.01)
            assert (await limiter.hit(limit, "ann")).allowed
            await limiter.aclose()

    await asyncio.to_thread(uvloop.run, cut_while_idle())
