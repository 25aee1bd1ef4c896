"""Bodies are JSON that every later stage can hold, or one of two errors; nothing else comes out."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from frontdesk.errors import BadRequestError, BodyTooLargeError, InvalidRequestError, MalformedJsonError
from frontdesk.http.bodies import decode_json, read_body

LIMIT = 100
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def decoded(body: bytes) -> Any:
    try:
        return decode_json(body)
    except (MalformedJsonError, InvalidRequestError) as error:
        return error


@given(st.binary() | st.text().map(str.encode) | st.from_regex(r'[\[\]{}",:0-9eE.+\\u-]*').map(str.encode))
@example(b"")
@example(b"1" * 5000)
@example(b"-" + b"9" * 400)
@example(b"1e999")
@example(b'"\\ud800"')
@example(b'"\\ud83d\\ud83d\\ude00"')
@example(b'"\xed\xa0\x80"')
@example(b'{"\\u0000":1}')
@example(b"[" * 100_000)
@example(b'{"a":' * 5000)
@example(b"NaN")
@example(b"\xef\xbb\xbf1")
def test_any_bytes_give_a_value_or_one_of_two_errors(body: bytes) -> None:
    value = decoded(body)
    if not isinstance(value, Exception):
        json.dumps(value, ensure_ascii=False).encode()


@given(JSON)
def test_json_is_what_it_says(value: Any) -> None:
    body = json.dumps(value).encode()
    found = decoded(body)
    if isinstance(found, InvalidRequestError):
        assert "\x00" in str(json.loads(body)) or "\\x00" in repr(value)
    elif isinstance(found, MalformedJsonError):
        assert "\\ud" in body.decode() or any(len(part) > 300 for part in body.decode().split())
    else:
        assert found == value


@pytest.mark.parametrize("body", [b'"\\ud800"', b'{"a":"x\\udfff"}', b'{"\\udc00":1}', b'"\xed\xa0\x80"', b'"\xff"'])
def test_lone_surrogates_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        decode_json(body)


def test_pairs_of_surrogates_are_text() -> None:
    assert decode_json(b'"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'"\\u0000"', ["body"]),
        (b'{"text":"a\\u0000b"}', ["body", "text"]),
        (b'{"metadata":{"deep":[1,{"x":"\\u0000"}]}}', ["body", "metadata", "deep", 1, "x"]),
        (b'{"a\\u0000":1}', ["body"]),
    ],
)
def test_nul_is_refused_wherever_it_stands(body: bytes, loc: list[str | int]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decode_json(body)
    assert caught.value.extra["errors"][0]["loc"] == loc


def test_what_only_looks_like_nul_is_text() -> None:
    assert decode_json(b'"\\\\u0000"') == "\\u0000"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_depth_is_bounded(opening: bytes, closing: bytes) -> None:
    inner = b"1"
    assert decode_json(opening * 64 + inner + closing * 64)
    with pytest.raises(MalformedJsonError):
        decode_json(opening * 65 + inner + closing * 65)


def request(parts: list[bytes], *, declared: str | None = None, breaks_off: bool = False) -> Request:
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    last: Message = {"type": "http.disconnect"} if breaks_off else {"type": "http.request", "body": b""}

    async def source() -> AsyncIterator[Message]:
        for message in [*messages, last]:
            yield message

    given_messages = source()
    headers = [] if declared is None else [(b"content-length", declared.encode("latin-1"))]
    return Request({"type": "http", "headers": headers}, given_messages.__anext__)


async def test_a_body_up_to_the_limit_is_read() -> None:
    assert await read_body(request([b"a" * 60, b"b" * 40], declared="100"), LIMIT, seconds=5) == b"a" * 60 + b"b" * 40
    assert await read_body(request([]), LIMIT, seconds=5) == b""


@pytest.mark.parametrize("declared", ["101", "-1", "ten", "", "9" * 5000, "1e2", "²"])
async def test_a_declared_length_decides_before_anything_is_read(declared: str) -> None:
    with pytest.raises(BodyTooLargeError):
        await read_body(request([], declared=declared), LIMIT, seconds=5)


async def test_more_than_was_declared_is_not_read_on() -> None:
    with pytest.raises(BodyTooLargeError):
        await read_body(request([b"a" * 60, b"b" * 41, b"never"]), LIMIT, seconds=5)


async def test_a_body_that_ends_early_is_the_callers_fault() -> None:
    with pytest.raises(BadRequestError):
        await read_body(request([b"a"], breaks_off=True), LIMIT, seconds=5)
