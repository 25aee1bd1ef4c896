"""Following an answer: from the log while it is there, from the database when it is not.

A reader gives the cursor that it saw last and gets what comes after it, each event once. When that cursor is gone, it
is told so: an `execution_restarted` says that its text so far is void, and a snapshot gives the whole of it. A finished
answer can be joined for ever. A reader holds no database connection and no model.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import FINISHED, Execution, ExecutionState
from frontdesk.conversation.stored_answer import JOINED, VOIDED, StoredAnswer, void_marker
from frontdesk.conversation.threads import repository as threads
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import TERMINAL, CursorGoneError, Event, EventType, Follower, ThreadLog

_BATCH_BYTES = 65_536
_TELLING = timedelta(seconds=2)
_CHECKPOINT_WAITS = 40
_CHECKPOINT_WAIT_SECONDS = 0.25


class AnswerReader:
    """One reader of one answer. `ended` once its terminal event has been handed out."""

    def __init__(self, feed: "Feed", thread_id: str, execution_id: str, *, follower: Follower | None) -> None:
        self.ended = False
        self._feed = feed
        self._thread_id = thread_id
        self._execution_id = execution_id
        self._follower = follower
        self._first: Sequence[Event] = ()
        self._void_first = False
        self._void_log = False
        self._gone = False
        self._ready: Callable[[], None] | None = None

    def on_ready(self, ready: Callable[[], None]) -> None:
        """Have `ready` called whenever there may be something to take, or a reason to look around."""
        self._ready = ready
        if self._follower is not None:
            self._follower.on_ready(ready)

    def take(self) -> Sequence[Event]:
        """The next events, without waiting; when there are none, it may be worth to `look_around`."""
        events: Sequence[Event] = ()
        if self._first:
            events = self._take_first()
        elif self._follower is not None:
            try:
                events = self._follower.take()
            except CursorGoneError:
                self.close()
                self._gone = True
        if not events:
            self.ended = self._follower is None and not self._gone
            return events
        if self._void_first:
            events = self._voided(events)
        if self._void_log and not self._first:
            self._void_log, self._void_first = False, True
        self.ended = events[-1].type in TERMINAL
        return events

    def _take_first(self) -> Sequence[Event]:
        """As much as a log gives at once: calls and their results may be many."""
        count = size = 0
        while count < len(self._first) and size < _BATCH_BYTES:
            size += len(self._first[count].payload)
            count += 1
        events, self._first = self._first[:count], self._first[count:]
        return events

    @property
    def lacks_end(self) -> bool:
        """Whether it follows a log that, as far as can be told here, does not hold the answer's end."""
        return self._follower is not None and not self._follower.closed

    @property
    def more(self) -> bool:
        """Whether there is something to take now."""
        return bool(self._first) or (self._follower is not None and self._follower.more)

    async def look_around(self) -> None:
        """Nothing came: the answer may have ended elsewhere, or the place in it be gone. Then there is more to take."""
        if self._gone:
            self._gone = False
            await self._feed.reopen(self, self._thread_id, self._execution_id)
        elif self._follower is not None and self._follower.ended:
            self.close()
        elif self._follower is not None:
            await self._feed.look_around(self, self._thread_id, self._execution_id)

    def begin_with(self, events: Sequence[Event], *, complete: bool) -> None:
        """Hand these out first; `complete` when nothing follows them."""
        self._first = events
        if complete:
            self.close()

    def void_first(self) -> None:
        """Say that the text so far is void before anything else, unless that is said anyway."""
        self._void_first = True

    def void_before_log(self) -> None:
        """What is handed out first is told again by the log, whenever that goes on."""
        self._void_log = bool(self._first)

    def follow(self, follower: Follower) -> None:
        self._follower = follower
        if self._ready is not None:
            follower.on_ready(self._ready)

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _voided(self, events: Sequence[Event]) -> Sequence[Event]:
        self._void_first = False
        if events[0].type is EventType.execution_restarted:
            return events
        return [void_marker(events[0]), *events]


class Feed:
    def __init__(self, *, database: Database, log: ThreadLog, clock: Clock) -> None:
        self._database = database
        self._log = log
        self._clock = clock

    async def join(self, thread_id: str, execution_id: str) -> AnswerReader:
        """Follow an answer that this process has just begun on its caller's behalf."""
        follower = await self._log.follow(thread_id, execution_id)
        return AnswerReader(self, thread_id, execution_id, follower=follower)

    async def open(
        self, principal: Principal, thread_id: str, execution_id: str, *, after: str | None = None
    ) -> AnswerReader:
        """Follow an answer from its start, or from behind the cursor `after`. Raises `NotFoundError`,
        `NotAllowedError`.
        """

        def check(connection: Connection) -> Execution:
            threads.get(connection, principal, thread_id)
            return executions.get(connection, thread_id, execution_id)

        execution = await self._database.read(check)
        reader = AnswerReader(self, thread_id, execution_id, follower=None)
        origin, _, number = (after or "").rpartition("-")
        if origin in {JOINED, VOIDED}:
            await self._begin_stored(reader, thread_id, execution_id, origin=origin, seen=int(number))
            return reader
        if after is None and not await self._log.holds(thread_id, execution_id):
            await self._begin_stored(reader, thread_id, execution_id, origin=JOINED, seen=0)
            return reader
        try:
            reader.follow(await self._log.follow(thread_id, execution_id, after=after))
        except CursorGoneError:
            await self.reopen(reader, thread_id, execution_id)
        if reader.lacks_end and self._has_long_ended(execution):
            await self.reopen(reader, thread_id, execution_id)
        return reader

    async def reopen(self, reader: AnswerReader, thread_id: str, execution_id: str) -> None:
        """The reader's place is gone: its text is void, and it gets the whole again."""
        await self._begin_stored(reader, thread_id, execution_id, origin=VOIDED, seen=0)

    async def look_around(self, reader: AnswerReader, thread_id: str, execution_id: str) -> None:
        """The answer may have ended elsewhere and be in the database. One that is away is asked another time."""
        if not reader.lacks_end or self._log.is_written_here(thread_id, execution_id):
            return
        try:
            execution = await self._database.read(
                lambda connection: executions.get(connection, thread_id, execution_id)
            )
            if execution.state not in FINISHED:
                return
            if not self._has_long_ended(execution) and await self._log.holds(thread_id, execution_id):
                return  # the end is on its way
            stored = await self._stored(thread_id, execution_id)
        except UnavailableError:
            return
        if reader.lacks_end:
            reader.begin_with(stored.whole(VOIDED), complete=True)

    def _has_long_ended(self, execution: Execution) -> bool:
        """So long that the end would be on the log, had its runner not died between storing and telling it."""
        ended = execution.finished_at
        return ended is not None and ended < self._clock.now() - _TELLING

    async def _begin_stored(
        self, reader: AnswerReader, thread_id: str, execution_id: str, *, origin: str, seen: int
    ) -> None:
        """What is stored of the answer, behind the first `seen` events of that, and then the log."""
        held = await self._log.holds(thread_id, execution_id)
        waiting = None if held else await self._follow_new(thread_id, execution_id)
        stored = await self._stored(thread_id, execution_id)
        if stored.execution.state in FINISHED:
            if waiting is not None:
                waiting.close()
            reader.begin_with(stored.whole(origin)[seen:], complete=True)
            return
        if origin == VOIDED or seen:
            reader.void_first()
        if waiting is not None:
            if stored.execution.state is ExecutionState.waiting:
                reader.begin_with(stored.so_far(), complete=False)
                reader.void_before_log()
            reader.follow(waiting)
            return
        await self._follow_checkpoint(reader, stored)

    async def _follow_new(self, thread_id: str, execution_id: str) -> Follower | None:
        """A follower of an execution that the log does not know; None when it knew more than it still holds."""
        try:
            return await self._log.follow(thread_id, execution_id)
        except CursorGoneError:
            return None

    async def _follow_checkpoint(self, reader: AnswerReader, stored: StoredAnswer) -> None:
        """The log's own start if it is there, else the stored text and the log from where that ends.

        The log may have lost even that; then the next checkpoint is waited for. Raises `UnavailableError`.
        """
        for _ in range(_CHECKPOINT_WAITS):
            execution = stored.execution
            for after in (None, execution.checkpoint_cursor):
                try:
                    reader.follow(await self._log.follow(execution.thread_id, execution.id, after=after))
                except CursorGoneError:
                    continue
                if after is not None:
                    reader.begin_with(stored.so_far(after), complete=False)
                return
            await asyncio.sleep(_CHECKPOINT_WAIT_SECONDS)
            stored = await self._stored(execution.thread_id, execution.id)
            if stored.execution.state in FINISHED:
                reader.begin_with(stored.whole(VOIDED), complete=True)
                return
        raise UnavailableError("The answer is written faster than it is stored; try again", retry_after=2)

    async def _stored(self, thread_id: str, execution_id: str) -> StoredAnswer:
        return await self._database.read(lambda connection: StoredAnswer.read(connection, thread_id, execution_id))
