"""An answer as messages: each once, with places that hold wherever the answer is read again."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.conversation.answer import StoredText
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.agent_messages import MOST, AnswerMessages, Seq
from frontdesk.surfaces.said import texts_of

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=12)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


def chunk(text: str) -> bytes:
    return msgspec.json.encode({"choices": [{"delta": {"content": text}}]})


def chunks(*texts: str) -> Event:
    if len(texts) == 1:
        return Event("1-1", "e", 1, EventType.chunk, chunk(texts[0]))
    return Event("1-1", "e", 1, EventType.chunk, b"", [chunk(text) for text in texts])


def event(kind: EventType, **payload: Any) -> Event:
    return Event("1-1", "e", 1, kind, msgspec.json.encode(payload))


def snapshot(text: str) -> Event:
    return Event("1-1", "e", 1, EventType.snapshot, msgspec.json.encode(StoredText(text, None, "m", 0, None)))


DONE = event(EventType.execution_completed, state="completed", announced=False)
RESTARTED = event(EventType.execution_restarted)


def of(messages: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages]


def said(messages: list[bytes]) -> str:
    return "".join(message["token"] for message in of(messages))


def test_tokens_and_the_end_have_the_documented_shapes_and_a_seq() -> None:
    answer = AnswerMessages(2)
    messages = answer.encode([chunks("Hel", "", "lo"), DONE])
    assert [message.partition(b',"seq":')[0] for message in messages] == [
        b'{"type":"assistant_message","token":"Hel","is_final":false',
        b'{"type":"assistant_message","token":"lo","is_final":false',
        b'{"type":"assistant_message","token":"","is_final":true',
    ]
    assert [Seq.parse(message["seq"]).units for message in of(messages)] == [3, 5, 6]
    assert {Seq.parse(message["seq"]).position for message in of(messages)} == {2}


def test_a_failure_is_an_error_and_no_end_of_an_answer() -> None:
    answer = AnswerMessages()
    failed = event(EventType.execution_failed, error={"code": "reset", "message": "It broke off"})
    assert answer.encode([failed]) == [b'{"type":"error","content":"It broke off"}']
    assert answer.is_failed


@given(TEXTS)
def test_places_grow_and_stay_exact_in_javascript(texts: list[str]) -> None:
    seqs = [message["seq"] for message in of(AnswerMessages(524_287).encode([*map(chunks, texts), DONE]))]
    assert all(early < late for early, late in pairwise(seqs))
    assert seqs[-1] <= MOST < 2**53


@given(TEXTS, st.data())
def test_whoever_comes_back_anywhere_gets_the_rest_once(texts: list[str], data: st.DataObject) -> None:
    messages = AnswerMessages(7).encode([*map(chunks, texts), DONE])
    seen = data.draw(st.integers(0, len(messages)))
    shown = Seq.parse(json.loads(messages[seen - 1])["seq"]) if seen else None
    text = "".join(texts).replace("\0", "\ufffd")
    for source in ([*map(chunks, texts), DONE], [snapshot(text), DONE], [RESTARTED, snapshot(text), DONE]):
        again = AnswerMessages(7, shown=shown)
        rest = again.encode(source, joined=data.draw(st.booleans()))
        assert not again.diverged
        assert said(messages[:seen]) + said(rest) == text
        finals = [message["is_final"] for message in of([*messages[:seen], *rest])]
        assert finals.count(True) == 1
        if rest:
            assert of(rest)[-1]["seq"] == of(messages)[-1]["seq"]


@given(TEXT, TEXT)
def test_an_answer_that_begins_again_with_the_same_words_goes_on(first: str, rest: str) -> None:
    answer = AnswerMessages(1)
    before = answer.encode([chunks(first)])
    after = answer.encode([RESTARTED, *[chunks(letter) for letter in first], chunks(rest), DONE])
    assert not answer.diverged
    assert said([*before, *after]) == (first + rest).replace("\0", "\ufffd")


@pytest.mark.parametrize("again", [["It is"], ["Th", "at it"], ["T"], []])
def test_an_answer_that_begins_again_with_other_words_is_void(again: list[str]) -> None:
    answer = AnswerMessages(1)
    answer.encode([chunks("They")])
    assert answer.encode([RESTARTED, *map(chunks, again), DONE]) == []
    assert answer.diverged
    assert json.loads(answer.void()) == {
        "type": "assistant_message",
        "token": "",
        "is_final": False,
        "restarted": True,
        "seq": 1 << 34,
    }
    assert said(answer.encode([*map(chunks, again), DONE])) == "".join(again)


def test_a_place_of_other_words_is_void() -> None:
    shown = Seq.parse(json.loads(AnswerMessages(1).encode([chunks("abc")])[0])["seq"])
    answer = AnswerMessages(1, shown=shown)
    assert answer.encode([chunks("abd", "e")]) == []
    assert answer.diverged


def call(call_id: str, state: str) -> Event:
    return event(EventType.input_requested, call_id=call_id, tool="t", state=state, arguments={"a": 1})


def test_a_call_is_told_once_and_one_that_was_made_meanwhile_is_not() -> None:
    answer = AnswerMessages()
    made = event(EventType.tool_call_started, call_id="b")
    assert answer.encode([call("a", "awaiting_approval"), call("b", "awaiting_approval"), made]) == []
    assert answer.calls() == [
        b'{"type":"tool_call","call_id":"a","tool_name":"t","arguments":{"a":1},"requires_approval":true}'
    ]
    answer.encode([call("a", "awaiting_approval")])
    assert answer.calls() == []
    answer.encode([call("a", "awaiting_result")])
    assert of(answer.calls())[0]["requires_approval"] is False


def test_an_answer_that_is_too_long_or_too_far_has_no_places() -> None:
    assert "seq" not in json.loads(AnswerMessages(1 << 19).encode([chunks("a")])[0])
    long = AnswerMessages(1)
    messages = of(long.encode([chunks("a" * (2**21 - 1), "b"), DONE]))
    assert ["seq" in message for message in messages] == [True, False, False]
    assert long.seq is None


def test_chunks_say_what_is_stored_of_them() -> None:
    odd = [b'{"choices":[]}', b"{}", b'{"choices":[{"delta":{"content":null}}]}', b'{"choices":[{}]}', chunk("a\0")]
    assert texts_of(odd) == ["", "", "", "", "a\ufffd"]
    assert texts_of([b'{"choices":[{"delta":{"content":1}}]}', chunk("x")]) == ["", "x"]
