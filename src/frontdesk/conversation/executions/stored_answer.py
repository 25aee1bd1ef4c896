"""An answer as it is stored: its execution and its message, of one moment."""

from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message


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
