"""When calls go through, and when they are not made."""

import asyncio

import pytest

from frontdesk.adapters.rate_limiter.circuit_breaker import (
    FAILURES_TO_OPEN,
    REST_SECONDS,
    CircuitBreaker,
    CircuitOpenError,
)
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import HeldClock
from harness.fixtures import Logged


class Server:
    """Answers, refuses or hangs as it is told, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.refuses = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def answer(self) -> int:
        self.asked += 1
        self.was_asked.set()
        if self.refuses:
            raise ConnectionRefusedError
        await self.answering.wait()
        return self.asked


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def server() -> Server:
    return Server()


def breaker_of(clock: HeldClock, *, patience: float = 30) -> CircuitBreaker:
    return CircuitBreaker(clock, server="it", failures=(OSError,), patience=patience)


async def opened(breaker: CircuitBreaker, server: Server) -> None:
    server.refuses = True
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(UnavailableError):
            await breaker.run(server.answer)
    server.refuses = False
    server.asked = 0
    server.was_asked.clear()


async def test_failures_in_a_row_open_it_and_nothing_is_asked(clock: HeldClock, server: Server) -> None:
    breaker = breaker_of(clock)
    server.refuses = True
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(UnavailableError) as failed:
            await breaker.run(server.answer)
        assert not isinstance(failed.value, CircuitOpenError), "it was asked"
    for _ in range(10):
        with pytest.raises(CircuitOpenError):
            await breaker.run(server.answer)
    assert server.asked == FAILURES_TO_OPEN


async def test_a_success_between_failures_keeps_it_closed(clock: HeldClock, server: Server) -> None:
    breaker = breaker_of(clock)
    for _ in range(5):
        server.refuses = True
        with pytest.raises(UnavailableError):
            await breaker.run(server.answer)
        server.refuses = False
        assert await breaker.run(server.answer) == server.asked


async def test_a_server_that_hangs_has_failed(clock: HeldClock, server: Server) -> None:
    breaker = breaker_of(clock, patience=0.01)
    server.answering.clear()
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(UnavailableError):
            await breaker.run(server.answer)
    with pytest.raises(CircuitOpenError):
        await breaker.run(server.answer)


async def test_after_its_rest_one_probe_at_a_time_goes_through(clock: HeldClock, server: Server) -> None:
    breaker = breaker_of(clock)
    await opened(breaker, server)
    clock.advance(REST_SECONDS)
    server.answering.clear()
    probe = asyncio.create_task(breaker.run(server.answer))
    await server.was_asked.wait()
    for _ in range(10):
        with pytest.raises(CircuitOpenError):
            await breaker.run(server.answer)
    server.answering.set()
    assert await probe == 1
    assert await breaker.run(server.answer) == 2


async def test_a_probe_that_fails_makes_for_another_rest(clock: HeldClock, server: Server) -> None:
    breaker = breaker_of(clock)
    await opened(breaker, server)
    server.refuses = True
    clock.advance(REST_SECONDS)
    with pytest.raises(UnavailableError):
        await breaker.run(server.answer)
    clock.advance(REST_SECONDS - 0.1)
    with pytest.raises(CircuitOpenError):
        await breaker.run(server.answer)
    assert server.asked == 1


async def test_a_probe_whose_caller_leaves_makes_room_for_the_next(clock: HeldClock, server: Server) -> None:
    breaker = breaker_of(clock)
    await opened(breaker, server)
    clock.advance(REST_SECONDS)
    server.answering.clear()
    probe = asyncio.create_task(breaker.run(server.answer))
    await server.was_asked.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    server.answering.set()
    assert await breaker.run(server.answer) == 2


async def test_a_call_from_before_decides_nothing_when_it_ends(clock: HeldClock, server: Server) -> None:
    breaker = breaker_of(clock)
    server.answering.clear()
    early = asyncio.create_task(breaker.run(server.answer))
    await server.was_asked.wait()
    await opened(breaker, server)
    server.answering.set()
    await early
    with pytest.raises(CircuitOpenError):
        await breaker.run(server.answer)


async def test_a_failure_from_before_makes_the_rest_no_longer(clock: HeldClock, server: Server) -> None:
    breaker, over = breaker_of(clock), asyncio.Event()

    async def fail_late() -> None:
        await over.wait()
        raise ConnectionResetError

    early = asyncio.create_task(breaker.run(fail_late))
    await asyncio.sleep(0)
    await opened(breaker, server)
    clock.advance(REST_SECONDS - 0.1)
    over.set()
    with pytest.raises(UnavailableError):
        await early
    clock.advance(0.1)
    assert await breaker.run(server.answer) == 1


async def test_it_says_once_that_it_opens_and_once_that_it_closes(
    clock: HeldClock, server: Server, logged: Logged
) -> None:
    breaker = breaker_of(clock)
    await opened(breaker, server)
    server.refuses = True
    for _ in range(3):
        clock.advance(REST_SECONDS)
        with pytest.raises(UnavailableError):
            await breaker.run(server.answer)
    server.refuses = False
    clock.advance(REST_SECONDS)
    await breaker.run(server.answer)
    await breaker.run(server.answer)
    assert [line["level"] for line in logged()] == ["warning", "info"]
    assert "ConnectionRefusedError" in logged()[0]["reason"]
