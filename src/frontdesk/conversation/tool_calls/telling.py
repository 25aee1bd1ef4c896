"""Calls as the log, its readers and the surfaces know them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.conversation.tool_calls.models import AWAITING, SETTLED, CallState, ToolCall
from frontdesk.ports.thread_log import Entry, EventType

SHOWN_LENGTH = 16_384  # characters of a result on the log; the whole is in the database
ENDS = {CallState.completed: EventType.tool_call_completed, CallState.failed: EventType.tool_call_failed}


def told_call(kind: EventType, call: ToolCall, **more: Any) -> Entry:
    return kind, msgspec.json.encode({**told(call), "step": call.step, **more})


def told_states(calls: Sequence[ToolCall]) -> list[Entry]:
    """What the log said last of calls that are settled, or await something."""
    awaited = sum(call.state in AWAITING for call in calls)
    return [_told_state(call, awaited) for call in calls if call.state in SETTLED | AWAITING]


def _told_state(call: ToolCall, awaited: int) -> Entry:
    if call.state in AWAITING:
        return told_call(EventType.input_requested, call, awaited=awaited)
    return told_call(ENDS[call.state], call)


def told(call: ToolCall) -> dict[str, Any]:
    """A call as the log and the surfaces show it."""
    shown: dict[str, Any] = {
        "call_id": call.call_id,
        "tool": call.tool,
        "state": call.state,
        "arguments": decoded(call.arguments),
    }
    if call.content is not None:
        shown["result" if call.state is CallState.completed else "error"] = decoded(call.content[:SHOWN_LENGTH])
    if call.content is not None and len(call.content) > SHOWN_LENGTH:
        shown["is_cut"] = True
    return shown


def decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
