"""What was said in a session, as its two sides may read it: questions and finished answers, with the calls made."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.models import ToolCall
from frontdesk.identity.principal import Principal

PAGE = 100
_SPOKEN = frozenset({Role.user, Role.assistant})
_UNDER_WAY = frozenset({MessageStatus.queued, MessageStatus.running})


class Said(msgspec.Struct, frozen=True):
    """Oldest first; `calls` by the execution that made them. `has_more` when there are earlier ones."""

    messages: Sequence[Message]
    calls: Mapping[str, Sequence[ToolCall]]
    has_more: bool


def latest_page(
    connection: Connection, principal: Principal, thread_id: str, *, before: str | None = None, limit: int = PAGE
) -> Said:
    """The latest messages, or those before one. An answer under way is left out: its stream has it from the start.

    Raises `NotFoundError`, `NotAllowedError`.
    """
    threads.get(connection, principal, thread_id)
    position = None if before is None else messages.get(connection, thread_id, before).position
    found = messages.list_page(connection, thread_id, limit=limit + 1, before=position)
    shown = [message for message in reversed(found[:limit]) if _is_shown(message)]
    return Said(shown, calls_of(connection, shown), has_more=len(found) > limit)


def calls_of(connection: Connection, shown: Sequence[Message]) -> dict[str, list[ToolCall]]:
    answers = [message.execution_id for message in shown if message.role is Role.assistant and message.execution_id]
    steps = tool_calls.steps_by_execution(connection, answers) if answers else {}
    return {execution_id: [call for step in made for call in step.calls] for execution_id, made in steps.items()}


def _is_shown(message: Message) -> bool:
    return message.role is Role.user or (message.role in _SPOKEN and message.status not in _UNDER_WAY)
