"""The log of one process: events in lists, readers at their places in them.

A follower keeps a position and no events, so what a slow one costs is nothing, and what the log holds is bounded by the
log itself: finished executions leave after their retention or when all of them together are too large, and a thread
whose running answer grows past its bound loses its oldest events. Whoever needs those reads the database.
"""

import asyncio
import secrets
import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import TERMINAL, CursorGoneError, Entry, Event, EventType, StaleAttemptError

_CLOSED = sys.maxsize
_BATCH_BYTES = 65_536
_PART_BYTES = 16_384  # of chunks that are one event
_EVENT_BYTES = 200  # what an event costs beside its payload


class _Stream:
    """One thread's events. `numbers` are those of their cursors, `base` the first that is held, `end` the next.

    The thread's own events before `own_until` have served their time.
    """

    __slots__ = ("base", "bytes", "end", "events", "fences", "first", "followers", "numbers", "own_until", "sizes")

    def __init__(self, base: int) -> None:
        self.base = base
        self.end = base
        self.own_until = base
        self.bytes = 0
        self.events: list[Event] = []
        self.numbers: list[int] = []
        self.sizes: list[int] = []
        self.fences: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self.followers: list[InProcessFollower] = []

    def add(self, event: Event, number: int) -> None:
        self.events.append(event)
        self.numbers.append(number)
        self.end = number + 1
        size = len(event.payload) + _EVENT_BYTES
        if event.chunks:
            size += sum(map(len, event.chunks))
        self.sizes.append(size)
        self.bytes += size

    def trim(self, count: int) -> None:
        if count:
            self.base = self.numbers[count - 1] + 1
            self.bytes -= sum(self.sizes[:count])
            del self.events[:count]
            del self.sizes[:count]
            del self.numbers[:count]


class InProcessFollower:
    __slots__ = ("_execution_id", "_left", "_position", "_stream", "ready")

    def __init__(self, stream: _Stream, position: int, execution_id: str | None, *, left: Callable[[], None]) -> None:
        self.ready: Callable[[], None] = _nobody_listens
        self._stream = stream
        self._left = left
        self._position = position
        self._execution_id = execution_id
        stream.followers.append(self)

    def on_ready(self, ready: Callable[[], None]) -> None:
        self.ready = ready

    def close(self) -> None:
        if self in self._stream.followers:
            self._stream.followers.remove(self)
            self._left()

    def take(self) -> Sequence[Event]:
        stream = self._stream
        if self._position < stream.base:
            raise CursorGoneError
        batch: list[Event] = []
        size = 0
        for index in range(bisect_left(stream.numbers, self._position), len(stream.events)):
            event = _from(stream.events[index], stream.numbers[index], self._position)
            self._position = stream.numbers[index] + 1
            if self._execution_id is None or event.execution_id == self._execution_id:
                batch.append(event)
                size += stream.sizes[index]
                if size >= _BATCH_BYTES:
                    break
        return batch


class InProcessThreadLog:
    """`retention` is in seconds; `retained_bytes` bounds all finished executions, `thread_bytes` one thread."""

    def __init__(self, *, clock: Clock, retention: float, retained_bytes: int, thread_bytes: int) -> None:
        self._clock = clock
        self._retention = retention
        self._retained_bytes = retained_bytes
        self._thread_bytes = thread_bytes
        self._epoch = secrets.token_hex(4)
        self._streams: dict[str, _Stream] = {}
        self._next_base = 1
        self._finished: deque[tuple[float, str, str, int, int]] = deque()
        self._finished_bytes = 0
        self._reaper: asyncio.TimerHandle | None = None

    @property
    def lag(self) -> int:
        """Events that some follower has not taken yet, at the worst."""
        return max((s.end - f._position for s in self._streams.values() for f in s.followers), default=0)  # noqa: SLF001

    @property
    def held_bytes(self) -> int:
        return sum(stream.bytes for stream in self._streams.values())

    def append(self, thread_id: str, execution_id: str, attempt: int, *, entries: Sequence[Entry]) -> str:
        stream = self._admit(thread_id, execution_id, attempt)
        for kind, payload in entries:
            number = stream.end
            stream.add(Event(f"{self._epoch}-{number}", execution_id, attempt, kind, payload), number)
        if not execution_id or entries[-1][0] in TERMINAL:
            self._retire(thread_id, stream, execution_id, count=len(entries))
            return self._wake(stream)
        return self._appended(stream, keep=len(entries))

    def append_chunks(self, thread_id: str, execution_id: str, attempt: int, *, chunks: Sequence[bytes]) -> str:
        stream = self._admit(thread_id, execution_id, attempt)
        number = stream.end
        if len(chunks) == 1:
            stream.add(Event(f"{self._epoch}-{number}", execution_id, attempt, EventType.chunk, chunks[0]), number)
            return self._appended(stream, keep=1)
        parts = _parts(chunks)
        for part in parts:
            number = stream.end + len(part) - 1
            stream.add(Event(f"{self._epoch}-{number}", execution_id, attempt, EventType.chunk, b"", part), number)
        return self._appended(stream, keep=len(parts))

    def follow(self, thread_id: str, *, execution_id: str | None = None, after: str | None = None) -> InProcessFollower:
        stream = self._streams.get(thread_id)
        position = self._position(stream, execution_id, after)
        if stream is None:
            stream = self._open(thread_id)
            position = stream.end
        return InProcessFollower(stream, position, execution_id, left=partial(self._drop_if_idle, thread_id, stream))

    def holds(self, thread_id: str, execution_id: str) -> bool:
        stream = self._streams.get(thread_id)
        return stream is not None and stream.first.get(execution_id, -1) >= stream.base

    def has_ended(self, thread_id: str, execution_id: str) -> bool:
        stream = self._streams.get(thread_id)
        return stream is not None and stream.fences.get(execution_id) == _CLOSED

    async def flush(self, thread_id: str) -> None:
        """What was appended is here already."""

    def discard(self, thread_id: str) -> None:
        if stream := self._streams.get(thread_id):
            stream.trim(len(stream.events))
            stream.fences.clear()
            stream.first.clear()
            self._drop_if_idle(thread_id, stream)
            for follower in tuple(stream.followers):
                follower.ready()

    async def check(self) -> None:
        """A log in this process is there when the process is."""

    async def aclose(self) -> None:
        if self._reaper is not None:
            self._reaper.cancel()

    def _open(self, thread_id: str) -> _Stream:
        stream = self._streams[thread_id] = _Stream(self._next_base)
        return stream

    def _admit(self, thread_id: str, execution_id: str, attempt: int) -> _Stream:
        """The thread's stream, once the attempt has passed the execution's fence."""
        stream = self._streams.get(thread_id) or self._open(thread_id)
        if execution_id:
            fence = stream.fences.get(execution_id)
            if fence is None:
                stream.first[execution_id] = stream.end
            elif attempt < fence:
                raise StaleAttemptError
            stream.fences[execution_id] = attempt
        return stream

    def _appended(self, stream: _Stream, *, keep: int) -> str:
        if stream.bytes > self._thread_bytes:
            self._shorten(stream, keep=keep)
        return self._wake(stream)

    def _wake(self, stream: _Stream) -> str:
        for follower in tuple(stream.followers):
            follower.ready()
        return f"{self._epoch}-{stream.end - 1}"

    def _position(self, stream: _Stream | None, execution_id: str | None, after: str | None) -> int:
        if after is not None:
            epoch, _, number = after.partition("-")
            position = int(number) + 1 if number.isdecimal() else -1
            if stream is None or epoch != self._epoch or not stream.base <= position <= stream.end:
                raise CursorGoneError
            return position
        if stream is None:
            return 0
        position = stream.base if execution_id is None else stream.first.get(execution_id, stream.end)
        if position < stream.base:
            raise CursorGoneError
        return position

    def _retire(self, thread_id: str, stream: _Stream, execution_id: str, *, count: int) -> None:
        """A finished execution, or `count` new events of the thread itself, which live as long."""
        size = sum(stream.sizes[-count:])
        if execution_id:
            stream.fences[execution_id] = _CLOSED
            ours = zip(stream.events, stream.sizes, strict=True)
            size = sum(size for event, size in ours if event.execution_id == execution_id)
        until = self._clock.monotonic() + self._retention
        self._finished.append((until, thread_id, execution_id, size, stream.end))
        self._finished_bytes += size
        self._reap()

    def _reap(self) -> None:
        now = self._clock.monotonic()
        while self._finished and (self._finished[0][0] <= now or self._finished_bytes > self._retained_bytes):
            _, thread_id, execution_id, size, end = self._finished.popleft()
            self._finished_bytes -= size
            if stream := self._streams.get(thread_id):
                self._forget(thread_id, stream, execution_id, end=end)
        if self._reaper is None and self._finished:
            self._reaper = asyncio.get_running_loop().call_later(max(0.05, self._retention / 4), self._reap_again)

    def _reap_again(self) -> None:
        self._reaper = None
        self._reap()

    def _forget(self, thread_id: str, stream: _Stream, execution_id: str, *, end: int) -> None:
        """Drop what leads the stream and belongs to no execution that is still known."""
        stream.fences.pop(execution_id, None)
        stream.first.pop(execution_id, None)
        if not execution_id:
            stream.own_until = max(stream.own_until, end)
        count = 0
        for event, number in zip(stream.events, stream.numbers, strict=True):
            still_own = not event.execution_id and number >= stream.own_until
            if event.execution_id in stream.fences or still_own:
                break
            count += 1
        stream.trim(count)
        self._drop_if_idle(thread_id, stream)

    def _drop_if_idle(self, thread_id: str, stream: _Stream) -> None:
        if not stream.events and not stream.followers and not stream.fences:
            self._next_base = max(self._next_base, stream.base)
            self._streams.pop(thread_id, None)

    def _shorten(self, stream: _Stream, *, keep: int) -> None:
        """All but the newest `keep` events may go: a reader that keeps up has not seen those yet."""
        count, freed = 0, 0
        for size in stream.sizes[:-keep]:
            if freed >= self._thread_bytes // 2:
                break
            freed += size
            count += 1
        stream.trim(count)


def _nobody_listens() -> None:
    """Until someone does, what comes is found by taking."""


def _parts(chunks: Sequence[bytes]) -> list[Sequence[bytes]]:
    """A read of a fast provider's answer is large: in parts, it does not burst a reader's batch."""
    if sum(map(len, chunks)) <= _PART_BYTES:
        return [chunks]
    parts: list[list[bytes]] = [[]]
    size = 0
    for chunk in chunks:
        if size + len(chunk) > _PART_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(chunk)
        size += len(chunk)
    return list(parts)


def _from(event: Event, number: int, position: int) -> Event:
    """The event, without the chunks before `position`."""
    seen = position - (number - len(event.chunks) + 1)
    if not event.chunks or seen <= 0:
        return event
    return msgspec.structs.replace(event, chunks=event.chunks[seen:])
