"""An answer as it is stored: its execution, its message and its calls; and as the events that tell it again."""

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.answer import StoredText
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.ending import ENDS, Ending
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.telling import told_states
from frontdesk.ports.thread_log import Entry, Event, EventType

JOINED = "stored"  # cursors of a stored answer that was read from its start
VOIDED = "stored-void"  # cursors of a stored answer whose reader had seen something that is gone
_AGAIN = f"{VOIDED}-0"  # the cursor of what is to be told again to whoever resumes behind it


class StoredAnswer(msgspec.Struct, frozen=True):
    """`calls` is what has become of its calls, as its log told of them once."""

    execution: Execution
    message: Message
    calls: list[Entry]

    @classmethod
    def read(cls, connection: Connection, thread_id: str, execution_id: str) -> "StoredAnswer":
        """Raises `NotFoundError`."""
        execution, message = read_stored_answer(connection, thread_id, execution_id)
        return cls(execution, message, told_states(tool_calls.list_calls(connection, execution_id)))

    def whole(self, origin: str) -> list[Event]:
        """A finished answer; the same events each time, so that their cursors can be resumed."""
        execution, message = self.execution, self.message
        ending = Ending(
            state=execution.state,
            text=None,
            model=message.model,
            error_code=execution.error_code,
            error_message=execution.error_message,
        )
        steps: list[Entry] = [(EventType.execution_restarted, b"{}")]
        if origin == JOINED:
            steps = [(EventType.execution_queued, b"{}"), (EventType.execution_started, b"{}")]
        steps += self.calls
        if message.text:
            steps.append((EventType.snapshot, StoredText.of(message)))
        steps.append((ENDS[execution.state], ending.payload()))
        return [self._event(f"{origin}-{number}", *step) for number, step in enumerate(steps, start=1)]

    def so_far(self, cursor: str = _AGAIN) -> list[Event]:
        """Of an answer that goes on behind `cursor` in its log, or in one that has yet to begin."""
        told = [self._event(_AGAIN, *call) for call in self.calls]
        if self.message.text or cursor != _AGAIN:
            told.append(self._event(cursor, EventType.snapshot, StoredText.of(self.message)))
        return told

    def _event(self, cursor: str, kind: EventType, payload: bytes) -> Event:
        return Event(cursor, self.execution.id, self.execution.attempt, kind, payload)


def void_marker(like: Event) -> Event:
    """Says that what was told so far is void, before an event like this."""
    return Event(f"{VOIDED}-1", like.execution_id, like.attempt, EventType.execution_restarted, b"{}")


def read_stored_answer(connection: Connection, thread_id: str, execution_id: str) -> tuple[Execution, Message]:
    """Raises `NotFoundError`.

    A text and the cursor up to which it goes are always stored together, but each statement may see another moment:
    what the cursor says is read again behind the text.
    """
    execution = executions.get(connection, thread_id, execution_id)
    while True:
        message = messages.get(connection, thread_id, execution.message_id)
        again = executions.get(connection, thread_id, execution_id)
        if _moment(again) == _moment(execution):
            return execution, message
        execution = again


def _moment(execution: Execution) -> tuple[object, ...]:
    return execution.state, execution.attempt, execution.checkpoint_cursor, execution.resume_cursor
