"""Calls that whoever answers made itself, as the log and its readers know calls. Nothing of them is stored."""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.conversation.tool_calls.models import CALL_ID_LENGTH, TOOL_LENGTH
from frontdesk.conversation.tool_calls.telling import SHOWN_LENGTH, decoded
from frontdesk.ports.language_model import ActivityState, CallActivity
from frontdesk.ports.thread_log import Entry, EventType

_KINDS = {
    ActivityState.running: EventType.tool_call_started,
    ActivityState.completed: EventType.tool_call_completed,
    ActivityState.failed: EventType.tool_call_failed,
}


def told_activity(activity: Sequence[CallActivity]) -> list[Entry]:
    return [(_KINDS[one.state], msgspec.json.encode(_told(one))) for one in activity]


def _told(one: CallActivity) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "call_id": one.call_id[:CALL_ID_LENGTH],
        "tool": one.tool[:TOOL_LENGTH],
        "state": one.state,
        "arguments": decoded(one.arguments[:SHOWN_LENGTH]),
    }
    if one.result is not None:
        shown["error" if one.state is ActivityState.failed else "result"] = decoded(one.result[:SHOWN_LENGTH])
    return shown
