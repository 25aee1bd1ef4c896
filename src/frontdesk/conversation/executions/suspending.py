"""How an execution goes to wait for somebody, and back into the queue when what it waited for has come."""

from collections.abc import Sequence

from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import Execution, ExecutionState
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.parts import repository as parts
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.models import AWAITING, CallState
from frontdesk.ports.thread_log import StaleAttemptError


def suspend_execution(
    connection: Connection, execution: Execution, *, text: str, cursor: str, shown: Sequence[Part]
) -> bool:
    """Store its text and what it has shown beside that as it is at the log's `cursor`, and let its runner go.

    False, with nothing changed, when there is something to do meanwhile. Raises `StaleAttemptError`.
    """
    threads.get_unscoped(connection, execution.thread_id, lock=True)
    stored = executions.get(connection, execution.thread_id, execution.id)
    if stored.attempt == execution.attempt and stored.state in {ExecutionState.waiting, ExecutionState.queued}:
        return True  # an earlier try of the same, whose reply was lost
    if not _must_wait(connection, execution):
        return False
    if not executions.suspend(connection, execution.id, attempt=execution.attempt, cursor=cursor):
        raise StaleAttemptError
    messages.checkpoint(connection, [(execution.message_id, text)])
    parts.put(connection, execution.thread_id, shown)
    return True


def resume_execution(connection: Connection, execution: Execution) -> bool:
    """Put it into the queue again if it waits, and there is something to do; whether it was put there."""
    return not _must_wait(connection, execution) and executions.resume(connection, execution.id)


def _must_wait(connection: Connection, execution: Execution) -> bool:
    """Whether something is awaited, and nothing can be done before it has come."""
    states = {call.state for call in tool_calls.list_calls(connection, execution.id)}
    return bool(states & AWAITING) and CallState.requested not in states
