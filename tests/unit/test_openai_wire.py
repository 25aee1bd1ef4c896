from datetime import UTC, datetime

import msgspec
import pytest

from frontdesk.adapters.language_model import openai_wire as wire
from frontdesk.ports.language_model import ModelCallError, ModelChunks, ModelRequest, Usage

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def test_a_request_asks_for_a_stream_with_usage() -> None:
    messages = [{"role": "user", "content": "hé"}]
    body = msgspec.json.decode(wire.request_body(ModelRequest("m", messages, conversation_id="c1")))
    assert body == {
        "model": "m",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "conversation_id": "c1",
    }
    assert "conversation_id" not in msgspec.json.decode(wire.request_body(ModelRequest("m", messages)))


def test_a_chunk_keeps_its_bytes_and_names_its_fields() -> None:
    data = b'{"id":"x","model":"m","choices":[{"delta":{"content":"\xc3\xa9"},"finish_reason":null}],"extra":[1]}'
    chunk = wire.read_chunk(data)
    assert (chunk.data, chunk.text, chunk.model, chunk.finish_reason, chunk.usage) == ([data], "é", "m", None, None)


def test_usage_in_a_strange_form_does_not_cost_the_answer() -> None:
    assert wire.read_chunk(b'{"choices":[],"usage":{"prompt_tokens":"many"}}').usage is None
    assert wire.read_chunk(b'{"choices":[],"usage":{"total_tokens":3}}').usage == Usage(0, 0, 3)


def test_a_chunk_on_several_lines_is_put_on_one() -> None:
    chunk = wire.read_chunk(b'{"choices":\n[{"delta":{"content":"a\\nb"}}]\n}')
    assert chunk.data == [b'{"choices": [{"delta":{"content":"a\\nb"}}] }']
    assert chunk.text == "a\nb"


@pytest.mark.parametrize("data", [b"{", b"[]", b"no", b'{"choices":[{"delta":{"content":"\xff"}}]}', b'{"choices":{}}'])
def test_what_is_no_chunk_is_a_bad_frame(data: bytes) -> None:
    with pytest.raises(ModelCallError) as caught:
        wire.read_chunk(data)
    assert caught.value.kind == "bad_frame"


def test_an_error_object_is_a_failure_and_null_is_not() -> None:
    with pytest.raises(ModelCallError) as caught:
        wire.read_chunk(b'{"error":{"message":"sk-1"}}')
    assert caught.value.kind == "error_in_stream"
    assert "sk-1" not in caught.value.detail
    assert wire.read_chunk(b'{"choices":[],"error":null}').text == ""


def test_a_whole_answer_becomes_one_chunk() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": "hello", "tool_calls": [call]}
    body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "message": message}]}
    chunk = wire.whole_answer(msgspec.json.encode(body))
    assert (chunk.text, chunk.finish_reason) == ("hello", "stop")
    shown = msgspec.json.decode(chunk.data[0])
    assert shown["object"] == "chat.completion.chunk"
    assert shown["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **call}]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"choices":[1]}', b'{"choices":[{"message":{"tool_calls":[1]}}]}']
)
def test_what_is_no_answer_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(ModelCallError) as caught:
        wire.whole_answer(body)
    assert caught.value.kind == "bad_response"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert wire.retry_seconds(header, now=NOW) == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rate_limited"),
        (500, "server_error"),
        (599, "server_error"),
        (302, "refused"),
        (400, "refused"),
        (204, "bad_response"),
    ],
)
def test_a_status_has_its_kind(status: int, kind: str) -> None:
    failure = wire.status_failure(status, "3")
    assert (failure.kind, failure.provider_status) == (kind, status)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b'{"data":3}'])
def test_what_is_no_list_of_models_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(ModelCallError) as caught:
        wire.model_list(body)
    assert caught.value.kind == "bad_response"


def test_models_without_an_id_are_left_out() -> None:
    assert wire.model_list(b'{"data":[{"id":"a","x":1},{"id":2},7]}') == [{"id": "a", "x": 1, "object": "model"}]


def test_chunks_are_read_together_as_they_are_one_by_one() -> None:
    events = [b'{"choices":[{"delta":{"content":"%d "}}],"model":"m"}' % number for number in range(5)]
    events.append(b'{"choices":[{"delta":{},"finish_reason":"stop"}],"agent_status":"completed","conversation_id":"c"}')
    events.append(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":5,"total_tokens":6}}')
    chunks, error = wire.read_chunks(events)
    assert error is None
    assert chunks == ModelChunks(events, "0 1 2 3 4 ", 5, "stop", "m", "c", "completed", Usage(1, 5, 6))


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (b"{oops", "bad_frame"),
        (b'{"choices":[]}{"choices":[]}', "bad_frame"),
        (b'{"choices":[]},{"choices":[]}', "bad_frame"),
        (b'{"error":{"message":"sk-1"}}', "error_in_stream"),
    ],
)
def test_what_came_before_a_bad_event_is_kept(bad: bytes, kind: str) -> None:
    good = [b'{"choices":[{"delta":{"content":"a"}}]}', b'{"choices":[{"delta":{"content":"b"}}]}']
    chunks, error = wire.read_chunks([*good, bad, good[0]])
    assert chunks is not None
    assert (chunks.data, chunks.text) == (good, "ab")
    assert error is not None
    assert error.kind == kind
    assert wire.read_chunks([bad])[0] is None
