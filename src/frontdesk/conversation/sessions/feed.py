"""A session's feed: the thread's own log, the logs of its answers one after the other, and what the back end reports.

A reader gives the id that it saw last and gets what comes after it. Only when part of that place is gone does it get a
snapshot again. Each of the three is followed for itself, so a feed goes on in any process. It holds no connection.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from frontdesk.conversation.feed import AnswerReader
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.sessions.models import HeldSession
from frontdesk.conversation.sessions.moments import (
    OVER,
    AnswerEvent,
    CallEvent,
    Moment,
    Place,
    Shown,
    Snapshot,
    parse_place,
)
from frontdesk.conversation.sessions.positions import Positions
from frontdesk.conversation.sessions.reports import KnownReports, ReportFollower
from frontdesk.conversation.sessions.source import SessionSource, is_answer, without_partial_text
from frontdesk.errors import ForbiddenError, NotFoundError
from frontdesk.identity.principal import Principal
from frontdesk.ports.thread_log import TERMINAL, CursorGoneError, Event, EventType, Follower

_FIRST_REPORTS_SECONDS = 1.0
_CHECK_SECONDS = 15.0
_CALLS = frozenset({EventType.tool_call_started, EventType.tool_call_completed, EventType.tool_call_failed})
_SHOWN = _CALLS | {EventType.chunk, EventType.snapshot, EventType.execution_restarted, EventType.input_requested}
_decode_message = msgspec.json.Decoder(Message).decode
Changes = dict[str, Any]  # of a place


class SessionFeed:
    def __init__(self, source: SessionSource) -> None:
        self._source = source

    async def open(
        self,
        caller: Principal | None,
        session_id: str,
        *,
        after: str | None,
        headers: Mapping[str, str],
    ) -> "SessionReader":
        """Follow a session from now on, or from behind the id `after`. Raises `NotFoundError`, `NotAllowedError`.

        `headers` are what the back end is asked with.
        """
        held = await self._source.get(caller, session_id)
        return SessionReader(self._source, held, place=parse_place(after, session_id), headers=headers)


class SessionReader:
    """One reader of one session. `ended` when the session is gone."""

    def __init__(
        self,
        source: SessionSource,
        held: HeldSession,
        *,
        place: Place | None,
        headers: Mapping[str, str],
    ) -> None:
        self.ended = False
        self._source = source
        self._held = held
        self._headers = headers
        self._resume = place
        self._begun = False
        self._first: deque[tuple[Shown, Changes]] = deque()
        self._log: Follower | None = None
        self._reports: ReportFollower | None = None
        self._answer: AnswerReader | None = None
        self._answering: Message | None = None
        self._answer_ended = False
        self._pending: deque[tuple[str, str]] = deque()
        self._announced: set[str] = set()
        self._place = Place()
        self._positions = Positions(0)
        self._ready: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._checked_at = self._loop.time()

    def on_ready(self, ready: Callable[[], None]) -> None:
        self._ready = ready

    @property
    def more(self) -> bool:
        return bool(self._first) or any(part is not None and part.more for part in self._parts)

    def take(self) -> Sequence[Moment]:
        """The next moments, without waiting; `look_around` does what has to be waited for, and is asked for."""
        moments: list[Moment] = []
        while self._first:
            shown, changes = self._first.popleft()
            self._show(moments, shown, changes)
        if self._begun:
            self._take_log(moments)
            self._take_answer(moments)
            self._take_reports(moments)
        if moments and self._has_errand and self._ready is not None:
            self._loop.call_soon(self._ready)
        return moments

    async def look_around(self) -> None:
        try:
            if self._begun and not self._has_errand and self._answer is not None:
                await self._answer.look_around()
            while self._has_errand:
                await self._do_errand()
            if self._loop.time() - self._checked_at >= _CHECK_SECONDS:
                await self._check()
        except (NotFoundError, ForbiddenError):
            self.ended = True

    def close(self) -> None:
        for part in self._parts:
            if part is not None:
                part.close()
        self._log = self._reports = self._answer = self._answering = None
        self._begun = self._answer_ended = False

    @property
    def _parts(self) -> tuple[Follower | AnswerReader | ReportFollower | None, ...]:
        return self._log, self._answer, self._reports

    @property
    def _has_errand(self) -> bool:
        return not self._begun or self._answer_ended or (self._answer is None and bool(self._pending))

    def _show(self, moments: list[Moment], shown: Shown, changes: Changes) -> None:
        self._place = msgspec.structs.replace(self._place, messages=self._positions.all_up_to, **changes)
        moments.append(Moment(self._place.text(self._held.session.id), shown))

    # What is taken from the three logs.

    def _take_log(self, moments: list[Moment]) -> None:
        events: Sequence[Event] = ()
        try:
            events = () if self._log is None else self._log.take()
        except CursorGoneError:
            self.close()
        for event in events:
            changes: Changes = {"log": event.cursor}
            if event.type in _CALLS:
                self._show(moments, CallEvent(event), changes)
            elif event.type is EventType.message_added and self._note(message := _decode_message(event.payload)):
                self._show(moments, message, changes)

    def _note(self, message: Message) -> bool:
        """Whether the message is new. An answer that it is, or is given, will be followed."""
        if message.position in self._positions:
            return False
        self._positions.add(message.position)
        if message.execution_id is not None and message.execution_id not in self._announced:
            self._announced.add(message.execution_id)
            self._pending.append((message.execution_id, ""))
        return True

    def _take_answer(self, moments: list[Moment]) -> None:
        if self._answer is None or self._answering is None or self._answer_ended:
            return
        for event in self._answer.take():
            if event.type in _SHOWN:
                self._show(moments, AnswerEvent(event, self._answering.id), {"answer": event.cursor})
            self._answer_ended = event.type in TERMINAL
        self._answer_ended = self._answer_ended or self._answer.ended

    def _take_reports(self, moments: list[Moment]) -> None:
        if self._reports is None:
            return
        for report in self._reports.take():
            self._show(moments, report, {"reports": report.cursor or self._place.reports})
        if self._reports.gone:
            self.close()

    # What has to be waited for.

    async def _do_errand(self) -> None:
        if not self._begun:
            place, self._resume = self._resume, None
            if place is None or not await self._go_on(place):
                await self._begin()
            self._listen()
        elif self._answer_ended:
            await self._end_answer()
        else:
            await self._open_answer()

    async def _go_on(self, place: Place) -> bool:
        """Behind an earlier place; False when part of it is gone."""
        thread_id = self._held.thread.id
        try:
            self._log = await self._source.follow_log(thread_id, after=place.log)
        except CursorGoneError:
            return False
        behind = place.position if place.answer == OVER else place.position - 1
        answers = await self._source.answers_behind(thread_id, behind)
        if answers is None:
            self.close()
            return False
        self._pending = deque(
            (execution_id, place.answer if position == place.position else "") for execution_id, position in answers
        )
        self._follow_reports()
        if self._reports is not None:
            self._reports.resume(place.reports)
        self._place, self._positions = place, Positions(place.messages)
        self._announced = {execution_id for execution_id, _ in self._pending}
        if not place.log:
            await self._show_missed()
        return True

    async def _begin(self) -> None:
        """With a snapshot. The logs come first, so that what happens meanwhile is seen twice rather than never."""
        self.close()
        self._log, cursor = await self._source.follow_log_from_now(self._held.thread.id)
        self._follow_reports()
        known = KnownReports()
        if self._reports is not None:
            known = await self._reports.known(patience=_FIRST_REPORTS_SECONDS)
        now = await self._source.conversation(self._held)
        count = now.held.thread.message_count
        self._positions = Positions(count)
        self._pending = deque((execution_id, "") for execution_id, _ in now.under_way)
        self._announced = {execution_id for execution_id, _ in now.under_way}
        position, answer = (now.under_way[0][1], "") if now.under_way else (count, OVER)
        self._first.clear()
        self._place = Place(cursor, position, answer, count, known.cursor)
        self._first.append((Snapshot(now.held, now.messages, now.has_earlier, known), {}))

    def _follow_reports(self) -> None:
        self._reports = self._source.follow_reports(self._held.session.id, self._headers)

    def _listen(self) -> None:
        self._begun = True
        ready = self._ready or _nobody_listens
        if self._log is not None:
            self._log.on_ready(ready)
        if self._reports is not None:
            self._reports.ready = ready

    async def _open_answer(self) -> None:
        """The next one; of one that has ended and of which nothing was seen, only the end is shown."""
        execution_id, after = self._pending[0]
        found = await self._source.answer(self._held.thread.id, execution_id)
        if found is not None:
            message, is_made = found
            begun: Changes = {"position": message.position, "answer": after}
            if is_made and not after:
                self._first.append((message, begun | {"answer": OVER}))
            else:
                if message.position not in self._positions:
                    self._first.append((without_partial_text(message), begun))
                self._answering = message
                self._answer = await self._source.follow_answer(self._held, execution_id, after=after)
                self._answer.on_ready(self._ready or _nobody_listens)
                self._place = msgspec.structs.replace(self._place, **begun)
            self._positions.add(message.position)
        self._pending.popleft()

    async def _end_answer(self) -> None:
        """Show the message that it became."""
        if self._answering is not None and self._answering.execution_id is not None:
            found = await self._source.answer(self._held.thread.id, self._answering.execution_id)
            if found is not None:
                self._first.append((found[0], {"answer": OVER}))
        if self._answer is not None:
            self._answer.close()
        self._answer, self._answering, self._answer_ended = None, None, False

    async def _check(self) -> None:
        """Whether the session is still there, and whether an announcement was lost."""
        await self._source.get(self._held.principal, self._held.session.id)
        await self._show_missed()
        self._checked_at = self._loop.time()

    async def _show_missed(self) -> None:
        for message in await self._source.messages_behind(self._held.thread.id, self._positions.all_up_to):
            if self._note(message) and not is_answer(message):
                self._first.append((message, {}))


def _nobody_listens() -> None:
    """Until someone does, what comes is found by taking."""
