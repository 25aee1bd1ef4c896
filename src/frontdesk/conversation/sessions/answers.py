"""The answers of a thread as one stream: each from its start, one after the other, as long as somebody listens.

Which answers there are is the database's to say; the thread's own log only announces them, and may lose or repeat that.
An answer is named by the position of its message, which is the same in every process. A reader holds no connection.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.feed import AnswerReader, Feed
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message, Role
from frontdesk.conversation.sessions import repository as sessions
from frontdesk.conversation.threads import repository as threads
from frontdesk.database import Database
from frontdesk.errors import ForbiddenError, NotFoundError
from frontdesk.identity.principal import Principal
from frontdesk.ports.thread_log import CursorGoneError, Event, EventType, Follower, ThreadLog, follow_from_now

_AT_ONCE = 50  # answers that are listed
_decode_message = msgspec.json.Decoder(Message).decode


class _Coming(msgspec.Struct, frozen=True, gc=False):
    """`is_new` when it was announced to this reader: then all of it is still to come."""

    position: int
    execution_id: str
    is_new: bool


class AnswersSource:
    def __init__(self, *, database: Database, log: ThreadLog, feed: Feed) -> None:
        self._database = database
        self._log = log
        self._feed = feed

    def follow(self, principal: Principal, thread_id: str, *, since: int | None) -> "AnswersReader":
        """From the answer at the position `since`; without one, from those that are under way."""
        return AnswersReader(self, principal, thread_id, since=since)

    async def follow_log(self, thread_id: str) -> Follower:
        """The thread's own log, from now on."""
        follower, _ = await follow_from_now(self._log, thread_id)
        return follower

    async def under_way(self, principal: Principal, thread_id: str) -> tuple[list[tuple[str, int]], int]:
        """Executions that have not ended with their messages' positions, and how many messages there are. Raises
        `NotFoundError`, `NotAllowedError`.
        """

        def work(connection: Connection) -> tuple[list[tuple[str, int]], int]:
            thread = threads.get(connection, principal, thread_id)
            found = executions.list_unfinished(connection, thread_id)
            places = [(one.id, messages.get(connection, thread_id, one.message_id).position) for one in found]
            return places, thread.message_count

        return await self._database.read(work)

    async def behind(
        self, principal: Principal, thread_id: str, position: int
    ) -> tuple[list[tuple[str, int]], int, bool]:
        """As `under_way`, of all answers behind a position, and whether there are more than are listed."""

        def work(connection: Connection) -> tuple[list[tuple[str, int]], int, bool]:
            thread = threads.get(connection, principal, thread_id)
            found = sessions.list_answers(connection, thread_id, after=position, limit=_AT_ONCE)
            return found, thread.message_count, len(found) == _AT_ONCE

        return await self._database.read(work)

    async def open(self, principal: Principal, thread_id: str, coming: _Coming) -> AnswerReader:
        """Raises `NotFoundError`, `NotAllowedError`."""
        if coming.is_new:
            try:
                return await self._feed.join(thread_id, coming.execution_id)
            except CursorGoneError:
                pass
        return await self._feed.open(principal, thread_id, coming.execution_id)


class AnswersReader:
    """`ended` when the thread is gone, or is not the principal's to read any more. `position` is that of the answer
    whose events were taken last. What `take` gives belongs to one answer.
    """

    def __init__(self, source: AnswersSource, principal: Principal, thread_id: str, *, since: int | None) -> None:
        self.ended = False
        self.thread_id = thread_id
        self.position = 0
        self._source = source
        self._principal = principal
        self._since = since
        self._log: Follower | None = None
        self._is_behind = True
        self._is_listing = False
        self._begun = False
        self._coming: deque[_Coming] = deque()
        self._listed = 0  # the position of the last answer that came here
        self._seen = 0  # that of the last message that is known
        self._answer: AnswerReader | None = None
        self._followed: _Coming | None = None
        self._is_over = False
        self._ready: Callable[[], None] = _nobody_listens

    def on_ready(self, ready: Callable[[], None]) -> None:
        """Have `ready` called whenever there may be something to take, or an errand to do."""
        self._ready = ready

    @property
    def is_idle(self) -> bool:
        """Whether no answer is under way, as far as is known here."""
        return self._begun and self._answer is None and not self._coming and not self._is_behind

    @property
    def more(self) -> bool:
        return self._answer is not None and not self._is_over and self._answer.more

    @property
    def has_errand(self) -> bool:
        """Whether `look_around` has something to do before more can be taken."""
        if self._log is None or self._is_behind:
            return True
        return self._is_over or (self._answer is None and bool(self._coming))

    def take(self) -> Sequence[Event]:
        """The next events, without waiting."""
        if self._log is not None:
            self._take_announcements(self._log)
        if self._answer is None or self._is_over:
            return ()
        events = self._answer.take()
        self._is_over = self._answer.ended
        return events

    def again(self) -> None:
        """Begin the answer that is followed once more."""
        if self._followed is not None:
            self._coming.appendleft(msgspec.structs.replace(self._followed, is_new=False))
            self._is_over = True

    def note_count(self, count: int) -> None:
        """How many messages the thread has: announcements may have been lost."""
        if self._begun and count > self._seen:
            self._is_behind = True
            self._ready()

    async def look_around(self) -> None:
        """Do what has to be waited for. Raises `UnavailableError`."""
        try:
            if not self.has_errand and self._answer is not None:
                await self._answer.look_around()
            while self.has_errand and not self.more:
                await self._do_errand()
        except (NotFoundError, ForbiddenError):
            self.ended = True

    def close(self) -> None:
        for part in (self._log, self._answer):
            if part is not None:
                part.close()
        self._log = self._answer = None

    def _take_announcements(self, log: Follower) -> None:
        if not log.more:
            return
        try:
            for event in log.take():
                if event.type is EventType.message_added:
                    self._note(_decode_message(event.payload))
        except CursorGoneError:
            log.close()
            self._log = None

    def _note(self, message: Message) -> None:
        """What is announced while answers are being listed, or behind one that was not, is listed in its turn."""
        if message.position <= self._seen:
            return
        if self._is_listing or not self._begun or message.position > self._seen + 1:
            self._is_behind = True
            return
        self._seen = message.position
        if message.execution_id is not None:
            self._seen += message.role is not Role.assistant  # whose place is the next
            self._listed = self._seen
            self._coming.append(_Coming(self._seen, message.execution_id, is_new=True))

    async def _do_errand(self) -> None:
        if self._log is None:
            self._log = await self._source.follow_log(self.thread_id)
            self._log.on_ready(self._ready)
            self._is_behind = True
        elif not self._begun:
            await self._list()
        elif self._is_over:
            self._leave_answer()
        elif self._answer is None and self._coming:
            await self._open_next()
        elif self._is_behind:
            await self._list()

    async def _list(self) -> None:
        """The first time, also where to begin."""
        self._is_behind, self._is_listing, has_more = False, True, False
        try:
            if self._begun or self._since is not None:
                behind = self._listed if self._begun else (self._since or 0) - 1
                found, count, has_more = await self._source.behind(self._principal, self.thread_id, behind)
            else:
                found, count = await self._source.under_way(self._principal, self.thread_id)
        except BaseException:
            self._is_behind = True
            raise
        finally:
            self._is_listing = False
        self._coming.extend(_Coming(position, execution_id, is_new=False) for execution_id, position in found)
        last = found[-1][1] if found else 0
        self._listed = last if has_more else max(count, last)  # the count may be older than what was found
        self._seen = max(self._seen, self._listed)
        self._is_behind, self._begun = self._is_behind or has_more, True

    async def _open_next(self) -> None:
        coming = self._coming[0]
        answer = await self._source.open(self._principal, self.thread_id, coming)
        self._coming.popleft()
        self._answer, self._followed, self.position = answer, coming, coming.position
        answer.on_ready(self._ready)

    def _leave_answer(self) -> None:
        if self._answer is not None:
            self._answer.close()
        self._answer, self._followed, self._is_over = None, None, False


def _nobody_listens() -> None:
    """Until someone does, what comes is found by taking."""
