"""A visitor's stream on the wire: Server-Sent Events with names, each with the id with which a reader resumes.

Of tools it tells names and states alone: what they were told and told belongs to the interface's owner.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.conversation.executions.models import ExecutionState
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.public_chat.sessions.moments import AnswerEvent, Connected, Ended, Moment, Settled
from frontdesk.surfaces.public_chat.schemas import MessageOut
from frontdesk.surfaces.said import stored_text, text_of


class _Call(msgspec.Struct):
    call_id: str
    tool: str


class _Progress(msgspec.Struct):
    attachment: dict[str, Any] | None = None
    stage: str = ""
    done: int = 0
    total: int = 0
    error: dict[str, str] | None = None


_decode_progress = msgspec.json.Decoder(_Progress).decode
_decode_call = msgspec.json.Decoder(_Call).decode
_encode = msgspec.json.encode
_CALLS = {
    EventType.tool_call_started: "running",
    EventType.tool_call_completed: "completed",
    EventType.tool_call_failed: "failed",
}
_UNKNOWN_ERROR = "The answer failed"


class VisitorEncoder:
    def encode(self, events: Sequence[Moment]) -> bytes:
        parts = [frame for moment in events if (frame := _frame(moment))]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def end(self) -> bytes:
        return b""


def _frame(moment: Moment) -> bytes:
    """Empty for what does not show."""
    shown = moment.shown
    if isinstance(shown, AnswerEvent):
        name, data = _answer(shown)
    elif isinstance(shown, Settled):
        name, data = b"message", _settled(shown)
    elif isinstance(shown, Ended):
        name, data = _ended(shown)
    else:
        name, data = b"connected", _connected(shown)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (moment.id.encode(), name, data) if data else b""


def _answer(shown: AnswerEvent) -> tuple[bytes, bytes]:
    event = shown.event
    if event.type is EventType.chunk:
        text = text_of(event)
        return b"token", _token(shown, text) if text else b""
    if event.type is EventType.snapshot:
        return b"token", _token(shown, stored_text(event.payload))
    if event.type is EventType.execution_restarted:
        return b"token", _encode({**_names(shown), "token": "", "reset": True})
    if event.type is EventType.progress:
        return _progress(shown, event)
    if event.type in _CALLS:
        return event.type.encode(), _call(shown, event)
    return b"", b""


def _token(shown: AnswerEvent, text: str) -> bytes:
    place = shown.place
    return b'{"executionId":"%b","messageId":"%b","token":%b}' % (
        place.execution_id.encode(),
        place.message_id.encode(),
        _encode(text),
    )


def _call(shown: AnswerEvent, event: Event) -> bytes:
    call = _decode_call(event.payload)
    told = {"toolCallId": call.call_id, "name": call.tool, "status": _CALLS[event.type]}
    return _encode({**_names(shown), **told})


def _progress(shown: AnswerEvent, event: Event) -> tuple[bytes, bytes]:
    """Of what is being read; of other waits there is nothing to be seen."""
    told = _decode_progress(event.payload)
    if told.attachment is None:
        return b"", b""
    state = {"attachment": told.attachment, "stage": told.stage, "done": told.done, "total": told.total}
    error = {} if told.error is None else {"error": told.error}
    return b"attachment_progress", _encode({**_names(shown), **state, **error})


def _settled(shown: Settled) -> bytes:
    out = MessageOut.of(shown.message, shown.calls, attachments=(), parts=shown.parts)
    message = out.model_dump(by_alias=True, mode="json")
    return _encode({"executionId": shown.place.execution_id, **message})


def _ended(shown: Ended) -> tuple[bytes, bytes]:
    """A stopped answer is completed: what it had is kept."""
    execution = shown.execution
    if execution.state is not ExecutionState.failed:
        return b"execution_completed", _encode({**_names(shown), "status": execution.state})
    error = {"code": execution.error_code or "failed", "message": execution.error_message or _UNKNOWN_ERROR}
    return b"execution_failed", _encode({**_names(shown), "status": execution.state, "error": error})


def _names(shown: AnswerEvent | Ended) -> dict[str, Any]:
    return {"executionId": shown.place.execution_id, "messageId": shown.place.message_id}


def _connected(shown: Connected) -> bytes:
    standing = shown.standing
    return _encode(
        {
            "sessionId": standing.session.id,
            "threadId": standing.session.thread_id,
            "executionStatus": standing.execution_status,
            "currentExecutionId": standing.current_execution_id,
        }
    )
