"""The log of a thread: what every answer writes to and every surface reads from.

Owns order and delivery. Each execution has a log of its own within the thread: its runner appends in order, a follower
sees each event after its cursor exactly once, nothing follows the terminal event, and an attempt that was superseded
can append nothing. A cursor belongs to the execution and not to the log that gave it out: every process understands it,
and a log that was made anew. It refuses to be a store: finished executions leave it after their retention, and then the
database answers.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class EventType(StrEnum):
    message_added = "message_added"
    execution_queued = "execution_queued"
    execution_started = "execution_started"
    execution_restarted = "execution_restarted"
    execution_resumed = "execution_resumed"
    chunk = "chunk"
    tool_call_started = "tool_call_started"
    tool_call_completed = "tool_call_completed"
    tool_call_failed = "tool_call_failed"
    input_requested = "input_requested"
    part_added = "part_added"
    progress = "progress"
    snapshot = "snapshot"
    execution_completed = "execution_completed"
    execution_failed = "execution_failed"
    execution_interrupted = "execution_interrupted"


TERMINAL = frozenset({EventType.execution_completed, EventType.execution_failed, EventType.execution_interrupted})


class Event(msgspec.Struct, frozen=True, gc=False):
    """`payload` is JSON in UTF-8 without line breaks; of a `chunk` it is the provider's own bytes.

    `cursor` is `ATTEMPT-NUMBER`; numbers count an attempt's events from 1. Several chunks that were appended together
    are one event: they stand in `chunks` instead, and `cursor` is the last one's. What came before an
    `execution_restarted` is void; an `execution_resumed` goes on behind an earlier attempt's cursor, which it names.
    """

    cursor: str
    execution_id: str
    attempt: int
    type: EventType
    payload: bytes = b""
    chunks: Sequence[bytes] = ()

    @property
    def parts(self) -> Sequence[bytes]:
        """Of a chunk or several: all of them."""
        return self.chunks or (self.payload,)


class Resumed(msgspec.Struct, frozen=True):
    """The payload of an `execution_resumed`: the cursor behind which the answer goes on."""

    after: str


Entry = tuple[EventType, bytes]


class StaleAttemptError(Exception):
    """The execution has ended, or a later attempt has taken it over: this one may append no more."""


class CursorGoneError(Exception):
    """What came right after the cursor is not held any more, or was never there: read the database first."""


class Follower(Protocol):
    """One reader's place in a log. It holds no events of its own, so a slow one costs nothing."""

    @property
    def closed(self) -> bool:
        """Whether the log holds the terminal event."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing can follow its place: the terminal event lies behind it."""
        ...

    @property
    def more(self) -> bool:
        """Whether there is something to take now."""
        ...

    def take(self) -> Sequence[Event]:
        """The events that are there after the last ones, in a batch of at most about 64 KiB of payload; it never waits.

        Empty when there are none yet. Raises `CursorGoneError` when its place was trimmed away.
        """
        ...

    def on_ready(self, ready: Callable[[], None]) -> None:
        """Have `ready` called whenever there may be something to take, or the log was taken away.

        It is called in the middle of an append: it must return soon and raise nothing.
        """
        ...

    def close(self) -> None: ...


class ThreadLog(Protocol):
    def announce(self, thread_id: str, *, entries: Sequence[Entry]) -> None:
        """Append to the thread's own log, which has no runner and no end; it never waits."""
        ...

    def append(self, thread_id: str, execution_id: str, attempt: int, *, entries: Sequence[Entry]) -> str:
        """Append in one batch and return the last event's cursor; it never waits.

        The first batch of a higher attempt raises the fence. Raises `StaleAttemptError`, with nothing appended; where
        the fence is kept elsewhere, it may come with a later call instead.
        """
        ...

    def append_chunks(self, thread_id: str, execution_id: str, attempt: int, *, chunks: Sequence[bytes]) -> str:
        """As `append`, of what one read of a model's answer brought: one event, whatever its length."""
        ...

    def abandon(self, thread_id: str, execution_id: str, attempt: int) -> None:
        """The attempt's runner is here no more: unless it has ended, what follows must be looked for elsewhere."""
        ...

    def pause(self, thread_id: str, execution_id: str, attempt: int) -> None:
        """The answer waits for somebody. A later attempt resumes it, here or elsewhere, and its followers wait too."""
        ...

    async def follow(self, thread_id: str, execution_id: str = "", *, after: str | None = None) -> Follower:
        """Follow one of a thread's executions, or the thread's own log; from the start when `after` is None.

        A log that knows nothing yet of it waits for the first event. Behind a cursor of an earlier attempt comes the
        later one, which begins by saying so. Raises `CursorGoneError` when what followed `after` is not held, and also
        for None when the start is not.
        """
        ...

    async def holds(self, thread_id: str, execution_id: str) -> bool:
        """Whether the execution's events are all here, from its first or from that of its latest attempt."""
        ...

    def is_written_here(self, thread_id: str, execution_id: str) -> bool:
        """Whether an attempt appends in this process: then the answer cannot have ended without its end being here."""
        ...

    def discard(self, thread_id: str, execution_ids: Sequence[str]) -> None:
        """Erase the thread's own log and those of its executions now."""
        ...

    async def flush(self) -> None:
        """Wait until what was appended can be read by every process. Raises `UnavailableError` when it cannot be."""
        ...

    async def check(self) -> None:
        """Raises `UnavailableError` when the log cannot be used."""
        ...

    async def aclose(self) -> None: ...


async def follow_from_now(log: ThreadLog, thread_id: str) -> tuple[Follower, str]:
    """The thread's own log, also of a thread that is not there yet, and the cursor of its last event; empty without."""
    while True:
        follower, cursor = await log.follow(thread_id), ""
        try:
            while events := follower.take():
                cursor = events[-1].cursor
        except CursorGoneError:
            follower.close()
        else:
            return follower, cursor
