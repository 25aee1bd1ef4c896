"""What every adapter of the thread log must do."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise

import pytest

from frontdesk.ports.thread_log import CursorGoneError, Entry, Event, EventType, Follower, StaleAttemptError, ThreadLog
from harness.thread_logs import ADAPTERS, RETAINED_BYTES, THREAD_BYTES, Made

STARTED: Entry = (EventType.execution_started, b"{}")
COMPLETED: Entry = (EventType.execution_completed, b'{"state":"completed"}')
BATCH_BYTES = 65_536
SECONDS = 10


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS)
async def made(request: pytest.FixtureRequest) -> AsyncIterator[Made]:
    async with request.param() as made:
        yield made


@pytest.fixture
def log(made: Made) -> ThreadLog:
    return made.log


def chunk(text: str, *, size: int = 0) -> Entry:
    return EventType.chunk, text.encode().ljust(size, b".")


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


async def nothing_more(log: ThreadLog, follower: Follower, thread_id: str = "t") -> None:
    await log.flush(thread_id)
    assert list(follower.take()) == []


async def refused(log: ThreadLog, attempt: int, *entries: Entry) -> None:
    """At once, or when it is flushed."""

    async def steps() -> None:
        log.append("t", "e", attempt, entries=entries)
        await log.flush("t")

    with pytest.raises(StaleAttemptError):
        await steps()


def payloads(events: Sequence[Event]) -> list[str]:
    return [part.decode().rstrip(".") for event in events for part in event.parts]


async def test_a_follower_gets_what_was_and_what_comes_in_order(log: ThreadLog) -> None:
    log.append("t", "e", 1, entries=[STARTED, chunk("0")])
    follower = log.follow("t")
    for number in range(1, 50):
        log.append("t", "e", 1, entries=[chunk(str(number))])
    last = log.append("t", "e", 1, entries=[chunk("50"), COMPLETED])
    events = await take(follower, 53)
    assert payloads(events)[1:52] == [str(number) for number in range(51)]
    assert [event.type for event in events] == [STARTED[0], *[EventType.chunk] * 51, COMPLETED[0]]
    assert {(event.execution_id, event.attempt) for event in events} == {("e", 1)}
    assert events[-1].cursor == last
    assert len({event.cursor for event in events}) == 53
    await nothing_more(log, follower)


async def test_a_waiting_follower_is_woken(log: ThreadLog) -> None:
    follower = log.follow("t")
    waiting = asyncio.create_task(take(follower, 1))
    await asyncio.sleep(0)
    log.append("t", "e", 1, entries=[STARTED])
    assert (await waiting)[0].type is EventType.execution_started


async def test_behind_every_cursor_each_event_comes_exactly_once(log: ThreadLog) -> None:
    for number in range(20):
        log.append("t", f"e{number % 3}", 1, entries=[chunk(str(number))])
    await log.flush("t")
    events = await take(log.follow("t"), 20)
    for seen, event in enumerate(events, start=1):
        follower = log.follow("t", after=event.cursor)
        log.append("t", "e0", 1, entries=[chunk("more")])
        rest = await take(follower, 20 - seen + seen)
        assert payloads(rest) == [*map(str, range(seen, 20)), *["more"] * seen]


async def test_an_execution_is_followed_alone(log: ThreadLog) -> None:
    log.append("t", "", 0, entries=[(EventType.message_added, b'"m"')])
    for number in range(30):
        log.append("t", f"e{number % 3}", 1, entries=[chunk(str(number))])
    mine = await take(log.follow("t", execution_id="e1"), 10)
    assert payloads(mine) == [str(number) for number in range(1, 30, 3)]
    resumed = log.follow("t", execution_id="e1", after=mine[4].cursor)
    assert payloads(await take(resumed, 5)) == payloads(mine)[5:]
    await nothing_more(log, resumed)
    log.append("t", "e2", 1, entries=[chunk("other")])
    await nothing_more(log, resumed)
    other_cursor = (await take(log.follow("t", execution_id="e0"), 10))[5].cursor
    behind = log.follow("t", execution_id="e1", after=other_cursor)
    assert payloads(await take(behind, 5)) == payloads(mine)[5:]


async def test_chunks_of_one_read_are_one_event_and_can_be_resumed_within(log: ThreadLog) -> None:
    log.append("t", "e", 1, entries=[STARTED])
    live = log.follow("t", execution_id="e")
    reads = [["0"], ["1", "2", "3", "4"], ["5", "6"]]
    cursors = [log.append_chunks("t", "e", 1, chunks=[text.encode() for text in read]) for read in reads]
    log.append("t", "e", 1, entries=[COMPLETED])
    events = await take(live, 5)
    assert [payloads([event]) for event in events[1:4]] == reads
    assert [event.cursor for event in events[1:4]] == cursors
    origin, _, first = cursors[0].rpartition("-")
    for seen, left in enumerate([3, 3, 3, 3, 2, 2, 1]):
        resumed = log.follow("t", execution_id="e", after=f"{origin}-{int(first) + seen}")
        rest = await take(resumed, left)
        assert payloads(rest[:-1]) == [str(number) for number in range(seen + 1, 7)]
        assert [event.cursor for event in rest] == [event.cursor for event in events[-left:]]


async def test_chunks_pass_the_fence_as_any_event(log: ThreadLog) -> None:
    log.append_chunks("t", "e", 2, chunks=[b"0", b"1"])
    with pytest.raises(StaleAttemptError):
        log.append_chunks("t", "e", 1, chunks=[b"late"])
    log.append("t", "e", 2, entries=[COMPLETED])
    with pytest.raises(StaleAttemptError):
        log.append_chunks("t", "e", 2, chunks=[b"late"])
    assert payloads(await take(log.follow("t"), 2)) == ["0", "1", COMPLETED[1].decode()]
    assert log.has_ended("t", "e")
    assert not log.has_ended("t", "other")


async def test_threads_do_not_mix(log: ThreadLog) -> None:
    one, two = log.follow("one"), log.follow("two")
    log.append("one", "e", 1, entries=[chunk("1")])
    log.append("two", "e", 1, entries=[chunk("2")])
    assert payloads(await take(one, 1)) == ["1"]
    assert payloads(await take(two, 1)) == ["2"]
    await nothing_more(log, one)


async def test_a_higher_attempt_raises_the_fence_and_a_lower_one_appends_nothing(log: ThreadLog) -> None:
    log.append("t", "e", 1, entries=[chunk("first")])
    log.append("t", "e", 2, entries=[(EventType.execution_restarted, b"{}")])
    await refused(log, 1, chunk("late"), COMPLETED)
    log.append("t", "e", 2, entries=[chunk("second")])
    log.append("t", "other", 1, entries=[chunk("free")])
    events = await take(log.follow("t"), 4)
    assert payloads(events) == ["first", "{}", "second", "free"]
    assert [event.attempt for event in events] == [1, 2, 2, 1]


@pytest.mark.parametrize(
    "end", [EventType.execution_completed, EventType.execution_failed, EventType.execution_interrupted]
)
async def test_nothing_follows_an_end(log: ThreadLog, end: EventType) -> None:
    log.append("t", "e", 1, entries=[chunk("text"), (end, b"{}")])
    for attempt in (0, 1, 2):
        await refused(log, attempt, chunk("late"))
    follower = log.follow("t", execution_id="e")
    assert [event.type for event in await take(follower, 2)] == [EventType.chunk, end]
    await nothing_more(log, follower)


async def test_an_end_closes_its_own_execution_only(log: ThreadLog) -> None:
    log.append("t", "a", 1, entries=[STARTED])
    log.append("t", "b", 1, entries=[COMPLETED])
    log.append("t", "a", 1, entries=[chunk("goes on")])
    assert payloads(await take(log.follow("t", execution_id="a"), 2))[1] == "goes on"


async def test_what_the_log_holds_from_its_first_event(log: ThreadLog) -> None:
    assert not log.holds("t", "e")
    log.append("t", "other", 1, entries=[STARTED])
    assert not log.holds("t", "e")
    log.append("t", "e", 1, entries=[STARTED])
    assert log.holds("t", "e")
    log.append("t", "e", 1, entries=[COMPLETED])
    assert log.holds("t", "e")


async def test_a_follower_waits_for_an_execution_that_is_yet_to_come(log: ThreadLog) -> None:
    early = log.follow("t", execution_id="e")
    log.append("t", "other", 1, entries=[STARTED])
    await nothing_more(log, early)
    late = log.follow("t", execution_id="e")
    log.append("t", "e", 1, entries=[chunk("here")])
    assert payloads(await take(early, 1)) == payloads(await take(late, 1)) == ["here"]


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "-", "-1", "1", "00000000-1", "00000000-0", "stored-1", "e-e", "0-99999999999999999999"]
)
@pytest.mark.parametrize("known", [True, False])
async def test_a_cursor_of_nobody_is_gone(log: ThreadLog, cursor: str, *, known: bool) -> None:
    if known:
        log.append("t", "e", 1, entries=[STARTED])
        await log.flush("t")
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", after=cursor))


@pytest.mark.parametrize("digits", ["²", "٣", "1_0", "+1", " 1", "01e1"])
async def test_a_cursor_with_odd_digits_is_gone(log: ThreadLog, digits: str) -> None:
    origin, _, _ = log.append("t", "e", 1, entries=[STARTED]).rpartition("-")
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", after=f"{origin}-{digits}"))


async def test_a_cursor_ahead_of_the_log_is_gone(log: ThreadLog) -> None:
    origin, _, number = log.append("t", "e", 1, entries=[STARTED]).rpartition("-")
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", after=f"{origin}-{int(number) + 5}"))


async def test_a_cursor_of_another_log_is_gone(made: Made, request: pytest.FixtureRequest) -> None:
    make = ADAPTERS[request.node.callspec.params["made"].__name__]
    async with make() as other:
        cursor = other.log.append("t", "e", 1, entries=[STARTED, chunk("0")])
        made.log.append("t", "e", 1, entries=[STARTED, chunk("0"), chunk("1")])
        await made.log.flush("t")
        with pytest.raises(CursorGoneError):
            await next_batch(made.log.follow("t", after=cursor))


async def test_finished_executions_leave_after_their_retention(made: Made) -> None:
    log = made.log
    cursor = log.append("t", "e", 1, entries=[STARTED])
    log.append("t", "e", 1, entries=[chunk("text"), COMPLETED])
    made.pass_time(30)
    assert log.holds("t", "e")
    assert len(await take(log.follow("t", after=cursor), 2)) == 2
    made.end_retention()
    assert not log.holds("t", "e")
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", execution_id="e", after=cursor))


async def test_a_running_execution_stays_however_old_it_is(made: Made) -> None:
    log = made.log
    first = log.append("t", "old", 1, entries=[STARTED])
    log.append("t", "done", 1, entries=[STARTED, COMPLETED])
    for _ in range(5):
        made.end_retention()
    log.append("t", "old", 1, entries=[chunk("still")])
    assert log.holds("t", "old")
    assert payloads(await take(log.follow("t", execution_id="old", after=first), 1)) == ["still"]


async def test_events_of_the_thread_itself_live_as_long_as_any(made: Made) -> None:
    log = made.log
    log.append("t", "", 0, entries=[(EventType.message_added, b'"old"')])
    made.pass_time(59)
    cursor = log.append("t", "", 0, entries=[(EventType.message_added, b'"seen"')])
    log.append("t", "", 0, entries=[(EventType.message_added, b'"young"')])
    made.pass_time(2)
    assert payloads(await take(log.follow("t", after=cursor), 1)) == ['"young"']
    made.end_retention()
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", after=cursor))


async def test_a_stream_that_left_and_was_made_again_does_not_know_old_cursors(made: Made) -> None:
    log = made.log
    first = log.append("t", "e1", 1, entries=[STARTED])
    log.append("t", "e1", 1, entries=[chunk("text"), COMPLETED])
    made.end_retention()
    log.append("t", "e2", 1, entries=[STARTED, chunk("0"), chunk("1"), chunk("2"), chunk("3")])
    await log.flush("t")
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", after=first))
    follower = log.follow("t", execution_id="e1")
    await nothing_more(log, follower)


async def test_all_finished_executions_together_are_bounded(made: Made) -> None:
    log, size = made.log, 10_000
    count = 2 * RETAINED_BYTES // size
    for number in range(count):
        log.append(f"t{number}", "e", 1, entries=[chunk("x", size=size), COMPLETED])
    held = [log.holds(f"t{number}", "e") for number in range(count)]
    assert sum(held) <= RETAINED_BYTES // size
    assert held == sorted(held), "the oldest leave first"
    assert held[-1]


async def test_many_small_messages_do_not_push_each_other_out(made: Made) -> None:
    log = made.log
    log.append("answer", "e", 1, entries=[chunk("x", size=1000), COMPLETED])
    for number in range(200):
        log.append("t", "", 0, entries=[(EventType.message_added, b"%d" % number)])
    assert log.holds("answer", "e"), "far less than the bound is held"


async def test_a_long_running_answer_loses_its_oldest_events(log: ThreadLog) -> None:
    early, slow, late = log.follow("t"), log.follow("t", execution_id="e"), log.follow("t")
    log.append("t", "e", 1, entries=[STARTED])
    await take(early, 1)
    size, total = 1000, 0
    while log.holds("t", "e"):
        log.append("t", "e", 1, entries=[chunk(str(total), size=size)])
        total += 1
        assert payloads(await take(early, 1)) == [str(total - 1)], "a reader that keeps up loses nothing"
        assert total * size <= THREAD_BYTES + size
    for follower in (slow, late):
        with pytest.raises(CursorGoneError):
            await next_batch(follower)
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", execution_id="e"))
    log.append("t", "e", 1, entries=[COMPLETED])
    assert (await take(early, 1))[0].type is EventType.execution_completed


async def test_one_event_larger_than_the_bound_still_reaches_who_keeps_up(log: ThreadLog) -> None:
    follower = log.follow("t")
    log.append("t", "e", 1, entries=[STARTED])
    await take(follower, 1)
    log.append("t", "e", 1, entries=[chunk("large", size=2 * THREAD_BYTES)])
    assert payloads(await take(follower, 1)) == ["large"]


async def test_a_batch_has_about_64_kib(log: ThreadLog) -> None:
    size = 10_000
    log.append("t", "e", 1, entries=[chunk(str(number), size=size) for number in range(15)])
    follower, seen = log.follow("t"), 0
    while seen < 15:
        batch = await next_batch(follower)
        assert sum(len(event.payload) for event in batch) <= BATCH_BYTES + size
        assert payloads(batch) == [str(number) for number in range(seen, seen + len(batch))]
        seen += len(batch)
    assert seen == 15


async def test_slow_followers_hold_nothing_of_their_own(log: ThreadLog) -> None:
    followers = [log.follow("t") for _ in range(200)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(150):
            log.append("t", "e", 1, entries=[chunk(str(number), size=1000)])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10 * 150 * 1000, "not once for each of the 200"
    assert payloads(await take(followers[-1], 150)) == [str(number) for number in range(150)]


async def test_who_listens_is_called_until_it_has_taken_all(log: ThreadLog) -> None:
    log.append("t", "e", 1, entries=[STARTED])
    follower, called = log.follow("t"), asyncio.Event()
    seen: list[Event] = []

    def ready() -> None:
        seen.extend(follower.take())
        called.set()

    follower.on_ready(ready)
    async with asyncio.timeout(SECONDS):
        for number in range(100):
            log.append("t", "e", 1, entries=[chunk(str(number))])
            await called.wait()
            called.clear()
    assert payloads(seen)[1:] == [str(number) for number in range(100)]


async def test_a_follower_may_leave_in_the_middle_of_a_call(log: ThreadLog) -> None:
    """As a reader does that has got the end."""
    followers = [log.follow("t") for _ in range(3)]
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
    log.append("t", "e", 1, entries=[STARTED])
    async with asyncio.timeout(SECONDS):
        await all_left.wait()
    log.append("t", "e", 1, entries=[COMPLETED])
    await log.flush("t")
    assert [event.type for event in seen] == [EventType.execution_started] * 3


async def test_many_followers_each_see_everything(log: ThreadLog) -> None:
    async def read(follower: Follower) -> list[Event]:
        events: list[Event] = []
        while not events or events[-1].type is not EventType.execution_completed:
            events += await next_batch(follower)
        follower.close()
        return events

    reads = [asyncio.create_task(read(log.follow("t"))) for _ in range(300)]
    for number in range(100):
        log.append("t", "e", 1, entries=[chunk(str(number))])
        await asyncio.sleep(0)
    log.append("t", "e", 1, entries=[COMPLETED])
    async with asyncio.timeout(SECONDS):
        seen = await asyncio.gather(*reads)
    assert all(events == seen[0] for events in seen)
    assert payloads(seen[0])[:-1] == [str(number) for number in range(100)]


async def test_a_closed_follower_is_forgotten_and_may_be_closed_again(log: ThreadLog) -> None:
    follower = log.follow("t")
    follower.close()
    follower.close()
    log.append("t", "e", 1, entries=[STARTED])
    assert len(await take(log.follow("t"), 1)) == 1


async def test_a_discarded_thread_is_erased_at_once(made: Made) -> None:
    log = made.log
    first = log.append("t", "e", 1, entries=[STARTED])
    log.append("t", "done", 1, entries=[STARTED, COMPLETED])
    log.append("t", "", 0, entries=[(EventType.message_added, b'"m"')])
    follower = log.follow("t")
    log.discard("t")
    assert not log.holds("t", "e")
    assert not log.holds("t", "done")
    with pytest.raises(CursorGoneError):
        await next_batch(follower)
    follower.close()
    with pytest.raises(CursorGoneError):
        await next_batch(log.follow("t", after=first))
    log.discard("t")
    log.discard("never seen")
    log.append("t", "again", 1, entries=[chunk("new")])
    made.end_retention()
    assert payloads(await take(log.follow("t"), 1)) == ["new"]
    assert log.holds("t", "again")


async def test_a_discarded_thread_begins_anew_with_a_follower_still_there(log: ThreadLog) -> None:
    log.append("t", "e", 1, entries=[STARTED])
    follower = log.follow("t")
    await take(follower, 1)
    log.discard("t")
    await nothing_more(log, follower)
    new = log.follow("t", execution_id="e")
    log.append("t", "e", 1, entries=[chunk("new")])
    assert payloads(await take(new, 1)) == payloads(await take(follower, 1)) == ["new"]


async def test_cursors_grow_in_order(log: ThreadLog) -> None:
    log.append("t", "e", 1, entries=[chunk(str(number)) for number in range(30)])
    events = await take(log.follow("t"), 30)
    for earlier, later in pairwise(events):
        assert earlier.cursor != later.cursor
        resumed = log.follow("t", after=earlier.cursor)
        assert (await next_batch(resumed))[0] == later


async def test_a_log_that_works_says_so(log: ThreadLog) -> None:
    await log.check()
    await log.flush("never seen")
