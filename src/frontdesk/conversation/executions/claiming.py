"""Taking an execution to run, with all that its turn needs, in one transaction."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from frontdesk.conversation.answer import Claim
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import MessageStatus
from frontdesk.conversation.threads import repository as threads


def claim_execution(
    connection: Connection,
    execution_id: str,
    *,
    owner: str,
    now: datetime,
    lease: timedelta,
    expired: datetime,
    context_messages: int,
) -> Claim | None:
    """None when it runs elsewhere with a lease beyond `expired`, has ended, or it is not its thread's turn."""
    execution = executions.claim(connection, execution_id, owner=owner, now=now, lease=lease, expired=expired)
    if execution is None:
        return None
    messages.set_status(connection, execution_id, MessageStatus.running, at=now)
    branch = messages.list_branch(connection, execution.thread_id, execution.user_message_id, limit=context_messages)
    provider = threads.find_provider_thread(connection, execution.thread_id)
    return Claim(
        execution=execution,
        history=[{"role": role.value, "content": text} for role, text in branch if text],
        conversation_id=None if provider is None else provider.conversation_id,
    )
