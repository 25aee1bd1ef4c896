"""The log as ChatKit's frames: each is one of the protocol's, and together they are what is stored."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.attachments.models import Owner, OwnerKind
from frontdesk.conversation.history import Entry
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.parts.telling import told_part
from frontdesk.conversation.tool_calls.models import AnswerStep, CallState, ToolCall
from frontdesk.kit.ids import new_id
from frontdesk.kit.signing import Signer
from frontdesk.ports.language_model import PartKind
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.chatkit.encoding import AnswerEncoder
from frontdesk.surfaces.chatkit.images import ImageLinks
from frontdesk.surfaces.chatkit.items import items_of, place_of_answer
from harness.chatkit_agents import card
from harness.chatkit_client import ChatKitClient, frames_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
THREAD, MESSAGE, EXECUTION = (new_id() for _ in range(3))
IMAGES = ImageLinks("https://chat.example", Owner(kind=OwnerKind.user, id=new_id()), Signer(b"x", purpose="x"), now=NOW)
Json = dict[str, Any]


def event(kind: EventType, payload: Any = None) -> Event:
    return Event("1-1", EXECUTION, 1, kind, msgspec.json.encode(payload or {}))


def chunk(text: str) -> bytes:
    return msgspec.json.encode({"choices": [{"index": 0, "delta": {"content": text}}]})


def said(*texts: str) -> Event:
    return Event("1-1", EXECUTION, 1, EventType.chunk, b"", [chunk(text) for text in texts])


def answer(text: str) -> Message:
    return Message(
        id=MESSAGE,
        thread_id=THREAD,
        position=2,
        role=Role.assistant,
        sender_id=None,
        text=text,
        status=MessageStatus.completed,
        model=None,
        execution_id=EXECUTION,
        parent_id=new_id(),
        usage=None,
        metadata={},
        created_at=NOW,
        updated_at=NOW,
    )


def shown(events: list[Event]) -> list[Json]:
    """What a client has when it has heard them all, one by one."""
    encoder = AnswerEncoder(place_of_answer(answer("")))
    client = ChatKitClient(None, "", "")  # type: ignore[arg-type]  it asks nobody
    for frame in frames_of(b"".join(encoder.encode([one]) for one in events).decode() + encoder.end().decode()):
        client._apply(THREAD, frame)
    return list(client.items.get(THREAD, {}).values())


def stored(entry: Entry) -> list[Json]:
    told: list[Json] = json.loads(msgspec.json.encode(items_of(entry, IMAGES)))
    return told


END = event(EventType.execution_completed, {"state": "completed"})
TEXTS = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4)


@given(TEXTS)
def test_text_comes_as_it_was_said_and_is_stored(texts: list[str]) -> None:
    stored = "".join(texts).replace("\0", "\ufffd")
    (item,) = shown([event(EventType.execution_queued), event(EventType.execution_started), said(*texts), END])
    assert item["content"] == [{"type": "output_text", "text": stored, "annotations": []}]
    assert item["id"] == MESSAGE


def part(number: int, at: int, kind: PartKind, step: int) -> Part:
    data: dict[PartKind, Json] = {
        PartKind.widget: {"widget": card(str(number))},
        PartKind.image: {"url": "https://example.com/a.png"},
        PartKind.citation: {"source": {"type": "url", "title": "a", "url": "https://example.com/"}, "index": at},
        PartKind.effect: {"name": "blink", "data": {}},
    }
    key = f"k{number}"
    return Part(message_id=MESSAGE, key=key, step=step, number=number, at=at, kind=kind, data=data[kind])


def call(number: int, step: int) -> ToolCall:
    return ToolCall(
        id=f"{number:036}",
        thread_id=THREAD,
        execution_id=EXECUTION,
        step=step,
        call_id=f"call_{number}",
        tool="echo",
        arguments="{}",
        state=CallState.completed,
        attempt=1,
        content='"x"',
        error_code=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW,
    )


KINDS = st.sampled_from([PartKind.widget, PartKind.image, PartKind.citation, PartKind.effect])
STEPS = st.lists(
    st.tuples(st.lists(st.one_of(st.text("ab ", min_size=1, max_size=5), KINDS), max_size=5), st.integers(0, 2)),
    min_size=1,
    max_size=3,
)


@given(STEPS)
def test_what_was_told_is_what_is_stored(steps: list[tuple[list[str | PartKind], int]]) -> None:
    """Whatever an answer says, shows and calls, in whatever order."""
    events, text, parts, kept, numbers = [], "", [], [], iter(range(1, 100))
    for number, (things, count) in enumerate(steps, start=1):
        begun = len(text)
        for thing in things:
            if isinstance(thing, PartKind):
                parts.append(part(next(numbers), len(text), thing, number))
                kind, payload = told_part(parts[-1])
                events.append(Event("1-1", EXECUTION, 1, kind, payload))
            else:
                text += thing
                events.append(said(thing))
        calls = [call(next(numbers), number) for _ in range(count if number < len(steps) else 0)]
        for kind in (EventType.tool_call_started, EventType.tool_call_completed):
            told = [{"call_id": one.call_id, "tool": "echo", "state": "completed", "step": number} for one in calls]
            events += [event(kind, one) for one in told]
        if number < len(steps):
            kept.append(
                AnswerStep(
                    execution_id=EXECUTION, number=number, text=text[begun:], usage=None, created_at=NOW, calls=calls
                )
            )
    seen = shown([*events, END])
    entry = Entry(answer(text), kept, [one for one in parts if one.is_stored])
    assert stored(entry) == seen
    assert len({item["id"] for item in seen}) == len(seen)


def test_what_a_restart_makes_void_is_taken_back() -> None:
    calls = [{"call_id": "c", "tool": "echo", "state": "running", "arguments": {}, "step": 1}]
    text = {"text": "one ", "model": None, "message_id": MESSAGE, "created": 1, "usage": None}
    seen = shown(
        [
            said("one "),
            event(EventType.tool_call_started, calls[0]),
            event(EventType.tool_call_completed, calls[0]),
            said("lost"),
            event(EventType.execution_restarted),
            event(EventType.snapshot, text),
            said("two"),
            END,
        ]
    )
    assert [item["type"] for item in seen] == ["assistant_message", "workflow", "assistant_message"]
    assert [item["content"][0]["text"] for item in seen if "content" in item] == ["one ", "two"]


def test_an_answer_whose_log_is_gone_comes_whole() -> None:
    text = {"text": "all of it", "model": None, "message_id": MESSAGE, "created": 1, "usage": None}
    seen = shown([said("al"), event(EventType.execution_restarted), event(EventType.snapshot, text), END])
    assert [item["content"][0]["text"] for item in seen] == ["all of it"]


def test_what_is_no_part_of_the_protocol_is_not_sent() -> None:
    for data in ({"widget": {"type": "Nothing"}}, {}, {"widget": None}):
        told = {"key": "k", "kind": "widget", "step": 1, "data": data}
        assert shown([event(EventType.part_added, told), said("x"), END])[0]["content"][0]["text"] == "x"


def test_a_failure_is_told_in_our_words() -> None:
    encoder = AnswerEncoder(place_of_answer(answer("")))
    failed = event(EventType.execution_failed, {"state": "failed", "error": {"code": "x", "message": "It failed"}})
    frames = frames_of(encoder.encode([said("a"), failed]).decode())
    assert frames[-1] == {"type": "error", "code": "custom", "message": "It failed", "allow_retry": True}
    assert frames[-2]["type"] == "thread.item.done"
