"""The log as the threads API's event stream: OpenAI's chunks, the provider's byte for byte, and our states beside them.

Every frame has the id with which a reader resumes. An event that makes two frames gives the first the id `CURSOR~1`:
all up to CURSOR was delivered, and one frame of what follows.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.conversation.answer import StoredText
from frontdesk.errors import BadCursorError
from frontdesk.ports.thread_log import TERMINAL, Event, EventType

_CURSOR = re.compile(r"(?P<cursor>(?:[0-9a-z]{1,32}|stored|stored-void)-[0-9]{1,18})?(?P<skip>~1)?", re.ASCII)
_DONE = b"data: [DONE]\n\n"
_STATES = {
    EventType.execution_queued: "queued",
    EventType.execution_started: "running",
    EventType.execution_restarted: "restarted",
    EventType.execution_resumed: "running",
    EventType.progress: "running",
    EventType.tool_call_started: "running",
    EventType.tool_call_completed: "running",
    EventType.tool_call_failed: "running",
    EventType.input_requested: "waiting",
}
_CALLS = frozenset(
    {
        EventType.tool_call_started,
        EventType.tool_call_completed,
        EventType.tool_call_failed,
        EventType.input_requested,
    }
)


def parse_last_event_id(text: str | None) -> tuple[str | None, int]:
    """The cursor to follow from and how many frames behind it were delivered. Raises `BadCursorError`."""
    if not text:
        return None, 0
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise BadCursorError
    return match["cursor"], 1 if match["skip"] else 0


class ThreadsApiEncoder:
    """Encodes one execution's events for one reader; `after` and `skip` are what `parse_last_event_id` gave."""

    def __init__(self, thread_id: str, *, after: str | None = None, skip: int = 0) -> None:
        self._thread_id = thread_id
        self._last = after or ""
        self._skip = skip

    def encode(self, events: Sequence[Event]) -> bytes:
        parts: list[bytes] = []
        for event in events:
            if event.type is EventType.chunk:
                _add_chunks(parts, event)
            else:
                self._add_frames(parts, event)
            self._last = event.cursor
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def end(self) -> bytes:
        return _DONE

    def _add_frames(self, parts: list[bytes], event: Event) -> None:
        frames = self._frames(event)
        # An event of one frame is not the one whose first was delivered: that one is gone, and this says so.
        skip = self._skip if len(frames) > self._skip else 0
        for number, data in enumerate(frames, start=1):
            if number <= skip:
                continue
            cursor = event.cursor if number == len(frames) else f"{self._last}~{number}"
            parts += (b"id: ", cursor.encode(), b"\ndata: ", data, b"\n\n")
        self._skip = 0

    def _frames(self, event: Event) -> list[bytes]:
        if (state := _STATES.get(event.type)) is not None:
            return [self._state(state, call=event.payload if event.type in _CALLS else None)]
        if event.type is EventType.snapshot:
            return [self._text(msgspec.json.decode(event.payload, type=StoredText))]
        if event.type not in TERMINAL:
            return []
        ending = msgspec.json.decode(event.payload)
        if event.type is EventType.execution_failed:
            return [self._state("failed", "error"), _error(ending["error"])]
        if ending.get("announced"):
            return []
        return [self._state("completed" if event.type is EventType.execution_completed else "interrupted", "stop")]

    def _state(self, state: str, finish_reason: str | None = None, *, call: bytes | None = None) -> bytes:
        chunk: dict[str, Any] = {
            "id": self._thread_id,
            "object": "chat.completion.chunk",
            "agent_status": state,
            "choices": [{"delta": {}, "finish_reason": finish_reason}],
        }
        if call is not None:
            chunk["tool_call"] = msgspec.Raw(call)
        return msgspec.json.encode(chunk)

    def _text(self, stored: StoredText) -> bytes:
        chunk = {
            "id": stored.message_id,
            "object": "chat.completion.chunk",
            "created": stored.created,
            "model": stored.model,
            "agent_status": "streaming",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": stored.text}, "finish_reason": None}],
            "usage": stored.usage,
        }
        return msgspec.json.encode(chunk)


def _add_chunks(parts: list[bytes], event: Event) -> None:
    chunks = event.chunks
    if not chunks:
        parts.append(b"id: %b\ndata: %b\n\n" % (event.cursor.encode(), event.payload))
        return
    origin, _, last = event.cursor.rpartition("-")
    head = f"id: {origin}-".encode()
    first = int(last) - len(chunks) + 1
    parts += [b"%b%d\ndata: %b\n\n" % (head, number, chunk) for number, chunk in enumerate(chunks, first)]


def _error(error: dict[str, Any]) -> bytes:
    body = {"message": error["message"], "type": "agent_error", "code": error["code"]}
    return msgspec.json.encode({"error": body})
