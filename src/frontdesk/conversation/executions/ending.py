"""How an execution ends: everything that its end changes, in one transaction, by whoever holds its fence."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Self

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.answer import Answer, StoredText, step_tokens
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import Execution, ExecutionState
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import MessageStatus
from frontdesk.conversation.parts import repository as parts
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.models import ProviderThread
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.identity.message_limits import estimated_tokens
from frontdesk.ports.language_model import ModelCallError, Usage
from frontdesk.ports.thread_log import Entry, EventType, StaleAttemptError
from frontdesk.retrieval import outbox

_CUT_OFF = '{"error":{"code":"interrupted","message":"The answer ended before the call did"}}'
ENDS = {
    ExecutionState.completed: EventType.execution_completed,
    ExecutionState.failed: EventType.execution_failed,
    ExecutionState.interrupted: EventType.execution_interrupted,
}


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is None when what was last stored of it stands. `announced` when the provider's chunks said so
    themselves. `spent` is what the answer cost in tokens.
    """

    state: ExecutionState
    text: str | None
    model: str | None
    usage: Usage | None = None
    conversation_id: str | None = None
    parts: Sequence[Part] = ()
    spent: int = 0
    announced: bool = False
    error_code: str | None = None
    error_message: str | None = None

    @classmethod
    def of(cls, answer: Answer, state: ExecutionState, error: ModelCallError | None) -> Self:
        return cls(
            state=state,
            text=answer.text,
            model=answer.model,
            usage=answer.usage,
            conversation_id=answer.conversation_id,
            parts=tuple(answer.parts.values()),
            spent=answer.spent,
            announced=answer.agent_status == state.value,
            error_code=None if error is None else error.kind,
            error_message=None if error is None else error.detail,
        )

    def payload(self) -> bytes:
        """What the terminal event carries."""
        body: dict[str, Any] = {"state": self.state, "announced": self.announced}
        if self.usage is not None:
            body["usage"] = self.usage
        if self.error_code is not None:
            body["error"] = {"code": self.error_code, "message": self.error_message}
        return msgspec.json.encode(body)


def finish_execution(connection: Connection, execution: Execution, ending: Ending, *, now: datetime) -> str | None:
    """Store the end and give the thread to its next execution, whose id is returned.

    Raises `StaleAttemptError` when the execution has ended already or a later attempt runs it.
    """
    thread = threads.get_unscoped(connection, execution.thread_id, lock=True)
    error = None if ending.error_code is None else (ending.error_code, ending.error_message or "")
    if not executions.finish(
        connection, execution.id, attempt=execution.attempt, state=ending.state, at=now, error=error
    ):
        raise StaleAttemptError
    tool_calls.fail_open(connection, execution.id, content=_CUT_OFF, error_code="interrupted", now=now)
    if ending.text is not None:
        messages.store_answer(
            connection, execution.message_id, text=ending.text, model=ending.model, usage=ending.usage
        )
    parts.put(connection, execution.thread_id, ending.parts)
    messages.set_status(connection, execution.id, MessageStatus(ending.state.value), at=now)
    outbox.queue_message(connection, execution.message_id, at=now)
    holder = thread.active_execution_id
    next_id = executions.find_next_queued(connection, thread.id) if holder in {None, execution.id} else None
    threads.change_head(
        connection,
        thread.id,
        active=next_id if holder in {None, execution.id} else holder,
        leaf=thread.leaf_message_id,
        count=thread.message_count,
        at=now,
    )
    if ending.conversation_id is not None:
        _keep_conversation(connection, thread.id, ending, now=now)
    return next_id


def stored_cost(connection: Connection, execution: Execution) -> int:
    """What an answer that nobody runs has cost, as far as that is stored."""
    if execution.reservation is None or not execution.attempt:
        return 0
    text = messages.get(connection, execution.thread_id, execution.message_id).text
    steps = tool_calls.list_steps(connection, execution.id)
    behind = text[sum(len(step.text) for step in steps) :]
    asked = 0
    if behind and execution.reservation.tokens is not None:
        asked = execution.reservation.tokens.amount - (execution.reservation.answer_tokens or 0)
    return asked + estimated_tokens(behind) + sum(map(step_tokens, steps))


def last_entries(connection: Connection, execution: Execution, ending: Ending, *, held: bool) -> list[Entry]:
    """The end as the log is told of it; a log that does not hold the answer gets its stored text with it."""
    end = (ENDS[ending.state], ending.payload())
    if held:
        return [end]
    message = messages.get(connection, execution.thread_id, execution.message_id)
    stored = [(EventType.snapshot, StoredText.of(message))] if message.text else []
    return [(EventType.execution_restarted, b"{}"), *stored, end]


def has_ended_so(connection: Connection, execution: Execution, ending: Ending) -> bool:
    """Whether this attempt's end is stored already; an earlier try of the same that is under way is waited for."""
    threads.get_unscoped(connection, execution.thread_id, lock=True)
    stored = executions.get(connection, execution.thread_id, execution.id)
    return stored.attempt == execution.attempt and stored.state is ending.state


def _keep_conversation(connection: Connection, thread_id: str, ending: Ending, *, now: datetime) -> None:
    known = threads.find_provider_thread(connection, thread_id)
    if known is not None and known.conversation_id == ending.conversation_id:
        return
    record = ProviderThread(
        thread_id=thread_id,
        provider=known.provider if known else None,
        conversation_id=ending.conversation_id,
        state=known.state if known else {},
        updated_at=now,
    )
    threads.put_provider_thread(connection, record)
