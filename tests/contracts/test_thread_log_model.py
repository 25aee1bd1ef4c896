"""The thread log against a plain model of it, by hypothesis."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from frontdesk.ports.thread_log import CursorGoneError, Event, EventType, Follower, StaleAttemptError
from harness.thread_logs import ADAPTERS, RETENTION, Made, Make

THREADS = st.sampled_from(["t0", "t1"])
EXECUTIONS = st.sampled_from(["e0", "e1", "e2", "e3"])
MOST_FOLLOWERS = 12


@dataclass
class Known:
    """One event as the model knows it. `free_at` is when it may leave; None while its execution runs."""

    cursor: str
    execution_id: str
    payload: bytes
    free_at: float | None


@dataclass
class Reader:
    """`place` is the index of the model's event that comes next."""

    follower: Follower
    thread: str
    execution_id: str | None
    place: int


@dataclass
class Thread:
    events: list[Known] = field(default_factory=list)
    fences: dict[str, int] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)


class LogMachine(RuleBasedStateMachine):
    make: ClassVar[Make]

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.number = 0
        self.threads = {"t0": Thread(), "t1": Thread()}
        self.readers: list[Reader] = []
        self.loop = asyncio.new_event_loop()
        self.context: AbstractAsyncContextManager[Made] = type(self).make()
        self.made = self.loop.run_until_complete(self.context.__aenter__())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.context.__aexit__(None, None, None))
            self.loop.close()

    @rule(thread=THREADS, execution=EXECUTIONS, attempt=st.integers(0, 3), count=st.integers(1, 4), end=st.booleans())
    def append(self, thread: str, execution: str, attempt: int, count: int, *, end: bool) -> None:
        known = self.threads[thread]
        if self._forgotten(thread, execution):
            return
        entries = [(EventType.chunk, b"%d" % (self.number + index)) for index in range(count)]
        self.number += count
        if end:
            entries.append((EventType.execution_completed, b"{}"))
        stale = execution in known.ended or attempt < known.fences.get(execution, 0)
        if stale:
            with pytest.raises(StaleAttemptError):
                self._append(thread, execution, attempt, entries)
            return
        self._append(thread, execution, attempt, entries)
        known.fences[execution] = attempt
        if end:
            known.ended[execution] = self.now
            for event in known.events:
                if event.execution_id == execution:
                    event.free_at = self.now + RETENTION

    @rule(thread=THREADS, execution=EXECUTIONS, attempt=st.integers(0, 3), count=st.integers(1, 5))
    def append_chunks(self, thread: str, execution: str, attempt: int, count: int) -> None:
        known = self.threads[thread]
        if self._forgotten(thread, execution):
            return
        texts = [b"%d" % (self.number + index) for index in range(count)]
        self.number += count

        async def steps() -> str:
            return self.made.log.append_chunks(thread, execution, attempt, chunks=texts)

        if execution in known.ended or attempt < known.fences.get(execution, 0):
            with pytest.raises(StaleAttemptError):
                self.loop.run_until_complete(steps())
            return
        self._know(thread, execution, self.loop.run_until_complete(steps()), texts)
        known.fences[execution] = attempt

    @rule(thread=THREADS)
    def append_to_the_thread(self, thread: str) -> None:
        self.number += 1
        self._append(thread, "", 0, [(EventType.message_added, b"%d" % self.number)])
        self.threads[thread].events[-1].free_at = self.now + RETENTION

    def _append(self, thread: str, execution: str, attempt: int, entries: list[tuple[EventType, bytes]]) -> None:
        async def steps() -> str:
            cursor = self.made.log.append(thread, execution, attempt, entries=entries)
            await self.made.log.flush(thread)
            return cursor

        self._know(thread, execution, self.loop.run_until_complete(steps()), [payload for _, payload in entries])

    def _know(self, thread: str, execution: str, last: str, payloads: list[bytes]) -> None:
        origin, _, number = last.rpartition("-")
        first = int(number) - len(payloads) + 1
        self.threads[thread].events += [
            Known(f"{origin}-{first + index}", execution, payload, None) for index, payload in enumerate(payloads)
        ]

    @rule(seconds=st.sampled_from([1.0, RETENTION / 3, RETENTION * 2 / 3]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

        async def steps() -> None:
            self.made.pass_time(seconds)

        self.loop.run_until_complete(steps())

    @rule(thread=THREADS, execution=EXECUTIONS)
    def follow_from_the_start(self, thread: str, execution: str) -> None:
        if self._forgotten(thread, execution) or len(self.readers) >= MOST_FOLLOWERS:
            return
        place = next(
            (index for index, event in enumerate(self.threads[thread].events) if event.execution_id == execution),
            len(self.threads[thread].events),
        )
        self.readers.append(Reader(self._follow(thread, execution, None), thread, execution, place))

    @rule(thread=THREADS, execution=st.none() | EXECUTIONS, data=st.data())
    def follow_from_a_cursor(self, thread: str, execution: str | None, data: st.DataObject) -> None:
        events = self.threads[thread].events
        if not events or len(self.readers) >= MOST_FOLLOWERS:
            return
        index = data.draw(st.integers(0, len(events) - 1))
        try:
            follower = self._follow(thread, execution, events[index].cursor)
        except CursorGoneError:
            self._require_loss(thread, index + 1, seen=index)
        else:
            self.readers.append(Reader(follower, thread, execution, index + 1))

    def _follow(self, thread: str, execution: str | None, after: str | None) -> Follower:
        async def steps() -> Follower:
            return self.made.log.follow(thread, execution_id=execution, after=after)

        return self.loop.run_until_complete(steps())

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        if not self.readers:
            return
        reader = data.draw(st.sampled_from(self.readers))
        self._take(reader)

    def _take(self, reader: Reader) -> None:
        async def steps() -> list[Event]:
            return list(reader.follower.take())

        try:
            batch = self.loop.run_until_complete(steps())
        except CursorGoneError:
            self._require_loss(reader.thread, reader.place)
            self._close(reader)
            return
        for event in batch:
            self._expect(reader, event)
        if not batch:
            assert self._next_place(reader) is None, "an event is there and was not given"

    def _expect(self, reader: Reader, event: Event) -> None:
        place = self._next_place(reader)
        assert place is not None, f"{event} was never appended"
        parts = event.parts
        expected = self.threads[reader.thread].events[place : place + len(parts)]
        assert list(parts) == [known.payload for known in expected]
        assert {known.execution_id for known in expected} == {event.execution_id}
        assert event.cursor == expected[-1].cursor
        reader.place = place + len(parts)

    def _next_place(self, reader: Reader) -> int | None:
        events = self.threads[reader.thread].events
        for place in range(reader.place, len(events)):
            if reader.execution_id in {None, events[place].execution_id}:
                return place
        return None

    def _require_loss(self, thread: str, place: int, *, seen: int | None = None) -> None:
        """A place may be gone only when something behind it may have left, or the whole stream may."""
        events = self.threads[thread].events
        behind = events[place:] or ([] if seen is None else [events[seen]])
        assert any(event.free_at is not None and event.free_at <= self.now for event in behind), "nothing has left"

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if self.readers:
            self._close(data.draw(st.sampled_from(self.readers)))

    def _close(self, reader: Reader) -> None:
        reader.follower.close()
        self.readers.remove(reader)

    def _forgotten(self, thread: str, execution: str) -> bool:
        ended = self.threads[thread].ended.get(execution)
        return ended is not None and ended + RETENTION <= self.now

    @invariant()
    def what_runs_is_held(self) -> None:
        for name, thread in getattr(self, "threads", {}).items():
            for execution in thread.fences:
                if not self._forgotten(name, execution):
                    assert self.made.log.holds(name, execution)

    @invariant()
    def what_has_not_served_its_time_can_be_followed(self) -> None:
        for name, thread in getattr(self, "threads", {}).items():
            gone = [
                i for i, event in enumerate(thread.events) if event.free_at is not None and event.free_at <= self.now
            ]
            last = gone[-1] if gone else 0
            if last + 1 < len(thread.events):
                self._follow(name, None, thread.events[last].cursor).close()


@pytest.mark.parametrize("make", ADAPTERS.values(), ids=ADAPTERS)
def test_the_log_is_its_model(make: Make) -> None:
    machine = type("Machine", (LogMachine,), {"make": staticmethod(make)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
