"""One execution's events in memory, and the places of its readers in them.

A follower keeps a place and no events, so what a slow one costs is nothing. A place is `attempt << 56 | number` of the
last event seen, so that places of later attempts are greater.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec

from frontdesk.ports.thread_log import TERMINAL, CursorGoneError, Event, EventType, Resumed, StaleAttemptError

START = 0
NUMBER_BITS = 56
_NUMBERS = (1 << NUMBER_BITS) - 1
_MOST_ATTEMPTS = 1 << 15
_BATCH_BYTES = 65_536
_PART_BYTES = 16_384  # of chunks that are one event
_CUT_OFF = b'{"status":"reconnecting"}'
_EVENT_BYTES = 200  # what an event costs beside its payload
_decode_resumed = msgspec.json.Decoder(Resumed).decode


def parse_cursor(cursor: str) -> int:
    """The cursor's place. Raises `CursorGoneError` for what is no cursor of an execution."""
    attempt, _, number = cursor.partition("-")
    digits = attempt + number
    if not (attempt and number and digits.isascii() and digits.isdecimal() and len(digits) <= 20):  # noqa: PLR2004
        raise CursorGoneError
    place = int(attempt) << NUMBER_BITS | int(number)
    if int(attempt) >= _MOST_ATTEMPTS or int(number) > _NUMBERS:
        raise CursorGoneError
    return place


class AnswerLog:
    """All events behind `base` are held; `base` is `START` while nothing was trimmed or missed. A restart voids what
    was before it, so that goes at once and is not missed; what an answer resumes behind is missed where it is not held.

    `runs_here` is whether this process appends. `fence` is the lowest attempt that may, if another process has said so,
    `sent` the place up to which the others have been told, and `heard` the last announcement of each other process.
    `touched` and `ended_bytes` are the owner's.
    """

    __slots__ = (
        "attempt",
        "base",
        "bytes",
        "closed",
        "ended_bytes",
        "events",
        "execution_id",
        "fence",
        "followers",
        "heard",
        "number",
        "places",
        "runs_here",
        "sent",
        "sizes",
        "thread_id",
        "touched",
    )

    def __init__(self, thread_id: str, execution_id: str) -> None:
        self.thread_id = thread_id
        self.execution_id = execution_id
        self.attempt = 0
        self.number = 0
        self.base = START
        self.bytes = 0
        self.closed = False
        self.ended_bytes = 0
        self.runs_here = False
        self.fence = 0
        self.heard: dict[str, str] = {}
        self.sent = START
        self.touched = 0
        self.events: list[Event] = []
        self.places: list[int] = []
        self.sizes = array("Q")
        self.followers: list[AnswerFollower] = []

    @property
    def end(self) -> int:
        """The last event's place, also when it is no longer held."""
        return self.attempt << NUMBER_BITS | self.number

    @property
    def cursor(self) -> str:
        """The last event's."""
        return f"{self.attempt}-{self.number}"

    @property
    def is_whole(self) -> bool:
        return self.base == START

    def admit(self, attempt: int) -> None:
        """Let an attempt pass its fence. Raises `StaleAttemptError`."""
        if self.closed or attempt < max(self.attempt, self.fence):
            raise StaleAttemptError
        if attempt > self.attempt:
            self.attempt, self.number = attempt, 0

    def add(self, kind: EventType, payload: bytes) -> None:
        if kind in TERMINAL and not (self.number or self.events):
            self.base = self.attempt << NUMBER_BITS  # what it ends was written elsewhere
        self.number += 1
        self._keep(Event(self.cursor, self.execution_id, self.attempt, kind, payload))
        if kind in TERMINAL:
            self.closed = True

    def add_chunks(self, chunks: Sequence[bytes]) -> int:
        """How many events they became."""
        if len(chunks) == 1:
            self.add(EventType.chunk, chunks[0])
            return 1
        parts = _parts(chunks)
        for part in parts:
            self.number += len(part)
            self._keep(Event(self.cursor, self.execution_id, self.attempt, EventType.chunk, b"", part))
        return len(parts)

    def merge(self, event: Event) -> bool:
        """Add an event that was numbered elsewhere; whether it brought anything.

        What is known already is left out. What was missed before it is not held: who needs that finds its place gone.
        The thread's own events are not numbered one by one.
        """
        last = parse_cursor(event.cursor)
        first = last - len(event.parts) + 1
        if self.closed or last <= self.end:
            return False
        if event.attempt > self.attempt:
            missed = first & _NUMBERS != 1
        else:
            missed = bool(self.execution_id) and first > self.end + 1
            event = event_behind(event, last, self.end)
        if missed:
            self.trim(len(self.events))
            self.base = first - 1
        self.attempt, self.number = event.attempt, last & _NUMBERS
        self._keep(event)
        self.closed = event.type in TERMINAL
        return True

    def since(self, place: int) -> tuple[Sequence[Event], int]:
        """At least one event behind the place if there is one, more up to a batch, and the place behind those."""
        batch: list[Event] = []
        size = 0
        for index in range(bisect_right(self.places, place), len(self.places)):
            batch.append(event_behind(self.events[index], self.places[index], place))
            place = self.places[index]
            size += self.sizes[index]
            if size >= _BATCH_BYTES:
                break
        return batch, place

    def behind(self, place: int) -> Sequence[Event]:
        """All events that are held behind the place; of one that reaches across it, all."""
        return self.events[bisect_right(self.places, place) :]

    def tell_away(self) -> None:
        """Have the followers say that what comes next is late."""
        for follower in tuple(self.followers):
            follower.is_cut_off = True
            follower.ready()

    def wake(self) -> None:
        for follower in tuple(self.followers):
            follower.ready()

    def trim(self, count: int) -> None:
        """Let the oldest events go."""
        if count:
            self.base = self.places[count - 1]
            self.bytes -= sum(self.sizes[:count])
            del self.events[:count], self.places[:count], self.sizes[:count]

    def empty(self) -> None:
        """Hold nothing any more: every place is gone."""
        self.trim(len(self.events))
        self.base = self.end + 1

    def shorten(self, to_bytes: int, *, keep: int) -> None:
        """All but the newest `keep` events may go: a reader that keeps up has not seen those yet."""
        count, excess = 0, self.bytes - to_bytes
        for size in self.sizes[: max(0, len(self.sizes) - keep)]:
            if excess <= 0:
                break
            excess -= size
            count += 1
        self.trim(count)

    def _go_on_behind(self, place: int) -> None:
        if (self.places[-1] if self.places else self.base) < place:
            self.trim(len(self.events))
            self.base = place

    def _keep(self, event: Event) -> None:
        if event.type is EventType.execution_restarted:
            self.trim(len(self.events))
            self.base = START
        elif event.type is EventType.execution_resumed:
            self._go_on_behind(parse_cursor(_decode_resumed(event.payload).after))
        size = len(event.payload) + _EVENT_BYTES
        if event.chunks:
            size += sum(map(len, event.chunks))
        self.events.append(event)
        self.places.append(self.attempt << NUMBER_BITS | self.number)
        self.sizes.append(size)
        self.bytes += size


class AnswerFollower:
    """`is_cut_off` until it has said that the log cannot be read for now."""

    __slots__ = ("_log", "_place", "is_cut_off", "ready")

    def __init__(self, log: AnswerLog, place: int) -> None:
        self.ready: Callable[[], None] = _nobody_listens
        self._log = log
        self._place = place
        self.is_cut_off = False
        log.followers.append(self)

    @property
    def closed(self) -> bool:
        return self._log.closed

    @property
    def ended(self) -> bool:
        return self._log.closed and self._place >= self._log.end

    @property
    def more(self) -> bool:
        return self._place < self._log.end or self.is_cut_off

    @property
    def behind(self) -> int:
        """Events that it has not taken."""
        return len(self._log.places) - bisect_right(self._log.places, self._place)

    def on_ready(self, ready: Callable[[], None]) -> None:
        self.ready = ready

    def take(self) -> Sequence[Event]:
        log = self._log
        if self._place < log.base:
            raise CursorGoneError
        if self.is_cut_off:
            self.is_cut_off = False
            cursor = f"{self._place >> NUMBER_BITS}-{self._place & _NUMBERS}"
            return [Event(cursor, log.execution_id, log.attempt, EventType.progress, _CUT_OFF)]
        batch, self._place = log.since(self._place)
        return batch

    def start_at(self, place: int) -> None:
        self._place = place

    def close(self) -> None:
        if self in self._log.followers:
            self._log.followers.remove(self)


def event_behind(event: Event, last: int, place: int) -> Event:
    """The event that ends at `last`, without its chunks up to `place`."""
    seen = place - (last - len(event.chunks))
    if not event.chunks or seen <= 0:
        return event
    return msgspec.structs.replace(event, chunks=event.chunks[seen:])


def _nobody_listens() -> None:
    """Until someone does, what comes is found by taking."""


def _parts(chunks: Sequence[bytes]) -> list[Sequence[bytes]]:
    """A read of a fast provider's answer is large: in parts, it does not burst a reader's batch.

    They are kept for as long as the log is, as tuples, which the garbage collector does not look at again.
    """
    if sum(map(len, chunks)) <= _PART_BYTES:
        return [tuple(chunks)]
    parts: list[list[bytes]] = [[]]
    size = 0
    for chunk in chunks:
        if size + len(chunk) > _PART_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(chunk)
        size += len(chunk)
    return [tuple(part) for part in parts]
