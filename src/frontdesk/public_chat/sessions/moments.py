"""What a visitor's stream shows, and the place behind each of it."""

import re
from collections.abc import Sequence

import msgspec

from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.tool_calls.models import ToolCall
from frontdesk.errors import BadCursorError
from frontdesk.ports.thread_log import Event
from frontdesk.public_chat.sessions.models import Standing
from frontdesk.public_chat.sessions.repository import Place

_POINT = re.compile(
    r"(?P<position>[0-9]{1,9})(?:\.(?P<cursor>(?:[0-9]{1,32}|stored(?:-void)?)-[0-9]{1,18}))?", re.ASCII
)


class Point(msgspec.Struct, frozen=True):
    """How far a reader has come: with a `cursor`, in the answer at `position`; without, to the end of all up to it.

    Positions count the thread's messages, so any process can go on behind it.
    """

    position: int
    cursor: str = ""

    def text(self) -> str:
        return f"{self.position}.{self.cursor}" if self.cursor else str(self.position)


def parse_point(text: str | None) -> Point | None:
    """Raises `BadCursorError`."""
    if not text:
        return None
    match = _POINT.fullmatch(text)
    if match is None:
        raise BadCursorError
    return Point(int(match["position"]), match["cursor"] or "")


class Connected(msgspec.Struct, frozen=True):
    standing: Standing


class AnswerEvent(msgspec.Struct, frozen=True):
    """Something on the log of an answer."""

    place: Place
    event: Event


class Settled(msgspec.Struct, frozen=True):
    """The message that an answer became, with the calls that were made for it, and what stands beside its text."""

    place: Place
    message: Message
    calls: Sequence[ToolCall]
    parts: Sequence[Part] = ()


class Ended(msgspec.Struct, frozen=True):
    """An answer's end."""

    place: Place
    execution: Execution


Shown = Connected | AnswerEvent | Settled | Ended


class Moment(msgspec.Struct, frozen=True):
    """`id` is the point behind it, as text."""

    id: str
    shown: Shown
