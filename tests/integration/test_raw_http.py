"""What no well-behaved client sends: broken heads, bodies that never come, slow dribblers. Others keep being served."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from frontdesk.http.server import HEAD_SECONDS
from harness.callers import MEMBERS, Caller, founder
from harness.identities import settings_for
from harness.served import served

DRIBBLERS = 200


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def assert_problem(self, status: int, code: str) -> None:
        assert (self.status, self.headers["content-type"]) == (status, "application/problem+json"), self
        problem = json.loads(self.body)
        assert problem.keys() >= MEMBERS
        assert (problem["status"], problem["code"]) == (status, code)


@dataclass(frozen=True)
class Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self, *, seconds: float = 20) -> Answer:
        """The next response; its body has a length."""
        async with asyncio.timeout(seconds):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *fields = head.decode("latin-1").split("\r\n")
            named = (field.partition(":") for field in fields if field)
            headers = {name.lower(): value.strip() for name, _, value in named}
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(status.split()[1]), headers, body)

    async def ended(self, *, seconds: float = 30) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@pytest.fixture(scope="module")
async def owner(module_database_url: str) -> AsyncIterator[Caller]:
    async with served(settings_for(module_database_url)) as client:
        yield await founder(client)


@pytest.fixture(autouse=True)
async def others_are_served(owner: Caller) -> AsyncIterator[None]:
    yield
    assert (await owner.send("POST", "/threads", json={"title": "still here"})).status_code == 201


@asynccontextmanager
async def wire(owner: Caller, *first: bytes) -> AsyncIterator[Wire]:
    url = owner.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(b"".join(first))
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def head(owner: Caller, start: str, *fields: str, token: bool = True) -> bytes:
    authorization = [f"Authorization: {owner.headers['Authorization']}"] if token else []
    return "\r\n".join([start, "Host: x", *authorization, *fields, "", ""]).encode("latin-1")


LARGE = ["Content-Type: application/json", "Content-Length: 10737418240"]
PIECE = b"10000\r\n" + b" " * 65536 + b"\r\n"
CHUNKED = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
POSTS = ["/api/threads", "/api/auth/login", "/api/auth/refresh", "/api/auth/register", "/api/auth/logout"]
NOBODY = "01900000-0000-7000-8000-000000000000"
POSTS += [f"/api/threads/{NOBODY}/{rest}" for rest in ("messages", "messages/stream", f"messages/{NOBODY}/regenerate")]
POSTS += [f"/api/threads/{NOBODY}/{rest}" for rest in (f"messages/{NOBODY}/feedback", f"executions/{NOBODY}/cancel")]


@pytest.mark.parametrize("path", POSTS)
async def test_a_body_that_is_too_large_is_refused_before_it_is_sent(owner: Caller, path: str) -> None:
    async with wire(owner, head(owner, f"POST {path} HTTP/1.1", "Idempotency-Key: k", *LARGE)) as open_wire:
        answer = await open_wire.answer()
        answer.assert_problem(413, "body_too_large")
        assert answer.headers["connection"] == "close"
    if "/auth/" not in path:
        async with wire(owner, head(owner, f"POST {path} HTTP/1.1", *LARGE, token=False)) as open_wire:
            (await open_wire.answer()).assert_problem(401, "unauthenticated")


@pytest.mark.parametrize("path", POSTS)
async def test_a_body_without_a_length_is_read_to_the_bound_only(owner: Caller, path: str) -> None:
    async with wire(owner, head(owner, f"POST {path} HTTP/1.1", "Idempotency-Key: k", *CHUNKED)) as open_wire:
        sending = asyncio.create_task(_send_without_end(open_wire))
        try:
            (await open_wire.answer()).assert_problem(413, "body_too_large")
        finally:
            sending.cancel()
            await asyncio.wait([sending])


async def test_who_sends_a_whole_body_that_is_too_large_still_reads_the_refusal(owner: Caller) -> None:
    """As a plain client does it: the answer is looked for when all is sent."""
    for fields, body in (
        (["Content-Type: application/json", "Content-Length: 8000000"], b" " * 8_000_000),
        (CHUNKED, PIECE * 120 + b"0\r\n\r\n"),
    ):
        async with wire(owner, head(owner, "POST /api/threads HTTP/1.1", *fields)) as open_wire:
            for start in range(0, len(body), 100_000):
                open_wire.writer.write(body[start : start + 100_000])
                await open_wire.writer.drain()
            (await open_wire.answer()).assert_problem(413, "body_too_large")
            assert await open_wire.ended() == b""


async def _send_without_end(open_wire: Wire) -> None:
    with suppress(ConnectionError):
        while True:
            open_wire.writer.write(PIECE)
            await open_wire.writer.drain()


async def test_lengths_that_are_none(owner: Caller) -> None:
    start = "POST /api/threads HTTP/1.1"
    for length in ("-1", "x", "1e3", "1, 2", "9" * 400, "0x10", "+5", "\uff11".encode().decode("latin-1")):
        fields = ["Content-Type: application/json", f"Content-Length: {length}"]
        async with wire(owner, head(owner, start, *fields), b"{}") as open_wire:
            answer = await open_wire.answer()
            assert answer.status in {400, 413}, (length, answer)
            answer.assert_problem(answer.status, "bad_request" if answer.status == 400 else "body_too_large")


BROKEN_HEADS = [
    b"nonsense\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"GET /api/threads\r\n\r\n",
    b"GET /api/threads HTTP/9.9\r\n\r\n",
    b"FROB /api/threads HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/threads HTTP/1.1\r\nHo st: x\r\n\r\n",
    b"GET /api/threads HTTP/1.1\r\n: x\r\n\r\n",
    b"GET /api/threads HTTP/1.1\r\nX: a\x00b\r\n\r\n",
    b"GET /api/threads HTTP/1.1\r\nX: a\rb\r\n\r\n",
    b"GET /api/threads HTTP/1.1\r\n X: folded first\r\n\r\n",
    b"POST /api/threads HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /api/threads HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"POST /api/threads HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


async def test_heads_that_are_none(owner: Caller) -> None:
    for sent in BROKEN_HEADS:
        async with wire(owner, sent) as open_wire:
            answer = await open_wire.answer()
            assert answer.status in {400, 401, 404, 405}, (sent, answer)
            assert answer.headers["content-type"] == "application/problem+json", (sent, answer)
            assert json.loads(answer.body).keys() >= MEMBERS, sent


async def test_targets_that_are_odd(owner: Caller) -> None:
    for target in ("*", "//", "//evil.example/api/threads", "http://evil.example/", "/api/../api/nowhere", "/?", "/#"):
        async with wire(owner, head(owner, f"GET {target} HTTP/1.1")) as open_wire:
            answer = await open_wire.answer()
            answer.assert_problem(answer.status, "not_found" if answer.status == 404 else "bad_request")
            assert "location" not in answer.headers


async def test_a_broken_chunk_and_a_body_that_ends_early(owner: Caller) -> None:
    async with wire(owner, head(owner, "POST /api/threads HTTP/1.1", *CHUNKED), b"zz\r\n") as open_wire:
        (await open_wire.answer()).assert_problem(400, "bad_request")
    start = head(owner, "POST /api/threads HTTP/1.1", "Content-Type: application/json", "Content-Length: 50")
    async with wire(owner, start, b"{") as open_wire:
        open_wire.writer.write_eof()
        await open_wire.ended()


async def test_heads_without_end_are_refused(owner: Caller) -> None:
    many = b"".join(b"X-%d: x\r\n" % number for number in range(100_000))
    for sent in (b"GET /" + b"a" * 500_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 500_000, b"GET / HTTP/1.1\r\n" + many):
        async with wire(owner, sent) as open_wire:
            told = await open_wire.ended()
            assert told == b"" or told.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")), told[:100]


async def test_many_fields_in_a_head_that_fits(owner: Caller) -> None:
    fields = [f"X-{number}: {number}" for number in range(3000)]
    async with wire(owner, head(owner, "GET /api/threads HTTP/1.1", *fields)) as open_wire:
        assert (await open_wire.answer()).status == 200


async def test_requests_in_one_write_are_answered_in_order(owner: Caller) -> None:
    start = head(owner, "GET /api/threads HTTP/1.1")
    async with wire(owner, start, head(owner, "GET /api/nowhere HTTP/1.1"), start) as open_wire:
        assert [(await open_wire.answer()).status for _ in range(3)] == [200, 404, 200]


async def test_what_is_no_request_does_not_break_into_an_earlier_answer(owner: Caller) -> None:
    start = head(owner, "GET /api/threads HTTP/1.1")
    async with wire(owner, start, head(owner, "GET /api/nowhere HTTP/1.1"), b"\x00 nonsense\r\n\r\n") as open_wire:
        assert [(await open_wire.answer()).status for _ in range(2)] == [200, 404]
        assert await open_wire.ended() == b""


async def test_a_body_after_a_refusal_is_not_taken_for_a_request(owner: Caller) -> None:
    """The body of a request that was refused unread holds a request of its own."""
    smuggled = head(owner, "POST /api/threads HTTP/1.1", "Content-Type: application/json", "Content-Length: 2") + b"{}"
    before = (await owner.made("GET", "/threads"))["total"]
    fields = ["Content-Type: application/json", f"Content-Length: {len(smuggled)}"]
    async with wire(owner, head(owner, "POST /api/threads HTTP/1.1", *fields, token=False), smuggled) as open_wire:
        (await open_wire.answer()).assert_problem(401, "unauthenticated")
    assert (await owner.made("GET", "/threads"))["total"] == before


async def test_200_slow_dribblers_hold_nobody_up(owner: Caller) -> None:
    """Half of them are slow with their heads, half with their bodies; deep JSON comes in between."""
    slow_body = head(owner, "POST /api/threads HTTP/1.1", "Content-Type: application/json", "Content-Length: 100000")
    deep = b'{"metadata":' + b'{"a":' * 100_000
    async with AsyncExitStack() as stack:
        wires = [
            await stack.enter_async_context(wire(owner, slow_body if number % 2 else b"GET /api/thr"))
            for number in range(DRIBBLERS)
        ]
        for round_number in range(5):
            for open_wire in wires:
                open_wire.writer.write(b" ")
            answers = await asyncio.gather(
                *(owner.send("GET", "/threads") for _ in range(10)),
                owner.send("POST", "/threads", content=deep, headers={"Content-Type": "application/json"}),
                owner.client.get(f"http://{owner.client.base_url.netloc.decode()}/health"),
            )
            assert [answer.status_code for answer in answers] == [200] * 10 + [400, 200], round_number


async def test_wide_json_holds_nobody_up(owner: Caller) -> None:
    """Each as large as a body may be, and all containers."""
    wide = b'{"metadata":{"a":[' + b"[]," * 340_000 + b"1]}}"
    sending = [
        owner.send("POST", "/threads", content=wide, headers={"Content-Type": "application/json"}, timeout=60)
        for _ in range(4)
    ]
    answers = await asyncio.gather(*sending, owner.send("GET", "/threads"))
    assert [answer.status_code for answer in answers] == [400] * 4 + [200]


@asynccontextmanager
async def impatient(url: str) -> AsyncIterator[Caller]:
    async with served(settings_for(url, body_timeout_seconds=0.5)) as client:
        yield await founder(client)


async def _dribble(open_wire: Wire, piece: bytes) -> None:
    with suppress(ConnectionError):
        while True:
            open_wire.writer.write(piece)
            await open_wire.writer.drain()
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("length", "piece"),
    [("Content-Length: 90000", b""), ("Content-Length: 90000", b" "), ("Transfer-Encoding: chunked", b"1\r\n \r\n")],
)
async def test_a_body_that_does_not_come_in_time_is_given_up(sqlite_url: str, length: str, piece: bytes) -> None:
    async with (
        impatient(sqlite_url) as owner,
        wire(owner, head(owner, "POST /api/threads HTTP/1.1", length)) as open_wire,
    ):
        dribbling = asyncio.create_task(_dribble(open_wire, piece))
        try:
            answer = await open_wire.answer()
            answer.assert_problem(408, "body_timeout")
            assert answer.headers["connection"] == "close"
            assert await open_wire.ended() == b""
        finally:
            dribbling.cancel()
            await asyncio.wait([dribbling])


async def test_a_body_that_nobody_reads_does_not_hold_the_connection(owner: Caller) -> None:
    start = head(owner, "POST /api/threads HTTP/1.1", "Content-Length: 100000", token=False)
    async with wire(owner, start) as open_wire:
        (await open_wire.answer()).assert_problem(401, "unauthenticated")
        dribbling = asyncio.create_task(_dribble(open_wire, b" "))
        try:
            assert await open_wire.ended(seconds=3 * HEAD_SECONDS) == b""
        finally:
            dribbling.cancel()
            await asyncio.wait([dribbling])
