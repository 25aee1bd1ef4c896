"""The thread log against a plain model of it, by hypothesis."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from deploy.parts.redis import RedisServer
from frontdesk.ports.thread_log import CursorGoneError, Entry, Event, EventType, Follower, StaleAttemptError
from harness.thread_logs import ADAPTERS, RETENTION, Made, Make

ANSWERS = st.sampled_from([(thread, execution) for thread in ("t0", "t1") for execution in ("e0", "e1")])
ATTEMPTS = st.integers(0, 4)
MOST_FOLLOWERS = 12
RESTARTED: Entry = (EventType.execution_restarted, b"{}")


@dataclass
class Answer:
    """`events` are those since the latest restart: cursor and payload. `ended` is when it did."""

    attempt: int = 0
    number: int = 0
    events: list[tuple[tuple[int, int], bytes]] = field(default_factory=list)
    ended: float | None = None

    def add(self, attempt: int, payload: bytes, *, restart: bool = False) -> None:
        if attempt > self.attempt:
            self.attempt, self.number = attempt, 0
        if restart:
            self.events.clear()
        self.number += 1
        self.events.append(((attempt, self.number), payload))


@dataclass
class Reader:
    """`place` is the attempt and number of the last event that it was given."""

    follower: Follower
    known: Answer
    place: tuple[int, int]


class LogMachine(RuleBasedStateMachine):
    make: ClassVar[Make]
    redis_url: ClassVar[str]

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.count = 0
        self.answers: dict[tuple[str, str], Answer] = {}
        self.readers: list[Reader] = []
        self.loop = asyncio.new_event_loop()
        self.context: AbstractAsyncContextManager[Made] = type(self).make(self.redis_url)
        self.made = self.loop.run_until_complete(self.context.__aenter__())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.context.__aexit__(None, None, None))
            self.loop.close()

    @rule(answer=ANSWERS, attempt=ATTEMPTS, count=st.integers(1, 4), end=st.booleans())
    def append(self, answer: tuple[str, str], attempt: int, count: int, *, end: bool) -> None:
        entries = [(EventType.chunk, payload) for payload in self._payloads(count)]
        if end:
            entries.append((EventType.execution_completed, b"{}"))

        async def steps() -> str:
            return self.made.log.append(*answer, attempt, entries=entries)

        if self._begin(answer, attempt):
            assert self._run(steps()) == self._note(answer, attempt, [payload for _, payload in entries])
            if end:
                self.answers[answer].ended = self.now
        else:
            self._refused(steps)

    @rule(answer=ANSWERS, attempt=ATTEMPTS, count=st.integers(1, 5))
    def append_chunks(self, answer: tuple[str, str], attempt: int, count: int) -> None:
        payloads = self._payloads(count)

        async def steps() -> str:
            return self.made.log.append_chunks(*answer, attempt, chunks=payloads)

        if self._begin(answer, attempt):
            assert self._run(steps()) == self._note(answer, attempt, payloads)
        else:
            self._refused(steps)

    def _payloads(self, count: int) -> list[bytes]:
        self.count += count
        return [b"%d" % number for number in range(self.count - count, self.count)]

    def _begin(self, answer: tuple[str, str], attempt: int) -> bool:
        """Whether the attempt may go on; a later one says that it begins again."""
        known = self._known(answer)
        if known.ended is not None or attempt < known.attempt:
            return False
        if attempt > max(known.attempt, 1):

            async def restart() -> None:
                self.made.log.append(*answer, attempt, entries=[RESTARTED])

            self._run(restart())
            known.add(attempt, b"{}", restart=True)
        return True

    def _known(self, answer: tuple[str, str]) -> Answer:
        """Once it has left, nothing is known of it."""
        known = self.answers.get(answer)
        if known is None or self._left(known):
            known = self.answers[answer] = Answer()
        return known

    def _left(self, known: Answer) -> bool:
        return known.ended is not None and known.ended + RETENTION <= self.now

    def _note(self, answer: tuple[str, str], attempt: int, payloads: list[bytes]) -> str:
        for payload in payloads:
            self.answers[answer].add(attempt, payload)
        return f"{attempt}-{self.answers[answer].number}"

    def _refused(self, steps: object) -> None:
        with pytest.raises(StaleAttemptError):
            self._run(steps())  # type: ignore[operator]

    def _run(self, steps: object) -> object:
        return self.loop.run_until_complete(steps)  # type: ignore[arg-type]

    @rule(seconds=st.sampled_from([1.0, RETENTION / 3, RETENTION * 2 / 3]))
    def let_time_pass(self, seconds: float) -> None:
        if self.made.has_server:
            return  # whose time is its own
        self.now += seconds

        async def steps() -> None:
            self.made.pass_time(seconds)

        self._run(steps())

    @rule(answer=ANSWERS, data=st.data())
    def follow(self, answer: tuple[str, str], data: st.DataObject) -> None:
        """From the start, or from any place that was given out or may have been."""
        known = self._known(answer)
        after = data.draw(st.none() | st.tuples(st.integers(0, known.attempt), st.integers(0, known.number)))
        if len(self.readers) >= MOST_FOLLOWERS:
            return

        async def steps() -> Follower:
            await self.made.log.flush()
            cursor = None if after is None else f"{after[0]}-{after[1]}"
            return await self.made.reading.follow(*answer, after=cursor)

        try:
            follower = self.loop.run_until_complete(steps())
        except CursorGoneError:
            assert after is not None
            assert not known.events or after > known.events[-1][0], "nothing has left"
        else:
            self.readers.append(Reader(follower, known, after or (0, 0)))

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        if not self.readers:
            return
        reader = data.draw(st.sampled_from(self.readers))
        known = reader.known

        async def steps() -> list[Event]:
            await self.made.settle()
            return list(reader.follower.take())

        try:
            batch = self.loop.run_until_complete(steps())
        except CursorGoneError:
            assert self._left(known), "nothing has left"
            self._close(reader)
            return
        told = [(tuple(map(int, event.cursor.split("-"))), event) for event in batch]
        expected = [(place, payload) for place, payload in known.events if place > reader.place]
        if not batch:
            assert not expected, "an event is there and was not given"
            return
        assert [part for _, event in told for part in event.parts] == [payload for _, payload in expected]
        assert told[-1][0] == expected[-1][0]
        reader.place = expected[-1][0]
        assert reader.follower.ended == (known.ended is not None)

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if self.readers:
            self._close(data.draw(st.sampled_from(self.readers)))

    def _close(self, reader: Reader) -> None:
        reader.follower.close()
        self.readers.remove(reader)

    @invariant()
    def what_runs_is_held(self) -> None:
        for answer, known in getattr(self, "answers", {}).items():
            if known.events and not self._left(known):
                assert self._run(self._holds(answer))

    async def _holds(self, answer: tuple[str, str]) -> bool:
        await self.made.log.flush()
        return await self.made.reading.holds(*answer)


@pytest.mark.parametrize("make", ADAPTERS.values(), ids=ADAPTERS)
def test_the_log_is_its_model(make: Make, redis_server: RedisServer) -> None:
    machine = type("Machine", (LogMachine,), {"make": staticmethod(make), "redis_url": redis_server.url})
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
