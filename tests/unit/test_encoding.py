"""The log as the threads API's frames, to the byte."""

import json

import msgspec
import pytest

from frontdesk.conversation.answer import StoredText
from frontdesk.errors import BadCursorError
from frontdesk.ports.language_model import Usage
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.threads_api.encoding import ThreadsApiEncoder, parse_last_event_id

THREAD = "0192aaaa-0000-7000-8000-000000000000"


def event(number: int, kind: EventType, payload: bytes = b"{}", *, origin: str = "abcd") -> Event:
    return Event(f"{origin}-{number}", "e", 1, kind, payload)


def state(cursor: str, name: str, *, finish: str = "null", more: str = "") -> bytes:
    return (
        f'id: {cursor}\ndata: {{"id":"{THREAD}","object":"chat.completion.chunk","agent_status":"{name}",'
        f'"choices":[{{"delta":{{}},"finish_reason":{finish}}}]{more}}}\n\n'
    ).encode()


def ending(kind: EventType, number: int = 9, **fields: object) -> Event:
    return event(number, kind, msgspec.json.encode({"state": "any", "announced": False, **fields}))


ERROR = {"code": "reset", "message": "The model provider broke off the answer"}
FAILED = ending(EventType.execution_failed, error=ERROR)
ERROR_DATA = (
    b'data: {"error":{"message":"The model provider broke off the answer","type":"agent_error","code":"reset"}}\n\n'
)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (EventType.execution_queued, "queued"),
        (EventType.execution_started, "running"),
        (EventType.progress, "running"),
        (EventType.execution_restarted, "restarted"),
    ],
)
def test_states_are_chunks_of_our_own(kind: EventType, name: str) -> None:
    assert ThreadsApiEncoder(THREAD).encode([event(3, kind)]) == state("abcd-3", name)


def test_chunks_are_the_providers_bytes() -> None:
    chunks = [b'{"id": "x",  "choices":[{"delta":{"content":"\xc3\xa9"}}]}', b'{"odd":[1, 2]}']
    events = [event(number, EventType.chunk, data) for number, data in enumerate(chunks, start=5)]
    assert ThreadsApiEncoder(THREAD).encode(events) == (
        b"id: abcd-5\ndata: " + chunks[0] + b"\n\nid: abcd-6\ndata: " + chunks[1] + b"\n\n"
    )


def test_chunks_of_one_read_have_each_their_own_id() -> None:
    read = Event("abcd-7", "e", 1, EventType.chunk, chunks=[b'{"n":1}', b'{"n":2}', b'{"n":3}'])
    encoder = ThreadsApiEncoder(THREAD)
    assert encoder.encode([read]) == (
        b'id: abcd-5\ndata: {"n":1}\n\nid: abcd-6\ndata: {"n":2}\n\nid: abcd-7\ndata: {"n":3}\n\n'
    )
    assert encoder.encode([FAILED]).startswith(b"id: abcd-7~1\n")


def test_a_completed_answer_says_so_once() -> None:
    encoder = ThreadsApiEncoder(THREAD)
    assert encoder.encode([ending(EventType.execution_completed)]) == state("abcd-9", "completed", finish='"stop"')
    assert encoder.end() == b"data: [DONE]\n\n"


def test_an_interrupted_answer_says_so() -> None:
    assert ThreadsApiEncoder(THREAD).encode([ending(EventType.execution_interrupted)]) == state(
        "abcd-9", "interrupted", finish='"stop"'
    )


@pytest.mark.parametrize("kind", [EventType.execution_completed, EventType.execution_interrupted])
def test_an_end_that_the_provider_announced_is_not_said_again(kind: EventType) -> None:
    assert ThreadsApiEncoder(THREAD).encode([ending(kind, announced=True)]) == b""


def test_a_failure_is_said_even_when_the_provider_announced_it() -> None:
    announced = ending(EventType.execution_failed, error=ERROR, announced=True)
    assert ThreadsApiEncoder(THREAD).encode([announced]).count(b"data: ") == 2


def test_a_failed_answer_makes_two_frames() -> None:
    encoder = ThreadsApiEncoder(THREAD)
    encoder.encode([event(7, EventType.chunk)])
    assert encoder.encode([FAILED]) == (state("abcd-7~1", "failed", finish='"error"') + b"id: abcd-9\n" + ERROR_DATA)


def test_a_reader_that_left_between_the_two_gets_the_second() -> None:
    cursor, skip = parse_last_event_id("abcd-7~1")
    assert (cursor, skip) == ("abcd-7", 1)
    resumed = ThreadsApiEncoder(THREAD, after=cursor, skip=skip)
    assert resumed.encode([FAILED]) == b"id: abcd-9\n" + ERROR_DATA


def test_a_reader_that_left_between_them_and_lost_its_place_is_told_that_its_text_is_void() -> None:
    cursor, skip = parse_last_event_id("gone-7~1")
    resumed = ThreadsApiEncoder(THREAD, after=cursor, skip=skip)
    restarted = event(1, EventType.execution_restarted, origin="stored-void")
    failed = Event("stored-void-2", "e", 1, EventType.execution_failed, FAILED.payload)
    assert resumed.encode([restarted, failed]) == (
        state("stored-void-1", "restarted")
        + state("stored-void-1~1", "failed", finish='"error"')
        + b"id: stored-void-2\n"
        + ERROR_DATA
    )


@pytest.mark.parametrize("origin", ["stored", "stored-void"])
def test_a_stored_failure_can_be_resumed_between_its_frames(origin: str) -> None:
    cursor, skip = parse_last_event_id(f"{origin}-2~1")
    resumed = ThreadsApiEncoder(THREAD, after=cursor, skip=skip)
    failed = Event(f"{origin}-3", "e", 1, EventType.execution_failed, FAILED.payload)
    assert resumed.encode([failed]) == b"id: %s-3\n" % origin.encode() + ERROR_DATA


def test_a_resumed_reader_that_failed_at_once_can_resume_again() -> None:
    encoder = ThreadsApiEncoder(THREAD, after="abcd-7")
    assert encoder.encode([FAILED]).startswith(b"id: abcd-7~1\n")


def test_a_snapshot_is_one_chunk_with_the_whole_text() -> None:
    stored = StoredText("héllo\n\n", "m", "message-1", 1_767_225_600, Usage(1, 2, 3))
    frame = ThreadsApiEncoder(THREAD).encode([event(4, EventType.snapshot, msgspec.json.encode(stored))])
    head, _, data = frame.partition(b"\ndata: ")
    assert head == b"id: abcd-4"
    assert data.count(b"\n") == 2
    assert data.endswith(b"\n\n")
    chunk = json.loads(data)
    assert chunk["choices"] == [
        {"index": 0, "delta": {"role": "assistant", "content": "héllo\n\n"}, "finish_reason": None}
    ]
    assert (chunk["id"], chunk["model"], chunk["created"]) == ("message-1", "m", 1_767_225_600)
    assert chunk["object"] == "chat.completion.chunk"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (None, (None, 0)),
        ("", (None, 0)),
        ("abcd-12", ("abcd-12", 0)),
        ("abcd-12~1", ("abcd-12", 1)),
        ("stored-2", ("stored-2", 0)),
        ("stored-void-2~1", ("stored-void-2", 1)),
    ],
)
def test_cursors_of_ours_are_understood(text: str | None, parsed: tuple[str | None, int]) -> None:
    assert parse_last_event_id(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["abcd", "-1", "abcd-", "abcd--1", "abcd-1~2", "abcd-1~", "abcd-1 ", "abcd-٣", "ABCD-1", "a\x00-1", "x" * 40 + "-1",
     "abcd-" + "1" * 19, "stored-void", "void-stored-1", "abcd-1\n"],
)  # fmt: skip
def test_other_cursors_are_refused(text: str) -> None:
    with pytest.raises(BadCursorError):
        parse_last_event_id(text)
