"""No argument leaves its place in a request's address."""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.adapters.tool_source.request_line import path_segment, request_body, request_target
from frontdesk.agents.tools.declarations import HttpCall
from frontdesk.ports.tool_source import ToolCallError

CALL = HttpCall(
    method="GET",
    path="/api/v1/documents/{document_id}/versions/{number}",
    path_arguments={"document_id": "document_id", "number": "number"},
    query={"q": "q", "tags": "tag"},
)
TRICKS = [
    "",
    ".",
    "..",
    "../admin",
    "a/../../b",
    "a/b",
    "/",
    "//evil.example/x",
    "a\\b",
    "..\\..",
    "%2f",
    "%2F..%2f",
    "%252f",
    "%25252f",
    "%2e%2e",
    "%252e%252e",
    "%5c",
    "a\r\nHost: evil",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "..;",
    "..;x=1",
    ";",
    " ",
    " .. ",
    "\u3000..",
    "\uff0e\uff0e",
    "\u2024\u2024",
    "\u2025",
    "\uff0f",
    "\uff3c",
    "%ef%bc%8f",
    "a\ud800",
]
HARMLESS = [
    ("f00", "f00"),
    ("a.b", "a.b"),
    ("...", "..."),
    ("a b", "a%20b"),
    ("a?b#c", "a%3Fb%23c"),
    ("a@evil:80", "a%40evil%3A80"),
    ("100%", "100%25"),
    ("a;b", "a%3Bb"),
    ("http:evil", "http%3Aevil"),
    ("ü", "%C3%BC"),
    ("\u2215", "%E2%88%95"),
    (7, "7"),
    (True, "true"),
]
texts = st.one_of(st.text(), st.text(alphabet="./\\%2fFeE5cC;?#@: \r\nab\uff0e\uff0f"), st.sampled_from(TRICKS))


@pytest.mark.parametrize("value", [*TRICKS, None, 1.5, ["a"], {"a": 1}], ids=repr)
def test_a_value_that_leads_elsewhere_is_refused(value: object) -> None:
    with pytest.raises(ToolCallError) as caught:
        path_segment("document_id", value)
    assert (caught.value.kind, caught.value.was_made) == ("invalid_arguments", False)
    assert caught.value.detail.startswith("/document_id: ")


@pytest.mark.parametrize(("value", "segment"), HARMLESS)
def test_a_harmless_value_is_one_segment(value: object, segment: str) -> None:
    assert path_segment("document_id", value) == segment


@given(texts, texts, st.lists(texts, max_size=3))
@example("..", "a", [])
def test_no_argument_changes_the_path(document_id: str, query: str, tags: list[str]) -> None:
    arguments = {"document_id": document_id, "number": 7, "q": query, "tags": tags, "unheard_of": "x"}
    try:
        target = request_target(CALL, arguments)
    except ToolCallError as error:
        assert error.kind == "invalid_arguments"  # noqa: PT017  most arguments are no error
        return
    assert re.fullmatch(r"[A-Za-z0-9._~%/?&=-]+", target)
    parts = urlsplit(target)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("", "", "")
    segments = parts.path.split("/")
    assert segments[:4] == ["", "api", "v1", "documents"]
    assert segments[5:] == ["versions", "7"]
    assert unquote(segments[4]) == document_id
    assert not {document_id, unquote(document_id), unquote(unquote(document_id))} & {"", ".", ".."}
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", query), *(("tag", tag) for tag in tags)]


def test_a_query_carries_what_is_there() -> None:
    arguments = {"document_id": "a", "number": 1, "q": {"a": [True, None]}, "tags": [1, None, "b&c=d/e", False]}
    target = request_target(CALL, arguments)
    assert target.endswith("/versions/1?q=%7B%22a%22%3A%20%5Btrue%2C%20null%5D%7D&tag=1&tag=b%26c%3Dd%2Fe&tag=false")
    assert request_target(CALL, {"document_id": "a", "number": 1}) == "/api/v1/documents/a/versions/1"


def test_a_body_is_an_object_of_what_was_given_or_one_argument() -> None:
    call = HttpCall(method="POST", path="/", body={"a": "b", "c": "d"})
    assert request_body(call, {"a": 1, "other": 2}) == b'{"b":1}'
    assert request_body(call, {}) == b"{}"
    assert request_body(HttpCall(method="POST", path="/", whole_body="body"), {"body": [1]}) == b"[1]"
    assert request_body(HttpCall(method="POST", path="/"), {"a": 1}) is None


def test_what_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ToolCallError, match="cannot be sent"):
        request_body(HttpCall(method="POST", path="/", body={"a": "a"}), {"a": "\ud800"})
