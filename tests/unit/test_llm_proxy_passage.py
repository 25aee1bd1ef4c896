"""What of an answer goes on, whatever the reads were that brought it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.identity.usage.models import Spent
from frontdesk.ports.language_model import ModelCallError
from frontdesk.surfaces.llm_proxy.asking import read_chat
from frontdesk.surfaces.llm_proxy.passage import MAX_EVENT_BYTES, EventPassage, WholePassage

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 3}}
SECRET = "sk-canary at 10.0.0.7"


def event(value: Any, border: str = "\n\n") -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}{border}".encode()


def chunk(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}], "usage": None, **more}


def passed(data: bytes, cuts: list[int], *, hides_usage: bool) -> tuple[bytes, EventPassage]:
    passage, out, start = EventPassage(hides_usage=hides_usage), b"", 0
    for cut in [*sorted({min(cut, len(data)) for cut in cuts}), len(data)]:
        out += passage.feed(data[start:cut]) if cut > start else b""
        start = max(start, cut)
    return out + passage.close(), passage


TEXTS = st.lists(st.sampled_from(['"error"', '"prompt_tokens":5', "data:", "é🙂", "\n\n", "a", "\r\n\r\n"]), max_size=6)
CUTS = st.lists(st.integers(min_value=0, max_value=1500), max_size=8)


@given(texts=TEXTS, cuts=CUTS, border=st.sampled_from(["\n\n", "\r\n\r\n"]), hides=st.booleans())
def test_only_the_usage_that_was_not_asked_for_stays(
    texts: list[str], cuts: list[int], border: str, *, hides: bool
) -> None:
    said = b"".join(event(chunk(text), border) for text in texts)
    last = event({"choices": [], "usage": USAGE}, border)
    done = f"data: [DONE]{border}".encode()
    out, passage = passed(said + last + done, cuts, hides_usage=hides)
    assert out == (said + done if hides else said + last + done)
    assert passage.spent(99) == Spent(11, 7)


@given(CUTS)
def test_an_error_goes_on_in_our_words(cuts: list[int]) -> None:
    before, after = event(chunk("a")), event(chunk("b"))
    out, _ = passed(before + event({"error": {"message": SECRET}}) + after, cuts, hides_usage=True)
    assert out.startswith(before)
    assert out.endswith(after)
    assert SECRET.encode() not in out
    told = json.loads(out[len(before) : -len(after)].removeprefix(b"data: "))
    assert told["error"]["code"] == "error_in_stream"


@pytest.mark.parametrize("rest", [b'data: {"error": {"message": "' + SECRET.encode(), event({"error": SECRET}, "")])
def test_an_error_without_its_end_is_not_told_either(rest: bytes) -> None:
    out, _ = passed(event(chunk("a")) + rest, [], hides_usage=False)
    assert SECRET.encode() not in out
    assert b'"error"' in out


def test_usage_beside_choices_is_counted_and_goes_on() -> None:
    said = event(chunk("a", usage={"prompt_tokens": 1, "completion_tokens": 1})) + event(chunk("b", usage=USAGE))
    out, passage = passed(said, [], hides_usage=True)
    assert (out, passage.spent(99)) == (said, Spent(11, 7))


def test_without_usage_what_came_counts() -> None:
    _, passage = passed(event(chunk("")) + event(chunk("a")) * 9, [], hides_usage=True)
    assert passage.spent(5) == Spent(5, 9)
    assert EventPassage(hides_usage=True).spent(5) == Spent(5, 0)


def test_an_event_without_an_end_is_not_collected_for_ever() -> None:
    passage = EventPassage(hides_usage=True)
    assert passage.feed(b"x" * MAX_EVENT_BYTES) == b""
    with pytest.raises(ModelCallError, match="too large"):
        passage.feed(b"x")


@pytest.mark.parametrize("filling", [0, 20_000])
@pytest.mark.parametrize("first", [True, False])
def test_a_whole_body_tells_its_usage_at_either_end(filling: int, *, first: bool) -> None:
    text = '\\"usage\\": {\\"prompt_tokens\\": 5}' + "x" * filling
    members = [f'"choices": [{{"message": {{"content": "{text}"}}}}]', f'"usage": {json.dumps(USAGE)}']
    body = ("{" + ", ".join(reversed(members) if first else members) + "}").encode()
    passage = WholePassage(answers=True)
    assert b"".join(passage.feed(body[at : at + 1000]) for at in range(0, len(body), 1000)) == body
    assert passage.spent(99) == Spent(11, 7)


def test_a_whole_body_without_usage_counts_by_its_size() -> None:
    for answers, tokens in ((True, 100), (False, 0)):
        passage = WholePassage(answers=answers)
        passage.feed(b"x" * 400)
        assert passage.spent(5) == Spent(5, tokens)


@pytest.mark.parametrize(
    ("members", "hides", "reserved"),
    [
        ({"stream": True}, True, 1024),
        ({"stream": True, "stream_options": {"include_usage": True}}, False, 1024),
        ({"stream": True, "stream_options": {"include_usage": False}}, True, 1024),
        ({"stream": True, "stream_options": None}, True, 1024),
        ({"stream": False, "max_tokens": 10}, False, 10),
        ({"max_tokens": 10, "max_completion_tokens": 20, "n": 3}, False, 60),
        ({"max_tokens": 0, "n": -5}, False, 1024),
    ],
)
def test_what_is_read_of_a_request(members: dict[str, Any], reserved: int, *, hides: bool) -> None:
    body = json.dumps({"model": "m", **members}).encode()
    asked = read_chat(body)
    assert (asked.hides_usage, asked.reserved_tokens - asked.prompt_tokens) == (hides, reserved)
    assert asked.prompt_tokens == -(-len(body) // 4)
    sent = json.loads(asked.body)
    assert (sent.pop("stream_options", None) == {"include_usage": True}) == bool(members.get("stream"))
    assert sent == {name: value for name, value in {"model": "m", **members}.items() if name != "stream_options"}
