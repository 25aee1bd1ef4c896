"""The log of a thread: what every answer writes to and every surface reads from.

Owns order and delivery. Events of a thread are appended in order; a follower sees each event after its cursor exactly
once; nothing follows an execution's terminal event; an attempt that was superseded can append nothing. It refuses to
be a store: finished executions leave it after their retention, and then the database answers.
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
    chunk = "chunk"
    tool_call_started = "tool_call_started"
    tool_call_completed = "tool_call_completed"
    tool_call_failed = "tool_call_failed"
    input_requested = "input_requested"
    progress = "progress"
    snapshot = "snapshot"
    execution_completed = "execution_completed"
    execution_failed = "execution_failed"
    execution_interrupted = "execution_interrupted"


TERMINAL = frozenset({EventType.execution_completed, EventType.execution_failed, EventType.execution_interrupted})


class Event(msgspec.Struct, frozen=True, gc=False):
    """`payload` is JSON in UTF-8 without line breaks; of a `chunk` it is the provider's own bytes.

    Several chunks that were appended together are one event: they stand in `chunks` instead, `cursor` is the last
    one's, and the others' cursors lead up to it: all end in `-NUMBER`, and the numbers follow one another.
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


Entry = tuple[EventType, bytes]


class StaleAttemptError(Exception):
    """The execution has ended, or a later attempt has taken it over: this one may append no more."""


class CursorGoneError(Exception):
    """The cursor lies before what the log still holds, or was made by a log that is gone: read the database first."""


class Follower(Protocol):
    """One reader's place in a log. It holds no events of its own, so a slow one costs nothing."""

    def take(self) -> Sequence[Event]:
        """The events that are there after the last ones, in a batch of at most about 64 KiB of payload; it never waits.

        Empty when there are none yet. Raises `CursorGoneError` when its place was trimmed away.
        """
        ...

    def on_ready(self, ready: Callable[[], None]) -> None:
        """Have `ready` called whenever there may be something to take, or the thread was erased.

        It is called in the middle of an append: it must return soon and raise nothing.
        """
        ...

    def close(self) -> None: ...


class ThreadLog(Protocol):
    def append(self, thread_id: str, execution_id: str, attempt: int, *, entries: Sequence[Entry]) -> str:
        """Append in one batch and return the last event's cursor; it never waits.

        `execution_id` is empty for events of the thread itself. The first batch of a higher attempt raises the
        fence. Raises `StaleAttemptError`, with nothing appended.
        """
        ...

    def append_chunks(self, thread_id: str, execution_id: str, attempt: int, *, chunks: Sequence[bytes]) -> str:
        """As `append`, of what one read of a model's answer brought: one event, whatever its length."""
        ...

    def follow(self, thread_id: str, *, execution_id: str | None = None, after: str | None = None) -> Follower:
        """Follow a thread, or one of its executions; from its start when `after` is None.

        A log that knows nothing yet of the execution or thread waits for its first event. Raises `CursorGoneError`
        when events between `after` and the first one held may have been lost, and also for `after=None` when the
        start of the execution was trimmed.
        """
        ...

    def holds(self, thread_id: str, execution_id: str) -> bool:
        """Whether the execution's events are all here, from its first."""
        ...

    def has_ended(self, thread_id: str, execution_id: str) -> bool:
        """Whether the execution's terminal event is here."""
        ...

    async def flush(self, thread_id: str) -> None:
        """Wait until what was appended is with the log's server. Raises `StaleAttemptError` when it was refused."""
        ...

    def discard(self, thread_id: str) -> None:
        """Erase the thread's log now."""
        ...

    async def check(self) -> None:
        """Raises `UnavailableError` when the log cannot be used."""
        ...

    async def aclose(self) -> None: ...
