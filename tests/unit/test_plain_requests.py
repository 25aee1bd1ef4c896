"""What is taken for one plain request is one to the parser too, with the same path and the same end."""

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.http.plain_requests import plain_path

PLAIN = b"POST /api/threads HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


class Seen:
    """What the parser makes of bytes."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.ended = 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_message_complete(self) -> None:
        self.ended += 1


PIECES = st.sampled_from(
    [
        *(
            b"GET ",
            b"POST ",
            b"/api",
            b"/a%41",
            b"?q=1",
            b" HTTP/1.1",
            b" HTTP/1.0",
            b"\r\n",
            b"\n",
            b"\r\n\r\n",
            b"\r",
        ),
        *(
            b"Host: x\r\n",
            b"Content-Length: 2\r\n",
            b"content-length:3\r\n",
            b"Content-Length: +2\r\n",
            b"{}",
            b"X: \t\r\n",
        ),
        *(b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b" folded\r\n", b"X : y\r\n", b"\x00", b"\xff"),
    ]
)
REQUESTS = st.builds(
    lambda method, path, fields, body: method + path + b" HTTP/1.1\r\n" + b"".join(fields) + b"\r\n" + body,
    st.sampled_from([b"GET ", b"POST ", b"PATCH "]),
    st.sampled_from([b"/api/threads", b"/", b"/a?b=/c", b"//x", b"/a%2Fb", b"*"]),
    st.lists(PIECES, max_size=4),
    st.sampled_from([b"", b"{}", b"{} ", b"GET / HTTP/1.1\r\n\r\n"]),
)


@given(REQUESTS | st.lists(PIECES, max_size=8).map(b"".join) | st.binary())
@example(PLAIN)
@example(PLAIN + b"{")
@example(PLAIN[:-1])
@example(PLAIN.replace(b"Host: x", b"Content-Length: 2"))
def test_the_parser_agrees(data: bytes) -> None:
    path = plain_path(data)
    if path is None:
        return
    seen = Seen(data)
    assert seen.ended == 1
    assert httptools.parse_url(seen.url).path.decode() == path
    assert seen.parser.should_keep_alive()


@pytest.mark.parametrize(
    "odd",
    [
        PLAIN[:-1],
        PLAIN + PLAIN,
        PLAIN.replace(b"1.1", b"1.0"),
        PLAIN.replace(b"Host: x", b"Expect: 100-continue"),
        PLAIN.replace(b"Host: x", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"Host: x", b"connection: close"),
        PLAIN.replace(b"POST", b"HEAD"),
        PLAIN.replace(b"api", b"%61pi"),
    ],
)
def test_what_is_odd_is_left_to_the_parser(odd: bytes) -> None:
    assert plain_path(odd) is None


def test_a_plain_one_is_known() -> None:
    assert plain_path(PLAIN) == "/api/threads"
    assert plain_path(b"GET /api/threads?limit=5 HTTP/1.1\r\nHost: x\r\n\r\n") == "/api/threads"
