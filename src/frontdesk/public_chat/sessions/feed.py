"""A visitor's stream: the answers in their session, one after the other, from the log and from the database.

A reader who gives the id that it saw last gets what comes after it, in any process. It holds no connection, and ends
when its session does.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import ExecutionState
from frontdesk.conversation.feed import AnswerReader, Feed
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.service import Details
from frontdesk.database import Database
from frontdesk.errors import ForbiddenError, NotFoundError, SessionEndedError, SessionExpiredError
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import TERMINAL, CursorGoneError, Follower, ThreadLog, follow_from_now
from frontdesk.public_chat.interfaces.published import Published, PublishedInterfaces
from frontdesk.public_chat.sessions import repository as sessions
from frontdesk.public_chat.sessions.models import ExecutionStatus, Standing
from frontdesk.public_chat.sessions.moments import AnswerEvent, Connected, Ended, Moment, Point, Settled, Shown
from frontdesk.public_chat.sessions.repository import Place

_CHECK_SECONDS = 15.0
_MOST_ANSWERS = 50
_OVER = (NotFoundError, ForbiddenError, SessionEndedError, SessionExpiredError)


class Beginning(msgspec.Struct, frozen=True):
    """Where a reader begins: `point` is what it has seen, `answers` are those that it is to be shown."""

    standing: Standing
    point: Point
    answers: Sequence[Place]


class VisitorFeed:
    def __init__(
        self, *, database: Database, log: ThreadLog, answers: Feed, published: PublishedInterfaces, clock: Clock
    ) -> None:
        self._database = database
        self._log = log
        self._answers = answers
        self._published = published
        self._clock = clock

    async def open(
        self, published: Published, token: str, *, after: Point | None, stays: bool
    ) -> "VisitorReader | None":
        """Follow a session from behind the point `after`, to the next answer's end or, if it `stays`, for as long as
        the session lasts. None when all is seen and the reader does not stay for more.

        Without a point it begins with the answer under way; one that does not stay is given the latest answer also when
        that has ended. Raises `NotFoundError`, `SessionExpiredError`, `SessionEndedError`.
        """
        standing = await self.check(published.interface.slug, token)
        # The log comes first: what happens between is seen twice rather than never.
        follower = await self.follow_log(standing.session.id)
        try:
            begin = await self._database.read(
                lambda connection: self._begin(connection, published, token, after=after, stays=stays)
            )
        except BaseException:
            follower.close()
            raise
        if not begin.answers and begin.point.position and after is not None and not stays:
            follower.close()
            return None
        return VisitorReader(self, published, token, begin=begin, log=follower, stays=stays)

    async def check(self, slug: str, token: str) -> Standing:
        """Raises as `open` does, and `NotFoundError` when the interface is not public any more."""
        published = await self._published.get(slug)

        def work(connection: Connection) -> Standing:
            now = self._clock.now()
            session = sessions.get_active(connection, published.interface, token, now=now)
            return sessions.standing(connection, published.interface, session, now=now)

        return await self._database.read(work)

    async def follow_answer(self, published: Published, thread_id: str, place: Place, *, cursor: str) -> AnswerReader:
        """Of a session that was looked at: what the log has whole needs no second look."""
        if not cursor and await self._log.holds(thread_id, place.execution_id):
            with suppress(CursorGoneError):
                return await self._answers.join(thread_id, place.execution_id)
        return await self._answers.open(published.principal, thread_id, place.execution_id, after=cursor or None)

    async def answers_behind(self, thread_id: str, position: int) -> Sequence[Place]:
        return await self._database.read(
            lambda connection: sessions.list_answers(connection, thread_id, behind=position, most=_MOST_ANSWERS)
        )

    async def settled(self, thread_id: str, place: Place) -> tuple[Settled, Ended]:
        """What became of an answer. Raises `NotFoundError`."""

        def work(connection: Connection) -> tuple[Settled, Ended]:
            message = messages.get(connection, thread_id, place.message_id)
            details = Details.read(connection, [message])
            execution = executions.get(connection, thread_id, place.execution_id)
            calls, shown = details.calls.get(place.execution_id, ()), details.parts.get(message.id, ())
            return Settled(place, message, calls, shown), Ended(place, execution)

        return await self._database.read(work)

    async def follow_log(self, thread_id: str) -> Follower:
        """The thread's own log from now on, also of a thread that is not there yet."""
        follower, _ = await follow_from_now(self._log, thread_id)
        return follower

    def _begin(
        self, connection: Connection, published: Published, token: str, *, after: Point | None, stays: bool
    ) -> Beginning:
        now = self._clock.now()
        session = sessions.get_active(connection, published.interface, token, now=now)
        standing = sessions.standing(connection, published.interface, session, now=now)
        if after is not None:
            behind = after.position - 1 if after.cursor else after.position
            found = sessions.list_answers(connection, session.id, behind=behind, most=_MOST_ANSWERS)
            return Beginning(standing, after, found)
        execution_id = session.current_execution_id
        latest = None if execution_id is None else sessions.find_answer(connection, session.id, execution_id)
        if latest is None:
            return Beginning(standing, Point(0), [])
        if stays and standing.execution_status is not ExecutionStatus.running:
            return Beginning(standing, Point(latest.position), [])
        found = sessions.list_answers(connection, session.id, behind=latest.position - 1, most=_MOST_ANSWERS)
        return Beginning(standing, Point(latest.position - 1), found)


class VisitorReader:
    """One reader of one session. `ended` when the session is over or, if it does not stay, with an answer's end."""

    def __init__(
        self,
        feed: VisitorFeed,
        published: Published,
        token: str,
        *,
        begin: Beginning,
        log: Follower,
        stays: bool,
    ) -> None:
        self.ended = False
        self._feed = feed
        self._published = published
        self._token = token
        self._thread_id = begin.standing.session.id
        self._log: Follower | None = log
        self._stays = stays
        self._point = begin.point
        self._first: deque[Moment] = deque([Moment(begin.point.text(), Connected(begin.standing))])
        self._pending = deque(begin.answers)
        self._known = max([begin.point.position, *(place.position for place in begin.answers)])
        self._answer: AnswerReader | None = None
        self._place: Place | None = None
        self._is_over = self._is_stale = self._is_asked = False
        self._end_cursor = ""
        self._ready: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._checked_at = self._loop.time()

    def on_ready(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        if self._log is not None:
            self._log.on_ready(ready)

    @property
    def more(self) -> bool:
        return bool(self._first) or any(part is not None and part.more for part in (self._log, self._answer))

    def take(self) -> Sequence[Moment]:
        """The next moments, without waiting; `look_around` does what has to be waited for, and is asked for."""
        moments = list(self._first)
        self._first.clear()
        self._take_log()
        self._take_answer(moments)
        if moments and not self._stays and isinstance(moments[-1].shown, Ended):
            self.ended = True
        if self._has_errand and not self._is_asked and self._ready is not None:
            self._is_asked = True
            self._loop.call_soon(self._ready)
        return moments

    async def look_around(self) -> None:
        try:
            if self._answer is not None and not self._has_errand:
                await self._answer.look_around()
            while self._has_errand:
                await self._do_errand()
            if self._loop.time() - self._checked_at >= _CHECK_SECONDS:
                await self._check()
        except _OVER:
            self.ended = True
        finally:
            self._is_asked = False

    def close(self) -> None:
        for part in (self._log, self._answer):
            if part is not None:
                part.close()
        self._log = self._answer = None

    @property
    def _has_errand(self) -> bool:
        if self._first or self.ended:
            return False
        return self._log is None or self._is_over or self._is_stale or (self._answer is None and bool(self._pending))

    def _show(self, moments: "list[Moment] | deque[Moment]", shown: Shown, point: Point) -> None:
        self._point = point
        moments.append(Moment(point.text(), shown))

    def _take_log(self) -> None:
        """Whatever was announced, the database says which answers there are."""
        if self._log is None:
            return
        try:
            self._is_stale = bool(self._log.take()) or self._is_stale
        except CursorGoneError:
            self._log.close()
            self._log = None

    def _take_answer(self, moments: list[Moment]) -> None:
        if self._answer is None or self._place is None or self._is_over:
            return
        for event in self._answer.take():
            if event.type in TERMINAL:
                self._is_over, self._end_cursor = True, event.cursor
                return
            self._show(moments, AnswerEvent(self._place, event), Point(self._place.position, event.cursor))
        self._is_over = self._answer.ended

    async def _do_errand(self) -> None:
        if self._log is None:
            await self._check()
            self._log = await self._feed.follow_log(self._thread_id)
            self._log.on_ready(self._ready or _nobody_listens)
            self._is_stale = True
        elif self._is_over:
            await self._end_answer()
        elif self._is_stale:
            self._is_stale = False
            await self._look_for_answers()
        else:
            await self._open_answer()

    async def _look_for_answers(self) -> None:
        for place in await self._feed.answers_behind(self._thread_id, self._known):
            self._known = place.position
            self._pending.append(place)

    async def _open_answer(self) -> None:
        place = self._pending.popleft()
        cursor = self._point.cursor if self._point.position == place.position else ""
        self._place = place
        self._answer = await self._feed.follow_answer(self._published, self._thread_id, place, cursor=cursor)
        self._answer.on_ready(self._ready or _nobody_listens)
        if not self._answer.more:
            await self._answer.look_around()

    async def _end_answer(self) -> None:
        """Show the message that it became, unless the reader saw that before, and the end."""
        if self._place is not None:
            settled, ended = await self._feed.settled(self._thread_id, self._place)
            position = self._place.position
            if self._end_cursor and (settled.message.text or ended.execution.state is ExecutionState.completed):
                self._show(self._first, settled, Point(position, self._end_cursor))
            self._show(self._first, ended, Point(position))
        if self._answer is not None:
            self._answer.close()
        self._answer, self._place, self._is_over, self._end_cursor = None, None, False, ""

    async def _check(self) -> None:
        """Whether the session goes on, and whether an announcement was lost."""
        await self._feed.check(self._published.interface.slug, self._token)
        await self._look_for_answers()
        self._checked_at = self._loop.time()


def _nobody_listens() -> None:
    """Until someone does, what comes is found by taking."""
