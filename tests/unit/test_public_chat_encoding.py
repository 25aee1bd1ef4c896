"""A visitor's stream, to the byte: what shows of the log, and what is nobody else's business."""

import json
from typing import Any

import msgspec
import pytest

from frontdesk.conversation.answer import StoredText
from frontdesk.conversation.executions.models import Execution, ExecutionState
from frontdesk.errors import BadCursorError
from frontdesk.kit.clock import HeldClock
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.public_chat.sessions.moments import AnswerEvent, Ended, Moment, Point, parse_point
from frontdesk.public_chat.sessions.repository import Place
from frontdesk.surfaces.public_chat.encoding import VisitorEncoder

PLACE = Place("e-1", "m-1", 2)
NAMES = {"executionId": "e-1", "messageId": "m-1"}


def shown(kind: EventType, payload: bytes = b"{}", *, chunks: tuple[bytes, ...] = ()) -> bytes:
    event = Event("1-7", "e-1", 1, kind, payload, chunks)
    return VisitorEncoder().encode([Moment("2.1-7", AnswerEvent(PLACE, event))])


def chunk(text: Any) -> bytes:
    return json.dumps({"choices": [{"delta": {"content": text}}]}).encode()


def frame(name: str, data: dict[str, Any]) -> bytes:
    return b"id: 2.1-7\nevent: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


def test_the_chunks_of_one_read_are_one_token() -> None:
    assert shown(EventType.chunk, chunk("Grüße\n")) == frame("token", {**NAMES, "token": "Grüße\n"})
    several = (chunk("a"), b"not json", chunk(None), b'{"choices":[]}', chunk("b"))
    assert shown(EventType.chunk, chunks=several) == frame("token", {**NAMES, "token": "ab"})


@pytest.mark.parametrize("kind", [EventType.execution_queued, EventType.progress, EventType.input_requested])
def test_what_a_page_cannot_show_is_left_out(kind: EventType) -> None:
    assert shown(kind) == b""
    assert shown(EventType.chunk, chunk("")) == b""


def test_an_answer_that_is_made_again_voids_its_text() -> None:
    assert shown(EventType.execution_restarted) == frame("token", {**NAMES, "token": "", "reset": True})
    stored = msgspec.json.encode(StoredText("so far", None, "m-1", 0, None))
    assert shown(EventType.snapshot, stored) == frame("token", {**NAMES, "token": "so far"})


def test_of_a_call_its_name_and_state_are_told() -> None:
    told = json.dumps({"call_id": "c", "tool": "look_up", "state": "x", "arguments": {"k": "secret"}, "result": "s"})
    for kind, status in (
        (EventType.tool_call_started, "running"),
        (EventType.tool_call_completed, "completed"),
        (EventType.tool_call_failed, "failed"),
    ):
        expected = {**NAMES, "toolCallId": "c", "name": "look_up", "status": status}
        assert shown(kind, told.encode()) == frame(kind.value, expected)


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (ExecutionState.completed, "execution_completed"),
        (ExecutionState.interrupted, "execution_completed"),
        (ExecutionState.failed, "execution_failed"),
    ],
)
def test_an_end_says_how(state: ExecutionState, name: str) -> None:
    execution = Execution(
        id="e-1",
        thread_id="t",
        user_id="u",
        user_message_id="m-0",
        message_id="m-1",
        state=state,
        attempt=1,
        owner=None,
        lease_until=None,
        model="secret-model",
        checkpoint_cursor=None,
        error_code=None,
        error_message=None,
        created_at=HeldClock().now(),
        started_at=None,
        finished_at=None,
    )
    encoded = VisitorEncoder().encode([Moment("2", Ended(PLACE, execution))])
    head, _, data = encoded.partition(b"data: ")
    assert head == f"id: 2\nevent: {name}\n".encode()
    body = json.loads(data)
    assert (body["executionId"], body["status"]) == ("e-1", state)
    assert ("error" in body) == (state is ExecutionState.failed)
    assert b"secret" not in encoded


@pytest.mark.parametrize(
    "point", [Point(0), Point(12), Point(3, "1-17"), Point(3, "stored-2"), Point(3, "stored-void-1")]
)
def test_a_point_is_read_as_it_is_written(point: Point) -> None:
    assert parse_point(point.text()) == point


@pytest.mark.parametrize("text", ["x", "1.", ".1-1", "1.1", "1-1", "-1", "1.1-1\n", "1234567890", "\u0661"])
def test_other_texts_are_no_points(text: str) -> None:
    with pytest.raises(BadCursorError):
        parse_point(text)
    assert parse_point("") is None
