"""A session's feed on the wire: Server-Sent Events with names. Every event has the id with which a reader resumes."""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.sessions.moments import AnswerEvent, CallEvent, Moment, Snapshot
from frontdesk.conversation.sessions.reports import Report
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.said import stored_text, text_of
from frontdesk.surfaces.session_gateway.schemas import SessionMessageOut, SessionOut

_encode = msgspec.json.encode
_STATES = {
    EventType.tool_call_started: "started",
    EventType.tool_call_completed: "completed",
    EventType.tool_call_failed: "failed",
}


class SessionEncoder:
    def encode(self, events: Sequence[Moment]) -> bytes:
        parts: list[bytes] = []
        for moment in events:
            name, data = _wire(moment)
            if data is not None:
                parts.append(b"id: %b\nevent: %b\ndata: %b\n\n" % (moment.id.encode(), name, data))
        return b"".join(parts)

    def end(self) -> bytes:
        return b""


def _wire(moment: Moment) -> tuple[bytes, bytes | None]:
    """The event's name and its data; no data for what does not show."""
    shown = moment.shown
    if isinstance(shown, AnswerEvent):
        return _answer(shown)
    if isinstance(shown, Message):
        return b"message", SessionMessageOut.of(shown).model_dump_json().encode()
    if isinstance(shown, CallEvent):
        return b"tool", _call(shown.event, execution_id=None)
    if isinstance(shown, Report):
        data = shown.events[-1] if shown.kind == "backend" else {"events": shown.events}
        return shown.kind.encode(), _encode(data)
    return b"snapshot", _snapshot(shown)


def _answer(shown: AnswerEvent) -> tuple[bytes, bytes | None]:
    event = shown.event
    if event.type is EventType.chunk:
        text = text_of(event)
        return b"message_delta", _delta(shown, text) if text else None
    if event.type is EventType.snapshot:
        return b"message_delta", _delta(shown, stored_text(event.payload))
    if event.type is EventType.execution_restarted:
        return b"message_delta", _delta(shown, "", is_reset=True)
    return b"tool", _call(event, execution_id=event.execution_id)


def _delta(shown: AnswerEvent, text: str, *, is_reset: bool = False) -> bytes:
    """With `reset` what the answer's text was so far is void."""
    body = {"message_id": shown.message_id, "execution_id": shown.event.execution_id, "text": text, "reset": is_reset}
    return _encode(body)


def _call(event: Event, *, execution_id: str | None) -> bytes:
    told: dict[str, Any] = msgspec.json.decode(event.payload)
    told["state"] = _STATES.get(event.type) or told["state"]
    return _encode({**told, "execution_id": execution_id})


def _snapshot(shown: Snapshot) -> bytes:
    reports = shown.reports
    return _encode(
        {
            "session": SessionOut.of(shown.held).model_dump(mode="json"),
            "messages": [SessionMessageOut.of(message).model_dump(mode="json") for message in shown.messages],
            "has_earlier_messages": shown.has_earlier,
            "jobs": reports.jobs,
            "pipeline": reports.pipeline,
            "backend": reports.backend,
        }
    )
