"""What a caller wants said, and how what follows from it is built: the records of a message and of its answer."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from frontdesk.conversation.executions.models import Execution, ExecutionState
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.threads.models import Thread
from frontdesk.identity.message_limits import Reserved
from frontdesk.kit.ids import new_id

ACTION = "action"  # in a message's metadata: what it stands for, when that is no text


class IfActive(StrEnum):
    """What to do while an answer is under way in the thread."""

    reject = "reject"
    queue = "queue"
    interrupt = "interrupt"


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """`senders` are the ids in whose name the message claims to be; `parent_id` chooses the branch that it
    continues; `attachments` are ids. One that `is_metered` counts for its sender's limits.
    """

    text: str
    role: Role = Role.user
    senders: tuple[str, ...] = ()
    model: str | None = None
    metadata: dict[str, Any] = {}
    attachments: tuple[str, ...] = ()
    parent_id: str | None = None
    if_active: IfActive = IfActive.reject
    is_metered: bool = False


def draft_message(
    thread: Thread, draft: Draft, *, parent_id: str | None, execution_id: str | None, now: datetime
) -> Message:
    """The message of a draft, to be answered by `execution_id`."""
    return Message(
        id=new_id(),
        thread_id=thread.id,
        position=thread.message_count + 1,
        role=draft.role,
        sender_id=thread.user_id if draft.role is Role.user else None,
        text=draft.text,
        status=MessageStatus.queued,
        model=draft.model,
        execution_id=execution_id,
        parent_id=parent_id,
        usage=None,
        metadata=draft.metadata,
        created_at=now,
        updated_at=now,
    )


def answer_message(execution: Execution, *, position: int, now: datetime) -> Message:
    """The place of an answer, there from the start so that its partial text has one."""
    return Message(
        id=execution.message_id,
        thread_id=execution.thread_id,
        position=position,
        role=Role.assistant,
        sender_id=None,
        text="",
        status=MessageStatus.queued,
        model=execution.model,
        execution_id=execution.id,
        parent_id=execution.user_message_id,
        usage=None,
        metadata={},
        created_at=now,
        updated_at=now,
    )


def execution_of(
    thread: Thread,
    *,
    execution_id: str,
    user_message_id: str,
    model: str | None,
    now: datetime,
    reserved: Reserved | None = None,
) -> Execution:
    return Execution(
        id=execution_id,
        thread_id=thread.id,
        user_id=thread.user_id,
        user_message_id=user_message_id,
        message_id=new_id(),
        state=ExecutionState.queued,
        attempt=0,
        owner=None,
        lease_until=None,
        model=model,
        checkpoint_cursor=None,
        error_code=None,
        error_message=None,
        created_at=now,
        started_at=None,
        finished_at=None,
        reservation=reserved,
    )
