"""What a session's feed shows, and the place behind each of it."""

import re
from collections.abc import Sequence
from urllib.parse import quote, unquote

import msgspec

from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.sessions.models import HeldSession
from frontdesk.conversation.sessions.reports import KnownReports, Report
from frontdesk.ports.thread_log import Event

OVER = "end"
_MARK_LENGTH = 8
_PLACE = re.compile(
    r"(?P<mark>[\w-]{1,8}):(?P<log>(?:[0-9]{1,5}-[0-9]{1,20})?):(?P<position>[0-9]{1,9})"
    r":(?P<answer>(?:[0-9]{1,32}-[0-9]{1,18}|stored(?:-void)?-[0-9]{1,18}|end)?)"
    r":(?P<messages>[0-9]{1,9}):(?P<reports>[\w.~%-]{0,1500})",
    re.ASCII,
)


class Place(msgspec.Struct, frozen=True):
    """How far a reader has come in each of what a feed is made of: any process can go on behind it.

    `log` is the cursor in the thread's own log. Answers are followed one by one: `answer` is the cursor in the one
    whose message is at `position`, or `OVER`. Messages up to `messages` were shown. `reports` is the back end's.
    """

    log: str = ""
    position: int = 0
    answer: str = ""
    messages: int = 0
    reports: str = ""

    def text(self, session_id: str) -> str:
        reports = quote(self.reports, safe="")
        return f"{session_id[:_MARK_LENGTH]}:{self.log}:{self.position}:{self.answer}:{self.messages}:{reports}"


def parse_place(text: str | None, session_id: str) -> Place | None:
    """None for what is no place in this session."""
    match = _PLACE.fullmatch(text or "")
    if match is None or match["mark"] != session_id[:_MARK_LENGTH]:
        return None
    return Place(
        match["log"], int(match["position"]), match["answer"], int(match["messages"]), unquote(match["reports"])
    )


class Snapshot(msgspec.Struct, frozen=True):
    """The latest `messages`, oldest first; `has_earlier` when there are more. Answers under way have no text yet: that
    follows.
    """

    held: HeldSession
    messages: Sequence[Message]
    has_earlier: bool
    reports: KnownReports


class AnswerEvent(msgspec.Struct, frozen=True):
    """Something on the log of an answer; `message_id` is the message that it becomes."""

    event: Event
    message_id: str


class CallEvent(msgspec.Struct, frozen=True):
    """A call that the session's holder asked for, as `event` on the thread's own log."""

    event: Event


Shown = Snapshot | Message | AnswerEvent | CallEvent | Report


class Moment(msgspec.Struct, frozen=True):
    """`id` is the place behind it, as text."""

    id: str
    shown: Shown
