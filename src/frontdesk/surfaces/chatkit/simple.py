"""The simple form of the endpoint: one message in, the text of its answer out, as events with names."""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.chatkit.course import Place
from frontdesk.surfaces.chatkit.encoding import AnswerStream
from frontdesk.surfaces.said import stored_text, text_of

_WAITING = "The answer waits for something that this form of the endpoint cannot bring"


def named(event: str, **data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(data))


class SimpleEncoder:
    """As `AnswerEncoder`. A text that is void is not taken back: what had been sent stands, and the rest follows."""

    def __init__(self, place: Place) -> None:
        self.is_waiting = False
        self._place = place
        self._said: list[str] = []
        self._voided = ""

    def encode(self, events: Sequence[Event]) -> bytes:
        return b"".join([self._frames(event) for event in events if not self.is_waiting])

    def end(self) -> bytes:
        return b""

    def _frames(self, event: Event) -> bytes:
        kind = event.type
        if kind is EventType.chunk:
            return self._say(text_of(event))
        if kind is EventType.snapshot:
            text = stored_text(event.payload)
            return self._say(text[len("".join(self._said)) :])
        if kind is EventType.execution_restarted:
            self._voided, self._said = max(self._voided, "".join(self._said), key=len), []
        elif kind is EventType.input_requested:
            self.is_waiting = True
            return named("error", error=_WAITING)
        elif kind is EventType.execution_failed:
            return named("error", error=msgspec.json.decode(event.payload)["error"]["message"]) + self._closing()
        elif kind in {EventType.execution_completed, EventType.execution_interrupted}:
            return named("thread.message.completed", message_id=self._place.message_id) + self._closing()
        return b""

    def _say(self, text: str) -> bytes:
        """Behind a restart the same words come again, and are sent once."""
        if not text:
            return b""
        before = len("".join(self._said)) if self._voided else 0
        self._said.append(text)
        if self._voided:
            known = len(self._voided) - before
            text = text[max(0, known) :]
        return named("thread.message.delta", content=text) if text else b""

    def _closing(self) -> bytes:
        return named("thread.run.completed", thread_id=self._place.thread_id)


class SimpleStream(AnswerStream):
    moved = named("error", error="The connection was ended by the server; the answer goes on")
