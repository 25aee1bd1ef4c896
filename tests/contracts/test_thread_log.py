"""What every adapter of the thread log must do."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise

import msgspec
import pytest

from deploy.parts.redis import RedisServer
from frontdesk.ports.thread_log import (
    CursorGoneError,
    Entry,
    Event,
    EventType,
    Follower,
    Resumed,
    StaleAttemptError,
    ThreadLog,
)
from harness.thread_logs import ADAPTERS, RETAINED_BYTES, THREAD_BYTES, Made

QUEUED: Entry = (EventType.execution_queued, b"{}")
STARTED: Entry = (EventType.execution_started, b"{}")
RESTARTED: Entry = (EventType.execution_restarted, b"{}")
COMPLETED: Entry = (EventType.execution_completed, b'{"state":"completed"}')
BATCH_BYTES = 65_536
SECONDS = 10


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS)
async def made(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[Made]:
    async with request.param(redis_server.url) as made:
        yield made


def chunk(text: str, *, size: int = 0) -> Entry:
    return EventType.chunk, text.encode().ljust(size, b".")


def resumed(after: str) -> Entry:
    return EventType.execution_resumed, msgspec.json.encode(Resumed(after))


def said(text: str) -> Entry:
    return EventType.message_added, f'"{text}"'.encode()


async def next_batch(follower: Follower) -> Sequence[Event]:
    """Waited for as a reader does that has nothing else to do."""
    called = asyncio.Event()
    follower.on_ready(called.set)
    async with asyncio.timeout(SECONDS):
        while not (batch := follower.take()):
            await called.wait()
            called.clear()
    return batch


async def take(follower: Follower, count: int) -> list[Event]:
    """The next `count` events, and no more than those."""
    events: list[Event] = []
    async with asyncio.timeout(SECONDS):
        while len(events) < count:
            events += await next_batch(follower)
    assert len(events) == count
    return events


async def nothing_more(made: Made, follower: Follower) -> None:
    """What was appended has come everywhere, and none of it here."""
    await made.settle()
    assert list(follower.take()) == []


async def gone(log: ThreadLog, execution_id: str = "e", *, after: str | None = None) -> None:
    with pytest.raises(CursorGoneError):
        await next_batch(await log.follow("t", execution_id, after=after))


async def refused(log: ThreadLog, attempt: int, *entries: Entry) -> None:
    """At once, or the next time."""

    async def steps() -> None:
        for _ in range(2):
            log.append("t", "e", attempt, entries=entries)
            await log.flush()

    with pytest.raises(StaleAttemptError):
        await steps()


def payloads(events: Sequence[Event]) -> list[str]:
    return [part.decode().rstrip(".") for event in events for part in event.parts]


async def test_a_follower_gets_what_was_and_what_comes_in_order(made: Made) -> None:
    log = made.log
    log.append("t", "e", 1, entries=[STARTED, chunk("0")])
    await log.flush()
    follower = await made.reading.follow("t", "e")
    for number in range(1, 50):
        log.append("t", "e", 1, entries=[chunk(str(number))])
    last = log.append("t", "e", 1, entries=[chunk("50"), COMPLETED])
    events = await take(follower, 53)
    assert payloads(events)[1:52] == [str(number) for number in range(51)]
    assert [event.type for event in events] == [STARTED[0], *[EventType.chunk] * 51, COMPLETED[0]]
    assert {(event.execution_id, event.attempt) for event in events} == {("e", 1)}
    assert [event.cursor for event in events] == [f"1-{number}" for number in range(1, 54)]
    assert events[-1].cursor == last
    assert follower.ended
    await nothing_more(made, follower)


async def test_a_follower_has_not_ended_before_it_has_taken_the_end(made: Made) -> None:
    follower = await made.reading.follow("t", "e")
    assert not follower.ended
    made.log.append("t", "e", 1, entries=[STARTED])
    await take(follower, 1)
    assert not follower.ended
    made.log.append("t", "e", 1, entries=[COMPLETED])
    await take(follower, 1)
    assert follower.ended
    late = await made.reading.follow("t", "e")
    assert not late.ended
    assert late.more
    await take(late, 2)
    assert (late.ended, late.more) == (True, False)
    assert (await made.reading.follow("t", "e", after="1-2")).ended


async def test_a_waiting_follower_is_woken(made: Made) -> None:
    follower = await made.reading.follow("t", "e")
    waiting = asyncio.create_task(take(follower, 1))
    await asyncio.sleep(0)
    made.log.append("t", "e", 1, entries=[STARTED])
    assert (await waiting)[0].type is EventType.execution_started


async def test_behind_every_cursor_each_event_comes_exactly_once(made: Made) -> None:
    log = made.log
    for number in range(20):
        log.append("t", "e", 1, entries=[chunk(str(number))])
    await log.flush()
    events = await take(await made.reading.follow("t", "e"), 20)
    for seen, event in enumerate(events, start=1):
        follower = await made.reading.follow("t", "e", after=event.cursor)
        log.append("t", "e", 1, entries=[chunk("more")])
        rest = await take(follower, 20)
        assert payloads(rest) == [*map(str, range(seen, 20)), *["more"] * seen]


async def test_chunks_of_one_read_are_one_event_and_can_be_resumed_within(made: Made) -> None:
    log = made.log
    log.append("t", "e", 1, entries=[STARTED])
    live = await made.reading.follow("t", "e")
    reads = [["0"], ["1", "2", "3", "4"], ["5", "6"]]
    cursors = [log.append_chunks("t", "e", 1, chunks=[text.encode() for text in read]) for read in reads]
    log.append("t", "e", 1, entries=[COMPLETED])
    events = await take(live, 5)
    assert [payloads([event]) for event in events[1:4]] == reads
    assert [event.cursor for event in events[1:4]] == cursors == ["1-2", "1-6", "1-8"]
    for seen, left in enumerate([3, 3, 3, 3, 2, 2, 1]):
        rest = await take(await made.reading.follow("t", "e", after=f"1-{seen + 2}"), left)
        assert payloads(rest[:-1]) == [str(number) for number in range(seen + 1, 7)]
        assert [event.cursor for event in rest] == [event.cursor for event in events[-left:]]


async def test_large_reads_are_parted_and_keep_their_order(made: Made) -> None:
    chunks = [str(number).encode().ljust(1000, b".") for number in range(100)]
    assert made.log.append_chunks("t", "e", 1, chunks=chunks) == "1-100"
    follower, seen = await made.reading.follow("t", "e"), 0
    while seen < 100:
        batch = await next_batch(follower)
        assert sum(len(part) for event in batch for part in event.parts) <= BATCH_BYTES + 17_000
        assert payloads(batch) == [str(number) for number in range(seen, seen + len(payloads(batch)))]
        seen += len(payloads(batch))
    assert await take(await made.reading.follow("t", "e", after="1-99"), 1)


async def test_chunks_pass_the_fence_as_any_event(made: Made) -> None:
    log = made.log
    log.append_chunks("t", "e", 2, chunks=[b"0", b"1"])
    with pytest.raises(StaleAttemptError):
        log.append_chunks("t", "e", 1, chunks=[b"late"])
    log.append("t", "e", 2, entries=[COMPLETED])
    with pytest.raises(StaleAttemptError):
        log.append_chunks("t", "e", 2, chunks=[b"late"])
    follower = await made.reading.follow("t", "e")
    assert payloads(await take(follower, 2)) == ["0", "1", COMPLETED[1].decode()]


async def test_executions_and_threads_do_not_mix(made: Made) -> None:
    places = [("t", "e1"), ("t", "e2"), ("other", "e1")]
    followers = [await made.reading.follow(*place) for place in places]
    for number, place in enumerate(places):
        made.log.append(*place, 1, entries=[chunk(str(number))])
    for number, follower in enumerate(followers):
        assert payloads(await take(follower, 1)) == [str(number)]
        await nothing_more(made, follower)


async def test_a_later_attempt_begins_with_a_restart_and_voids_the_earlier(made: Made) -> None:
    log = made.log
    log.append("t", "e", 1, entries=[STARTED, chunk("first"), chunk("lost")])
    await log.flush()
    live = await made.reading.follow("t", "e")
    early = await made.reading.follow("t", "e", after="1-1")
    assert payloads(await take(live, 3))[1:] == ["first", "lost"]
    log.append("t", "e", 2, entries=[RESTARTED])
    await refused(log, 1, chunk("late"), COMPLETED)
    log.append("t", "e", 2, entries=[chunk("second")])
    for follower in (live, await made.reading.follow("t", "e", after="1-2")):
        events = await take(follower, 2)
        assert [(event.type, event.attempt, event.cursor) for event in events] == [
            (EventType.execution_restarted, 2, "2-1"),
            (EventType.chunk, 2, "2-2"),
        ]
    assert payloads(await take(early, 2)) == ["{}", "second"]
    assert await made.reading.holds("t", "e")
    assert payloads(await take(await made.reading.follow("t", "e"), 2)) == ["{}", "second"]


async def test_an_attempt_that_resumes_goes_on_behind_the_earlier(made: Made) -> None:
    log = made.log
    log.append("t", "e", 1, entries=[STARTED, chunk("first")])
    await log.flush()
    live = await made.reading.follow("t", "e")
    assert payloads(await take(live, 2))[1:] == ["first"]
    log.pause("t", "e", 1)
    log.append("t", "e", 2, entries=[resumed("1-2"), chunk("second")])
    await log.flush()
    await refused(log, 1, chunk("late"))
    assert [event.cursor for event in await take(live, 2)] == ["2-1", "2-2"]
    assert payloads(await take(await made.reading.follow("t", "e"), 4))[1::2] == ["first", "second"]
    assert payloads(await take(await made.reading.follow("t", "e", after="1-1"), 3))[::2] == ["first", "second"]
    assert await made.reading.holds("t", "e")


async def test_what_an_attempt_resumes_behind_is_missed_where_it_is_not_held(made: Made) -> None:
    log = made.log
    log.append("t", "e", 2, entries=[resumed("1-7"), chunk("second"), COMPLETED])
    await log.flush()
    assert not await made.reading.holds("t", "e")
    assert payloads(await take(await made.reading.follow("t", "e", after="1-7"), 3))[1] == "second"
    assert payloads(await take(await made.reading.follow("t", "e", after="2-1"), 2))[0] == "second"
    await gone(made.reading)
    await gone(made.reading, after="1-6")


@pytest.mark.parametrize(
    "end", [EventType.execution_completed, EventType.execution_failed, EventType.execution_interrupted]
)
async def test_nothing_follows_an_end(made: Made, end: EventType) -> None:
    made.log.append("t", "e", 1, entries=[chunk("text"), (end, b"{}")])
    await made.log.flush()
    for attempt in (0, 1, 2):
        await refused(made.log, attempt, chunk("late"))
    follower = await made.reading.follow("t", "e")
    assert [event.type for event in await take(follower, 2)] == [EventType.chunk, end]
    await nothing_more(made, follower)


async def test_what_the_log_holds_from_its_first_event(made: Made) -> None:
    log, reading = made.log, made.reading
    assert not await reading.holds("t", "e")
    log.append("t", "other", 1, entries=[STARTED])
    await log.flush()
    assert not await reading.holds("t", "e")
    log.append("t", "e", 0, entries=[QUEUED])
    await log.flush()
    assert await reading.holds("t", "e")
    log.append("t", "e", 1, entries=[STARTED, COMPLETED])
    await log.flush()
    assert await reading.holds("t", "e")


async def test_a_follower_waits_for_an_execution_that_is_yet_to_come(made: Made) -> None:
    early = await made.reading.follow("t", "e")
    made.log.append("t", "other", 1, entries=[STARTED])
    await nothing_more(made, early)
    late = await made.reading.follow("t", "e")
    made.log.append("t", "e", 1, entries=[chunk("here")])
    assert payloads(await take(early, 1)) == payloads(await take(late, 1)) == ["here"]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "-",
        "-1",
        "1",
        "1-",
        "e-e",
        "stored-1",
        "0-99999999999999999999",
        "99999-1",
        "1-²",
        "1-٣",
        "1-1_0",
        "1-+1",
        "1-01e1",
    ],
)
@pytest.mark.parametrize("known", [True, False])
async def test_a_cursor_that_is_none_is_gone(made: Made, cursor: str, *, known: bool) -> None:
    if known:
        made.log.append("t", "e", 1, entries=[STARTED, COMPLETED])
        await made.log.flush()
    await gone(made.reading, after=cursor)


async def test_a_cursor_of_an_execution_that_the_log_does_not_know_is_gone(made: Made) -> None:
    await gone(made.reading, after="1-1")
    made.log.append("t", "other", 1, entries=[STARTED])
    await made.log.flush()
    await gone(made.reading, after="1-1")


async def test_a_cursor_beyond_the_end_is_gone(made: Made) -> None:
    made.log.append("t", "e", 1, entries=[STARTED, COMPLETED])
    await made.log.flush()
    for cursor in ("1-3", "1-7", "2-1"):
        await gone(made.reading, after=cursor)


async def test_a_cursor_means_the_same_in_a_log_that_was_made_anew(made: Made) -> None:
    """As after a crash: the next attempt says that it begins again, to whoever had seen something."""
    made.log.append("t", "e", 2, entries=[RESTARTED, chunk("again")])
    await made.log.flush()
    for cursor in ("0-1", "1-1", "1-57"):
        events = await take(await made.reading.follow("t", "e", after=cursor), 2)
        assert payloads(events) == ["{}", "again"]


async def test_finished_executions_leave_after_their_retention(made: Made) -> None:
    made.log.append("t", "e", 1, entries=[STARTED])
    made.log.append("t", "e", 1, entries=[chunk("text"), COMPLETED])
    await made.log.flush()
    made.pass_time(30)
    assert await made.reading.holds("t", "e")
    slow = await made.reading.follow("t", "e")
    assert len(await take(await made.reading.follow("t", "e", after="1-1"), 2)) == 2
    made.end_retention()
    if made.reading is made.log:
        with pytest.raises(CursorGoneError):
            slow.take()
    if not made.has_server:
        assert not await made.reading.holds("t", "e")
        await gone(made.reading, after="1-1")


async def test_a_running_execution_stays_however_old_it_is(made: Made) -> None:
    log = made.log
    log.append("t", "old", 1, entries=[STARTED])
    log.append("t", "done", 1, entries=[STARTED, COMPLETED])
    for _ in range(5):
        made.end_retention()
    log.append("t", "old", 1, entries=[chunk("still")])
    await log.flush()
    assert await made.reading.holds("t", "old")
    assert payloads(await take(await made.reading.follow("t", "old", after="1-1"), 1)) == ["still"]


async def test_the_threads_own_log_has_cursors_of_its_own(made: Made) -> None:
    follower = await made.reading.follow("t")
    for number in range(5):
        made.log.announce("t", entries=[said(str(number))])
    events = await take(follower, 5)
    assert payloads(events) == [f'"{number}"' for number in range(5)]
    assert not follower.ended
    for seen, event in enumerate(events, start=1):
        resumed = await made.reading.follow("t", after=event.cursor)
        if seen < 5:
            assert payloads(await take(resumed, 5 - seen)) == [f'"{number}"' for number in range(seen, 5)]
        await nothing_more(made, resumed)
    made.log.append("t", "e", 1, entries=[STARTED, COMPLETED])
    await nothing_more(made, follower)


async def test_all_finished_executions_together_are_bounded(made: Made) -> None:
    log, size = made.log, 10_000
    count = 2 * RETAINED_BYTES // size
    for number in range(count):
        log.append(f"t{number}", "e", 1, entries=[chunk("x", size=size), COMPLETED])
    assert sum(log.bytes for log in log._logs) <= RETAINED_BYTES
    held = [log._logs.find(f"t{number}", "e") is not None for number in range(count)]
    assert held == sorted(held), "the oldest leave first"
    assert held[-1]


async def test_a_long_running_answer_loses_its_oldest_events(made: Made) -> None:
    log, reading = made.log, made.reading
    early, slow = await reading.follow("t", "e"), await reading.follow("t", "e")
    log.append("t", "e", 1, entries=[STARTED])
    await take(early, 1)
    size, total = 1000, 0
    while total * size < 2 * THREAD_BYTES:
        log.append("t", "e", 1, entries=[chunk(str(total), size=size)])
        total += 1
        assert payloads(await take(early, 1)) == [str(total - 1)], "a reader that keeps up loses nothing"
        assert reading.held_bytes <= THREAD_BYTES + 2 * size
    with pytest.raises(CursorGoneError):
        await next_batch(slow)
    assert not await log.holds("t", "e")
    log.append("t", "e", 1, entries=[COMPLETED])
    assert (await take(early, 1))[0].type is EventType.execution_completed


async def test_one_event_larger_than_the_bound_still_reaches_who_keeps_up(made: Made) -> None:
    follower = await made.reading.follow("t", "e")
    made.log.append("t", "e", 1, entries=[STARTED])
    await take(follower, 1)
    made.log.append("t", "e", 1, entries=[chunk("large", size=2 * THREAD_BYTES)])
    assert payloads(await take(follower, 1)) == ["large"]


async def test_slow_followers_hold_nothing_of_their_own(made: Made) -> None:
    followers = [await made.reading.follow("t", "e") for _ in range(200)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(150):
            made.log.append("t", "e", 1, entries=[chunk(str(number), size=1000)])
        await made.log.flush()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10 * 150 * 1000, "not once for each of the 200"
    assert payloads(await take(followers[-1], 150)) == [str(number) for number in range(150)]


async def test_who_listens_is_called_until_it_has_taken_all(made: Made) -> None:
    follower, called = await made.reading.follow("t", "e"), asyncio.Event()
    seen: list[Event] = []

    def ready() -> None:
        seen.extend(follower.take())
        called.set()

    follower.on_ready(ready)
    async with asyncio.timeout(SECONDS):
        for number in range(100):
            made.log.append("t", "e", 1, entries=[chunk(str(number))])
            await called.wait()
            called.clear()
    assert payloads(seen) == [str(number) for number in range(100)]


async def test_a_follower_may_leave_in_the_middle_of_a_call(made: Made) -> None:
    """As a reader does that has got the end."""
    followers = [await made.reading.follow("t", "e") for _ in range(3)]
    seen: list[Event] = []
    all_left = asyncio.Event()

    def leaving(follower: Follower) -> Callable[[], None]:
        def ready() -> None:
            seen.extend(follower.take())
            follower.close()
            if len(seen) == len(followers):
                all_left.set()

        return ready

    for follower in followers:
        follower.on_ready(leaving(follower))
    made.log.append("t", "e", 1, entries=[STARTED])
    async with asyncio.timeout(SECONDS):
        await all_left.wait()
    made.log.append("t", "e", 1, entries=[COMPLETED])
    await made.log.flush()
    assert [event.type for event in seen] == [EventType.execution_started] * 3


async def test_many_followers_each_see_everything(made: Made) -> None:
    async def read(follower: Follower) -> list[Event]:
        events: list[Event] = []
        while not follower.ended:
            events += await next_batch(follower)
        follower.close()
        return events

    reads = [asyncio.create_task(read(await made.reading.follow("t", "e"))) for _ in range(300)]
    for number in range(100):
        made.log.append("t", "e", 1, entries=[chunk(str(number))])
        await asyncio.sleep(0)
    made.log.append("t", "e", 1, entries=[COMPLETED])
    async with asyncio.timeout(SECONDS):
        seen = await asyncio.gather(*reads)
    assert all(events == seen[0] for events in seen)
    assert payloads(seen[0])[:-1] == [str(number) for number in range(100)]


async def test_a_closed_follower_is_forgotten_and_may_be_closed_again(made: Made) -> None:
    follower = await made.reading.follow("t", "e")
    follower.close()
    follower.close()
    made.log.append("t", "e", 1, entries=[STARTED])
    assert len(await take(await made.reading.follow("t", "e"), 1)) == 1


async def test_a_discarded_thread_is_erased(made: Made) -> None:
    log, reading = made.log, made.reading
    log.append("t", "e", 1, entries=[STARTED])
    log.append("t", "done", 1, entries=[STARTED, COMPLETED])
    log.announce("t", entries=[said("m")])
    await log.flush()
    follower = await reading.follow("t", "e")
    woken = asyncio.Event()
    follower.on_ready(woken.set)
    for erasing in {id(log): log, id(reading): reading}.values():
        erasing.discard("t", ["e", "done", "never seen"])
        erasing.discard("never seen", [])
        await erasing.flush()
    assert woken.is_set()
    with pytest.raises(CursorGoneError):
        follower.take()
    for execution_id in ("e", "done"):
        assert not await reading.holds("t", execution_id)
        await gone(reading, execution_id, after="1-1")
    log.append("t", "again", 1, entries=[chunk("new")])
    assert payloads(await take(await reading.follow("t", "again"), 1)) == ["new"]


async def test_cursors_grow_in_order(made: Made) -> None:
    made.log.append("t", "e", 1, entries=[chunk(str(number)) for number in range(30)])
    events = await take(await made.reading.follow("t", "e"), 30)
    for earlier, later in pairwise(events):
        resumed = await made.reading.follow("t", "e", after=earlier.cursor)
        assert (await next_batch(resumed))[0] == later


async def test_a_log_that_works_says_so(made: Made) -> None:
    await made.log.check()
    await made.log.flush()
