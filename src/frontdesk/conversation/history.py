"""What was said in a thread, with all that its answers show: for surfaces that have more than text."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages import branch
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message, Role
from frontdesk.conversation.parts import repository as parts
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.stored_answer import read_stored_answer
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.models import Thread
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.models import AnswerStep
from frontdesk.database import Database
from frontdesk.identity.principal import Principal


class Entry(msgspec.Struct, frozen=True):
    """A message of the branch in use; of an answer also the steps that ended in calls, and its parts, in order."""

    message: Message
    steps: Sequence[AnswerStep] = ()
    parts: Sequence[Part] = ()


class Begun(msgspec.Struct, frozen=True):
    """An answer, however far it has come, and its entry."""

    thread: Thread
    execution: Execution
    entry: Entry


class History:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_entries(
        self, principal: Principal, thread_id: str, *, start: str | None, limit: int, is_ascending: bool
    ) -> tuple[Thread, list[Entry]]:
        """The branch in use from the message `start`, itself included, or from its end that comes first.

        Raises `NotFoundError`, `NotAllowedError`.
        """
        page = branch.list_forwards if is_ascending else branch.list_backwards

        def work(connection: Connection) -> tuple[Thread, list[Entry]]:
            thread = threads.get(connection, principal, thread_id)
            if start is not None:
                messages.get(connection, thread_id, start)
            return thread, _entries(connection, page(connection, thread, start=start, limit=limit))

        return await self._database.read(work)

    async def get_thread(self, principal: Principal, thread_id: str) -> Thread:
        """Raises `NotFoundError`, `NotAllowedError`."""
        return await self._database.read(lambda connection: threads.get(connection, principal, thread_id))

    async def get_message(self, principal: Principal, thread_id: str, message_id: str) -> Entry:
        """Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> Entry:
            threads.get(connection, principal, thread_id)
            return _entries(connection, [messages.get(connection, thread_id, message_id)])[0]

        return await self._database.read(work)

    async def get_answer(self, principal: Principal, thread_id: str, execution_id: str) -> Begun:
        """Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> Begun:
            thread = threads.get(connection, principal, thread_id)
            return _begun(connection, thread, execution_id)

        return await self._database.read(work)

    async def find_latest_answer(self, principal: Principal, thread_id: str) -> Begun | None:
        """The one under way, or else the branch's last. Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> Begun | None:
            thread = threads.get(connection, principal, thread_id)
            if thread.active_execution_id is not None:
                return _begun(connection, thread, thread.active_execution_id)
            last = branch.list_backwards(connection, thread, start=None, limit=1)
            is_answer = last and last[0].role is Role.assistant and last[0].execution_id is not None
            return _begun(connection, thread, last[0].execution_id or "") if is_answer else None

        return await self._database.read(work)


def _begun(connection: Connection, thread: Thread, execution_id: str) -> Begun:
    execution, message = read_stored_answer(connection, thread.id, execution_id)
    (entry,) = _entries(connection, [message])
    return Begun(thread, execution, entry)


def _entries(connection: Connection, page: Sequence[Message]) -> list[Entry]:
    answers = [message for message in page if message.role is Role.assistant]
    by_execution = tool_calls.steps_by_execution(connection, [one.execution_id or "" for one in answers])
    by_message = parts.list_of(connection, [one.id for one in answers])
    return [
        Entry(message, by_execution.get(message.execution_id or "", ()), by_message.get(message.id, ()))
        if message.role is Role.assistant
        else Entry(message)
        for message in page
    ]
