"""Messages as records: reading, editing and judging them."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import FINISHED
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Feedback, FeedbackKind, Message, MessageStatus, Role
from frontdesk.conversation.parts import repository as parts
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.models import ToolCall
from frontdesk.database import Database
from frontdesk.database.idempotency import IdempotencyKey, Once, once
from frontdesk.errors import ExecutionActiveError, IllegalTransitionError
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.paging import Page
from frontdesk.retrieval import outbox

TRANSITIONS: dict[MessageStatus, frozenset[MessageStatus]] = {
    MessageStatus.queued: frozenset(
        {MessageStatus.running, MessageStatus.completed, MessageStatus.failed, MessageStatus.interrupted}
    ),
    MessageStatus.running: frozenset({MessageStatus.completed, MessageStatus.failed, MessageStatus.interrupted}),
    MessageStatus.completed: frozenset(),
    MessageStatus.failed: frozenset(),
    MessageStatus.interrupted: frozenset(),
}


class Details(msgspec.Struct, frozen=True):
    """What answers are made of beside their text: `calls` by execution, `parts` by message."""

    calls: Mapping[str, Sequence[ToolCall]]
    parts: Mapping[str, Sequence[Part]]

    @classmethod
    def read(cls, connection: Connection, shown: Sequence[Message]) -> "Details":
        answers = [message for message in shown if message.role is Role.assistant and message.execution_id is not None]
        return cls(
            calls=tool_calls.calls_by_execution(connection, [answer.execution_id or "" for answer in answers]),
            parts=parts.list_of(connection, [answer.id for answer in answers]) if answers else {},
        )


class MessageService:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list_messages(self, principal: Principal, thread_id: str, page: Page) -> tuple[list[Message], int]:
        """A page of the thread, newest first, and how many messages there are. Raises `NotFoundError`."""

        def work(connection: Connection) -> tuple[list[Message], int]:
            thread = threads.get(connection, principal, thread_id)
            before = None if page.after is None else messages.get(connection, thread_id, page.after).position
            if before is None and page.offset:
                before = thread.message_count - page.offset + 1
            return messages.list_page(connection, thread_id, limit=page.limit, before=before), thread.message_count

        return await self._database.read(work)

    async def details(self, principal: Principal, thread_id: str, shown: Sequence[Message]) -> Details:
        """Of messages of the thread. Raises `NotFoundError`."""

        def work(connection: Connection) -> Details:
            threads.get(connection, principal, thread_id, include_deleted=True)
            return Details.read(connection, [message for message in shown if message.thread_id == thread_id])

        return await self._database.read(work)

    async def change(
        self,
        principal: Principal,
        thread_id: str,
        message_id: str,
        *,
        text: str | None,
        status: MessageStatus | None,
    ) -> Message:
        """Edit a message that no answer is being made of or for.

        Raises `NotFoundError`, `IllegalTransitionError`, and `ExecutionActiveError` while its execution is under way.
        """

        def work(connection: Connection) -> Message:
            threads.get(connection, principal, thread_id, lock=True)
            message = messages.get(connection, thread_id, message_id)
            if status is not None and status is not message.status and status not in TRANSITIONS[message.status]:
                raise IllegalTransitionError(f"{message.status.value} cannot become {status.value}")
            _require_finished(connection, message)
            changed = {"text": text, "status": status}
            values = {name: value for name, value in changed.items() if value is not None}
            if values:
                now = self._clock.now()
                messages.change(connection, message_id, {**values, "updated_at": now})
                outbox.queue_message(connection, message_id, at=now)
            return messages.get(connection, thread_id, message_id)

        return await self._database.write(work)

    async def judge(
        self,
        principal: Principal,
        thread_id: str,
        message_id: str,
        *,
        kind: FeedbackKind,
        comment: str | None,
        key: IdempotencyKey | None = None,
    ) -> Once[Feedback]:
        """Store the caller's opinion of a message; a later one replaces it. Raises `NotFoundError`."""
        now = self._clock.now()
        record = Feedback(
            message_id=message_id,
            user_id=principal.id,
            kind=kind,
            comment=comment,
            created_at=now,
            updated_at=now,
        )

        def effect(connection: Connection) -> Feedback:
            threads.get(connection, principal, thread_id, lock=True)
            messages.get(connection, thread_id, message_id)
            return messages.put_feedback(connection, record)

        def work(connection: Connection) -> Once[Feedback]:
            made = once(connection, key, Feedback, effect=lambda: effect(connection))
            if made.replayed:
                threads.get(connection, principal, thread_id, include_deleted=True)
            return made

        return await self._database.write(work)


def _require_finished(connection: Connection, message: Message) -> None:
    if message.execution_id is None:
        return
    if executions.get(connection, message.thread_id, message.execution_id).state not in FINISHED:
        raise ExecutionActiveError("The message's answer is under way: cancel it first")
