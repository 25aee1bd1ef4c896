"""The shared log when processes take over from each other, and when Redis is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import uvloop
from redis.asyncio import Redis

from deploy.parts.redis import RedisServer
from frontdesk.adapters.redis_link import Link, LinkLostError
from frontdesk.adapters.thread_log.redis import RedisThreadLog
from frontdesk.conversation.feed import Feed
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import HeldClock, SystemClock
from frontdesk.observability.logging import bound_request_id, request_bound
from frontdesk.ports.thread_log import CursorGoneError, Event, EventType, Follower, StaleAttemptError
from harness.answers import shown, tokens
from harness.conversations import next_events, open_core, read_all, until
from harness.fault_proxy import FaultProxy, Faults
from harness.model_stub import ModelStub

STARTED = (EventType.execution_started, b"{}")
RESTARTED = (EventType.execution_restarted, b"{}")
COMPLETED = (EventType.execution_completed, b"{}")
SECONDS = 20


class Processes:
    """Logs of as many processes as a test asks for."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack

    def one(self, **options: float) -> RedisThreadLog:
        bounds = {"retention": 60.0, "retained_bytes": 1_000_000, "thread_bytes": 1_000_000, **options}
        log = RedisThreadLog(self._url, clock=SystemClock(), runs_answers=True, **bounds)
        self._stack.push_async_callback(log.aclose)
        return log


@pytest.fixture
async def processes(redis_server: RedisServer) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as stack:
        yield Processes(redis_server.url, stack)


def say(log: RedisThreadLog, *texts: str, attempt: int = 1) -> str:
    return log.append_chunks("t", "e", attempt, chunks=[text.encode() for text in texts])


def announce(log: RedisThreadLog, text: str) -> None:
    log.announce("t", entries=[(EventType.message_added, text.encode())])


async def heard(follower: Follower, until_text: str) -> list[Event]:
    """The events up to the one that says so, waited for."""
    called = asyncio.Event()
    follower.on_ready(called.set)
    events: list[Event] = []
    async with asyncio.timeout(SECONDS):
        while not any(part == until_text.encode() for event in events for part in event.parts):
            if not (batch := follower.take()):
                await called.wait()
                called.clear()
            events += batch
    return events


def texts(events: list[Event]) -> list[str]:
    return [part.decode() for event in events if event.type is EventType.chunk for part in event.parts]


async def test_an_attempt_that_another_process_has_superseded_is_refused(processes: Processes) -> None:
    old, new = processes.one(), processes.one()
    say(old, "a")
    await old.flush()
    new.append("t", "e", 2, entries=[RESTARTED])
    await new.flush()
    say(old, "late")
    await old.flush()
    with pytest.raises(StaleAttemptError):
        say(old, "later")
    say(new, "b", attempt=2)
    await new.flush()
    assert texts(await heard(await processes.one().follow("t", "e"), "b")) == ["b"]


async def test_readers_of_a_runner_that_was_superseded_get_what_its_successor_says(processes: Processes) -> None:
    old, new = processes.one(), processes.one()
    follower = await old.follow("t", "e")
    say(old, "a", "b")
    assert texts(await heard(follower, "b")) == ["a", "b"]
    new.append("t", "e", 2, entries=[RESTARTED])
    say(new, "c", attempt=2)
    old.abandon("t", "e", 1)
    events = await heard(follower, "c")
    assert [event.type for event in events] == [EventType.execution_restarted, EventType.chunk]
    new.append("t", "e", 2, entries=[COMPLETED])
    await heard(follower, "{}")
    assert follower.ended


async def test_an_end_by_another_process_reaches_the_runners_readers(processes: Processes) -> None:
    """As a stop does that comes to another process than the runner's."""
    runner, stopper = processes.one(), processes.one()
    follower = await runner.follow("t", "e")
    runner.append("t", "e", 1, entries=[STARTED])
    say(runner, "a")
    await runner.flush()
    assert await stopper.holds("t", "e")
    stopper.append("t", "e", 2, entries=[(EventType.execution_interrupted, b"{}")])
    await stopper.flush()
    assert not await stopper.holds("t", "e"), "the stopper itself has only the end"
    runner.abandon("t", "e", 1)
    events = await heard(follower, "a")
    events += await heard(follower, "{}")
    assert events[-1].type is EventType.execution_interrupted
    late = await processes.one().follow("t", "e")
    assert [event.type for event in await heard(late, "a")][:2] == [STARTED[0], EventType.chunk]


async def test_a_reader_may_know_more_than_the_process_that_it_comes_to(processes: Processes) -> None:
    runner, elsewhere = processes.one(), processes.one()
    say(runner, "a")
    await runner.flush()
    follower = await elsewhere.follow("t", "e")
    await heard(follower, "a")
    say(runner, "b", "c", "d")
    ahead = await elsewhere.follow("t", "e", after="1-3")
    assert texts(await heard(ahead, "d")) == ["d"]


@pytest.mark.parametrize("fault", ["stop", "pause", "flush"])
async def test_an_answer_goes_on_where_it_is_made_while_redis_is_away(
    processes: Processes, redis_server: RedisServer, fault: str
) -> None:
    runner, elsewhere = processes.one(), processes.one()
    say(runner, "a", "b")
    await runner.flush()
    here, there = await runner.follow("t", "e"), await elsewhere.follow("t", "e")
    assert texts(await heard(there, "b")) == ["a", "b"]
    getattr(redis_server, fault)()
    say(runner, "c")
    assert texts(await heard(here, "c")) == ["a", "b", "c"], "nobody waits for Redis"
    new = await runner.follow("t", "new")
    runner.append("t", "new", 1, entries=[STARTED, (EventType.chunk, b"x")])
    assert texts(await heard(new, "x")) == ["x"], "nor does an answer that begins meanwhile"
    if fault != "flush":
        told = await heard(there, '{"status":"reconnecting"}')
        assert [event.cursor for event in told] == ["1-2"], "told, and at the place where it was"
        with pytest.raises(UnavailableError):
            await runner.check()
        getattr(redis_server, {"stop": "start", "pause": "resume"}[fault])()
    say(runner, "d")
    assert texts(await heard(there, "d")) == ["c", "d"]
    await until(lambda: runner_checks(runner), lambda well: well)
    runner.append("t", "e", 1, entries=[COMPLETED])
    await runner.flush()
    late = await processes.one().follow("t", "e", after="1-2")
    assert texts(await heard(late, "d"))[:2] == ["c", "d"]


async def runner_checks(log: RedisThreadLog) -> bool:
    try:
        await log.check()
    except UnavailableError:
        return False
    return True


async def test_what_was_lost_with_redis_is_noticed(processes: Processes, redis_server: RedisServer) -> None:
    runner, elsewhere = processes.one(thread_bytes=2_000), processes.one()
    for number in range(20):
        say(runner, f"{number:0100}")
    await runner.flush()
    redis_server.flush()
    say(runner, "after")
    await runner.flush()
    assert not await elsewhere.holds("t", "e")
    with pytest.raises(CursorGoneError):
        await elsewhere.follow("t", "e")
    with pytest.raises(CursorGoneError):
        await elsewhere.follow("t", "e", after="1-3")
    assert texts(await heard(await elsewhere.follow("t", "e", after="1-20"), "after")) == ["after"]


async def test_what_is_erased_while_redis_is_away_is_erased_when_it_is_back(redis_server: RedisServer) -> None:
    async with FaultProxy("127.0.0.1", redis_server.port) as proxy, AsyncExitStack() as stack:
        log = Processes(f"redis://127.0.0.1:{proxy.port}/0", stack).one()
        say(log, "private")
        await log.flush()
        proxy.switch(Faults(refuse=True))
        proxy.reset_all()
        log.discard("t", ["e"])
        with pytest.raises(UnavailableError):
            await log.flush()
        proxy.switch(Faults())
        await until(lambda: runner_checks(log), lambda well: well)
        await log.flush()
    client = Redis.from_url(redis_server.url)
    assert await client.keys("agent:events:{t}*") == []
    await client.aclose()


async def test_an_announcement_whose_answer_was_lost_is_told_once(redis_server: RedisServer) -> None:
    async with FaultProxy("127.0.0.1", redis_server.port) as proxy, AsyncExitStack() as stack:
        log = Processes(f"redis://127.0.0.1:{proxy.port}/0", stack).one()
        elsewhere = Processes(redis_server.url, stack).one()
        follower = await elsewhere.follow("t")
        announce(log, "a")
        await log.flush()
        proxy.switch(Faults(reset_after=1))
        announce(log, "b")
        announce(log, "c")
        events = await heard(follower, "c")
        proxy.switch(Faults())
        client = Redis.from_url(redis_server.url)
        await until(lambda: client.xlen("agent:events:{t}"), lambda entries: entries == len("abcbc"))
        await until(lambda: client.info("clients"), lambda clients: clients["blocked_clients"] == 1)  # it reads on
        await client.aclose()
        announce(log, "d")
        events += await heard(follower, "d")
        late = await heard(await Processes(redis_server.url, stack).one().follow("t"), "d")
    assert [event.payload for event in events] == [event.payload for event in late] == [b"a", b"b", b"c", b"d"]


async def test_streams_leave_redis_after_their_retention(processes: Processes, redis_server: RedisServer) -> None:
    log = processes.one(retention=90.0)
    log.announce("t", entries=[(EventType.message_added, b"{}")])
    say(log, "running")
    log.append("t", "done", 1, entries=[STARTED, COMPLETED])
    await log.flush()
    client = Redis.from_url(redis_server.url)
    lives = {key.decode(): await client.pttl(key) for key in await client.keys("agent:events:{t}*")}
    await client.aclose()
    assert 80_000 < lives.pop("agent:events:{t}:done") <= 90_000
    assert {"agent:events:{t}", "agent:events:{t}:e"} == lives.keys()
    assert min(lives.values()) > 600_000, "none stays for ever, and none leaves while it is written"


async def test_what_was_appended_last_is_sent_before_the_process_ends(redis_server: RedisServer) -> None:
    ending, other = (
        RedisThreadLog(
            redis_server.url,
            clock=SystemClock(),
            retention=60.0,
            retained_bytes=1_000_000,
            thread_bytes=1_000_000,
            runs_answers=True,
        )
        for _ in range(2)
    )
    say(ending, *map(str, range(1000)))
    await ending.aclose()
    assert len(texts(await heard(await other.follow("t", "e"), "999"))) == 1000
    await other.aclose()


async def test_nobody_reads_what_is_followed_no_more(processes: Processes) -> None:
    runner, elsewhere = processes.one(), processes.one()
    say(runner, "a")
    await runner.flush()
    follower = await elsewhere.follow("t", "e")
    await heard(follower, "a")
    follower.close()
    say(runner, "b")
    runner.append("t", "e", 1, entries=[COMPLETED])
    await runner.flush()
    again = await elsewhere.follow("t", "e", after="1-1")
    assert texts(await heard(again, "b")) == ["b"]


async def test_a_link_that_was_cut_while_idle_is_lost_and_made_anew(redis_server: RedisServer) -> None:
    """On the loop that the program runs on: it says so in a way of its own."""

    async def cut_while_idle() -> None:
        async with FaultProxy("127.0.0.1", redis_server.port) as proxy:
            link = Link(f"redis://127.0.0.1:{proxy.port}/0", timeout=1)
            assert await link.ask("PING") == b"PONG"
            proxy.reset_all()
            async with asyncio.timeout(SECONDS):
                while not link._wire._transport.is_closing():  # noqa: ASYNC110  nobody is told
                    await asyncio.sleep(0.01)
            with pytest.raises(LinkLostError):
                await link.ask("PING")
            assert await link.ask("PING") == b"PONG"
            await link.aclose()

    await asyncio.to_thread(uvloop.run, cut_while_idle())


async def test_an_end_that_was_stored_and_never_told_is_found_by_readers(
    processes: Processes, database_url: str, model_stub: ModelStub
) -> None:
    """As when a runner is killed between its commit and what it would have said then."""
    async with open_core(database_url, model_stub.url) as core:
        thread_id = await core.thread()
        message = await core.send(thread_id, model="scripted?tokens=3")
        execution_id = message.execution_id or ""
        await core.ended(thread_id)
        dead, here, clock = processes.one(), processes.one(), HeldClock(SystemClock().now())
        dead.append(thread_id, execution_id, 1, entries=[STARTED, (EventType.chunk, b'{"choices":[]}')])
        await dead.flush()
        feed = Feed(database=core.database, log=here, clock=clock)
        early = await feed.open(core.user, thread_id, execution_id)
        first = await next_events(early)
        assert [event.type for event in first] == [EventType.execution_started, EventType.chunk]
        await early.look_around()
        assert list(early.take()) == [], "the end may still be on its way"
        clock.advance(10)
        late = await feed.open(core.user, thread_id, execution_id)
        for reader in (early, late):
            events = await read_all(reader)
            assert shown(events) == tokens(3)
            assert events[-1].type is EventType.execution_completed


async def test_a_log_knows_whether_it_is_written_here(processes: Processes) -> None:
    here, elsewhere = processes.one(), processes.one()
    assert not here.is_written_here("t", "e")
    say(here, "0")
    await here.flush()
    assert await heard(await elsewhere.follow("t", "e"), "0")
    assert (here.is_written_here("t", "e"), elsewhere.is_written_here("t", "e")) == (True, False)
    here.abandon("t", "e", 1)
    assert not here.is_written_here("t", "e")


async def test_what_goes_on_for_all_bears_no_requests_name(processes: Processes) -> None:
    """The tasks that write and read are begun by whichever request comes first, and outlive it."""
    here, elsewhere = processes.one(), processes.one()
    with request_bound("the first request"):
        follower = await elsewhere.follow("t", "e")
        say(here, "0")
    named: list[str | None] = []
    called = asyncio.Event()

    def take() -> None:
        named.append(bound_request_id())
        called.set()

    follower.on_ready(take)
    say(here, "1")
    async with asyncio.timeout(SECONDS):
        await called.wait()
    assert named[0] is None
