"""Taking an execution to run, with all that its turn needs, in one transaction."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from frontdesk.agents import repository as agents
from frontdesk.agents.models import Agent
from frontdesk.conversation.answer import Claim
from frontdesk.conversation.drafts import ACTION
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import MessageStatus, Role
from frontdesk.conversation.parts import repository as parts
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.kit.ids import is_id
from frontdesk.ports.language_model import Action, Visit
from frontdesk.retrieval.sources import repository as sources

FindVisit = Callable[[Connection, str], Visit | None]  # of a thread, by its id
_EARLIER_RESULT_LENGTH = 4_000  # characters: what an earlier answer was told is context, no longer the matter


def claim_execution(
    connection: Connection,
    execution_id: str,
    *,
    owner: str,
    now: datetime,
    lease: timedelta,
    expired: datetime,
    context_messages: int,
    find_visit: FindVisit,
    default_agent: Agent | None = None,
) -> Claim | None:
    """None when it runs elsewhere with a lease beyond `expired`, has ended, or it is not its thread's turn.

    `find_visit` says whose thread it is beside its owner's; `default_agent` answers where none is named.
    """
    execution = executions.claim(connection, execution_id, owner=owner, now=now, lease=lease, expired=expired)
    if execution is None:
        return None
    messages.set_status(connection, execution_id, MessageStatus.running, at=now)
    branch = messages.list_branch(connection, execution.thread_id, execution.user_message_id, limit=context_messages)
    steps = tool_calls.list_steps(connection, execution.id) if execution.attempt > 1 else []
    if execution.attempt > 1:
        parts.drop_unfinished(connection, execution.message_id, steps=len(steps))
    provider = threads.find_provider_thread(connection, execution.thread_id)
    agent_id = threads.find_agent_id(connection, execution.thread_id)
    # An id of another form is a label of the caller's own, which the allow lists know.
    agent_id = agent_id if agent_id is not None and is_id(agent_id) else None
    agent = default_agent if agent_id is None else agents.find(connection, agent_id, user_id=execution.user_id)
    return Claim(
        execution=execution,
        history=_history(connection, branch, has_agent=agent is not None),
        conversation_id=None if provider is None else provider.conversation_id,
        agent=agent,
        lacks_agent=agent_id is not None and agent is None,
        has_sources=agent is not None and sources.has_any(connection, execution.thread_id),
        steps=steps,
        action=None if agent is None else _action(connection, execution),
        visit=None if agent is None else find_visit(connection, execution.thread_id),
    )


def _action(connection: Connection, execution: Execution) -> Action | None:
    message = messages.get(connection, execution.thread_id, execution.user_message_id)
    told = message.metadata.get(ACTION)
    try:
        return None if told is None else msgspec.convert(told, Action)
    except msgspec.ValidationError:
        return None  # what the caller stored there is no action of ours


def _history(
    connection: Connection, branch: list[tuple[Role, str, str | None]], *, has_agent: bool
) -> list[dict[str, Any]]:
    """As OpenAI's messages, each answer behind the calls that it made."""
    answers = [execution_id for role, _, execution_id in branch if role is Role.assistant and execution_id]
    made = tool_calls.steps_by_execution(connection, answers) if has_agent and answers else {}
    history: list[dict[str, Any]] = []
    for role, text, execution_id in branch:
        for step in made.get(execution_id or "", ()) if role is Role.assistant else ():
            history += step.messages(longest=_EARLIER_RESULT_LENGTH)
            text = text.removeprefix(step.text)  # noqa: PLW2901  what the steps said leads the stored text
        if text:
            history.append(_said(role, text, has_agent=has_agent))
    return history


def _said(role: Role, text: str, *, has_agent: bool) -> dict[str, Any]:
    """A message as the model is given it: with no more authority than whoever stored it has.

    A stored `tool` message answers no call of the model's, and providers refuse such; it is data, so it is the user's
    to show. A `system` message stands where nobody else's instructions do, and not beside those of an agent.
    """
    if role is Role.tool:
        return {"role": "user", "content": f"[Result of a tool]\n{text}"}
    if role is Role.system and has_agent:
        return {"role": "user", "content": f"[Note]\n{text}"}
    return {"role": role.value, "content": text}
