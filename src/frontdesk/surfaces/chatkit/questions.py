"""Questions to the user: what an agent asks with its tool `structured_input`, and leave for a call that needs it.

Such a tool is the client's. Its arguments are `{"inputs": [...]}`, as the protocol has structured inputs, and its
result is what the client submits: `{"status", "answers": {ID: {"values", "skipped"}}}`.
"""

from typing import Any

import msgspec
from chatkit.types import StructuredInputSubmission

from frontdesk.conversation.tool_calls.inputs import Decision
from frontdesk.conversation.tool_calls.models import CallState

Json = dict[str, Any]
TOOL = "structured_input"
LEAVE = frozenset({CallState.awaiting_approval, CallState.awaiting_decision})
_DECISION, _APPROVE, _REJECT = "decision", "Approve", "Reject"
_SHOWN_LENGTH = 1_000


def structured_input(arguments: Any, answer: Json | None) -> Json:
    """The item's own fields. `answer` is what was submitted, if anything was."""
    asked = arguments.get("inputs") if isinstance(arguments, dict) else None
    inputs = [dict(one) for one in asked if isinstance(one, dict)] if isinstance(asked, list) else []
    if not inputs or answer is None:
        return {"status": "pending", "inputs": inputs or [{}]}
    given = answer.get("answers")
    for one in inputs:
        of_one = given.get(one.get("id")) if isinstance(given, dict) else None
        one["answer"] = _answer(one, of_one)
    return {"status": "skipped" if answer.get("status") == "skipped" else "answered", "inputs": inputs}


def approval(tool: str, arguments: Any, leave: str) -> Json:
    """Asks for leave to make a call; `leave` is what was decided, or empty."""
    written = msgspec.json.encode(arguments).decode()[:_SHOWN_LENGTH]
    choice: Json = {
        "type": "multiple_choice",
        "id": _DECISION,
        "question": f"May the assistant use {tool} with {written}?",
        "options": [{"value": _APPROVE}, {"value": _REJECT}],
    }
    if not leave:
        return {"status": "pending", "inputs": [choice]}
    choice["answer"] = {"values": [_REJECT if leave == Decision.reject else _APPROVE], "skipped": False}
    return {"status": "answered", "inputs": [choice]}


def decision(submission: StructuredInputSubmission) -> tuple[Decision, str | None]:
    """What was decided, and what was said besides: anything that is no plain yes is a no."""
    given = submission.answers.get(_DECISION)
    values = [] if given is None or given.skipped or submission.status == "skipped" else given.values
    if values == [_APPROVE]:
        return Decision.approve, None
    said = [value for value in values if value not in {_APPROVE, _REJECT}]
    return Decision.reject, " ".join(said) or None


def submitted(submission: StructuredInputSubmission) -> str:
    """The result of the agent's call."""
    return msgspec.json.encode(submission.model_dump(mode="json")).decode()


def _answer(asked: Json, given: Any) -> Json:
    """As the protocol's own server records it."""
    values = given.get("values") if isinstance(given, dict) and not given.get("skipped") else None
    if not isinstance(values, list) or not values:
        return {"values": [], "skipped": True}
    is_single = asked.get("type") == "multiple_choice" and not asked.get("multiple")
    return {"values": values[:1] if is_single else values, "skipped": False}
