"""What a session's reader asks the database and the log for."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import FINISHED
from frontdesk.conversation.feed import AnswerReader, Feed
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.sessions import repository as sessions
from frontdesk.conversation.sessions.models import HeldSession
from frontdesk.conversation.sessions.reports import BackEndReports, ReportFollower
from frontdesk.conversation.stored_answer import read_stored_answer
from frontdesk.database import Database
from frontdesk.errors import NotFoundError
from frontdesk.identity.principal import Principal
from frontdesk.ports.thread_log import Follower, ThreadLog, follow_from_now

_SHOWN_MESSAGES = 200
_MOST_MISSED = 500
_MOST_ANSWERS = 50
_UNDER_WAY = frozenset({MessageStatus.queued, MessageStatus.running})


class Conversation(msgspec.Struct, frozen=True):
    """A session's latest messages, oldest first, and the executions under way with their messages' positions."""

    held: HeldSession
    messages: Sequence[Message]
    has_earlier: bool
    under_way: Sequence[tuple[str, int]]


class SessionSource:
    def __init__(self, *, database: Database, log: ThreadLog, answers: Feed, reports: BackEndReports) -> None:
        self._database = database
        self._log = log
        self._answers = answers
        self._reports = reports

    async def get(self, caller: Principal | None, session_id: str) -> HeldSession:
        """Raises `NotFoundError`, `NotAllowedError`."""
        return await self._database.read(lambda connection: sessions.get(connection, caller, session_id))

    async def follow_log(self, thread_id: str, *, after: str) -> Follower:
        """The thread's own log. Raises `CursorGoneError`."""
        return await self._log.follow(thread_id, after=after or None)

    async def follow_log_from_now(self, thread_id: str) -> tuple[Follower, str]:
        """And the cursor of its last event, empty when it holds none."""
        return await follow_from_now(self._log, thread_id)

    def follow_reports(self, session_id: str, headers: Mapping[str, str]) -> ReportFollower | None:
        return self._reports.follow(session_id, headers=headers)

    async def follow_answer(self, held: HeldSession, execution_id: str, *, after: str) -> AnswerReader:
        """Raises `NotFoundError`, `NotAllowedError`."""
        return await self._answers.open(held.principal, held.thread.id, execution_id, after=after or None)

    async def conversation(self, held: HeldSession) -> Conversation:
        """Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> Conversation:
            now = sessions.get(connection, held.principal, held.session.id)
            latest = messages.list_page(connection, now.thread.id, limit=_SHOWN_MESSAGES)
            under_way = [
                (execution.id, messages.get(connection, now.thread.id, execution.message_id).position)
                for execution in executions.list_unfinished(connection, now.thread.id)
            ]
            shown = [without_partial_text(message) for message in reversed(latest)]
            return Conversation(now, shown, len(latest) < now.thread.message_count, under_way)

        return await self._database.read(work)

    async def answer(self, thread_id: str, execution_id: str) -> tuple[Message, bool] | None:
        """The message that an execution makes, and whether it is made. None when it was erased."""

        def work(connection: Connection) -> tuple[Message, bool]:
            execution, message = read_stored_answer(connection, thread_id, execution_id)
            return message, execution.state in FINISHED

        try:
            return await self._database.read(work)
        except NotFoundError:
            return None

    async def answers_behind(self, thread_id: str, position: int) -> Sequence[tuple[str, int]] | None:
        """Executions with their messages' positions, in order; None when they are too many to follow one by one."""
        found = await self._database.read(
            lambda connection: sessions.list_answers(connection, thread_id, after=position, limit=_MOST_ANSWERS + 1)
        )
        return found if len(found) <= _MOST_ANSWERS else None

    async def messages_behind(self, thread_id: str, position: int) -> Sequence[Message]:
        """Oldest first, as many as a reader may have missed; answers under way without their text."""

        def work(connection: Connection) -> Sequence[Message]:
            found = messages.list_following(connection, thread_id, after=position, limit=_MOST_MISSED)
            return [without_partial_text(message) for message in found]

        return await self._database.read(work)


def is_answer(message: Message) -> bool:
    return message.role is Role.assistant and message.execution_id is not None


def without_partial_text(message: Message) -> Message:
    """Of an answer under way: that comes with its events."""
    if is_answer(message) and message.status in _UNDER_WAY:
        return msgspec.structs.replace(message, text="")
    return message
