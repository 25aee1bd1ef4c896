"""The log of an answer as the protocol's events: its text as deltas, straight from the provider's chunks."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from frontdesk.http.event_stream import EventStream
from frontdesk.ports.language_model import PartKind
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.chatkit import frames
from frontdesk.surfaces.chatkit.course import Call, Course, Place
from frontdesk.surfaces.chatkit.questions import LEAVE, TOOL
from frontdesk.surfaces.said import stored_text, text_of

_MOVED = "The connection was ended by the server. The answer goes on: load the thread again to see it."


class _Told(msgspec.Struct):
    """A part as the log tells of it."""

    kind: PartKind
    key: str
    data: dict[str, Any]


_decode_call = msgspec.json.Decoder(Call).decode
_decode_part = msgspec.json.Decoder(_Told).decode


class AnswerEncoder:
    """One answer for one reader: `opening` first, then what the log says, behind the call `behind` if there is one.

    `is_waiting` once somebody must do something before the answer goes on: then this stream is over. Of several calls
    for the client only the first is told of; the others come when it has brought a result.
    """

    def __init__(self, place: Place, *, opening: bytes = b"", behind: str | None = None) -> None:
        self.is_waiting = False
        self.course = Course(place)
        self._opening = opening
        self._behind = behind
        self._asked = 0
        self._has_offered = False

    def encode(self, events: Sequence[Event]) -> bytes:
        for event in events:
            if self.is_waiting:
                break
            if self._behind is not None:
                self._look_for_place(event)
            elif event.type is EventType.chunk:
                if text := text_of(event):
                    self.course.say(text)
            elif (told := _TOLD.get(event.type)) is not None:
                told(self, event.payload)
        body = self.course.take()
        if self._opening:
            body, self._opening = self._opening + body, b""
        return body

    def end(self) -> bytes:
        self.course.finish()
        return self.course.take()

    def _look_for_place(self, event: Event) -> None:
        if event.type is EventType.snapshot:
            self._behind = None
            self._catch_up(event.payload)
        elif event.type in {EventType.tool_call_completed, EventType.tool_call_failed}:
            if _decode_call(event.payload).call_id == self._behind:
                self._behind = None
        elif event.type in _ENDED:
            self._behind = None
            _ENDED[event.type](self, event.payload)

    def _restart(self, _payload: bytes) -> None:
        self.course.void()

    def _catch_up(self, payload: bytes) -> None:
        self.course.catch_up(stored_text(payload))

    def _start_call(self, payload: bytes) -> None:
        self.course.start_call(_decode_call(payload))

    def _complete_call(self, payload: bytes) -> None:
        self.course.end_call(_decode_call(payload), failed=False)

    def _fail_call(self, payload: bytes) -> None:
        self.course.end_call(_decode_call(payload), failed=True)

    def _ask(self, payload: bytes) -> None:
        call = _decode_call(payload)
        if call.state in LEAVE:
            self.course.ask_user(call, leave="")
        elif not (call.tool == TOOL and self.course.ask_user(call)) and not self._has_offered:
            self._has_offered = True
            self.course.ask_client(call)
        self._asked += 1
        self.is_waiting = self._asked >= call.awaited

    def _show(self, payload: bytes) -> None:
        part = _decode_part(payload)
        if part.kind is PartKind.widget:
            self.course.show_widget(part.key, part.data)
        elif part.kind is PartKind.image:
            self.course.show_image(part.key, part.data)
        else:
            _SHOWN[part.kind](self.course, part.data)

    def _report(self, payload: bytes) -> None:
        if msgspec.json.decode(payload).get("status") == "reconnecting":
            self.course.tell_progress({"text": "Reconnecting"})

    def _finish(self, _payload: bytes) -> None:
        self.course.finish()

    def _fail(self, payload: bytes) -> None:
        self.course.finish()
        self.course.tell_error(msgspec.json.decode(payload)["error"]["message"])


_ENDED: dict[EventType, Callable[[AnswerEncoder, bytes], None]] = {
    EventType.execution_completed: AnswerEncoder._finish,  # noqa: SLF001
    EventType.execution_interrupted: AnswerEncoder._finish,  # noqa: SLF001
    EventType.execution_failed: AnswerEncoder._fail,  # noqa: SLF001
}
_TOLD: dict[EventType, Callable[[AnswerEncoder, bytes], None]] = {
    **_ENDED,
    EventType.execution_restarted: AnswerEncoder._restart,  # noqa: SLF001
    EventType.snapshot: AnswerEncoder._catch_up,  # noqa: SLF001
    EventType.tool_call_started: AnswerEncoder._start_call,  # noqa: SLF001
    EventType.tool_call_completed: AnswerEncoder._complete_call,  # noqa: SLF001
    EventType.tool_call_failed: AnswerEncoder._fail_call,  # noqa: SLF001
    EventType.input_requested: AnswerEncoder._ask,  # noqa: SLF001
    EventType.part_added: AnswerEncoder._show,  # noqa: SLF001
    EventType.progress: AnswerEncoder._report,  # noqa: SLF001
}
_SHOWN: dict[PartKind, Callable[[Course, dict[str, Any]], None]] = {
    PartKind.citation: Course.cite,
    PartKind.replacement: Course.replace,
    PartKind.effect: Course.affect,
    PartKind.progress: Course.tell_progress,
}


class AnswerStream(EventStream[Event]):
    """A client of this protocol does not come again by itself: one that is sent away is told so."""

    moved = frames.error(_MOVED, allow_retry=False)

    def send_away(self) -> None:
        if not (self._is_sent_away or self._wire.lost):
            self._wire.write(self.moved)
        self._is_sent_away = True
        self._woken.set()
