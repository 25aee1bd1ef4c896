"""Tools over HTTP against a back end that keeps every byte it is sent."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.http import HttpToolSource
from frontdesk.agents.tools.catalogue_file import parse_tools_file
from frontdesk.errors import ConfigurationError
from frontdesk.ports.tool_source import CallContext, ForwardingToolSource, ToolCallError
from harness.back_end_stub import PIECE
from harness.tool_sources import BackEndStub, until

MAX_BYTES = 65_536
PATHS = ["hang", "half", "cut", "drop", "garbage", "redirect", "binary", "wrong-charset", "gzip", "headers"]
FILE = """
defaults: {timeout_seconds: 2}
tools:
  - {name: large, description: d, parameters: &number {type: object, properties: {number: {}}, required: [number]},
     http: {method: GET, path: "/large/{number}", stream: true}, timeout_seconds: 30}
  - {name: segment, description: d, parameters: {type: object, properties: {id: {type: string}, q: {}}, required: [id]},
     http: {method: GET, path: "/echo/{id}/end", query: [q]}}
  - {name: status, description: d, parameters: *number,
     http: {method: POST, path: "/status/{number}"}}
  - {name: put, description: d, parameters: {type: object}, http: {method: PUT, path: /drop}}
  - {name: mine, description: d, parameters: {type: object}, client: true}
""" + "\n".join(
    f"  - {{name: {path}, description: d, parameters: {{type: object}}, http: {{method: POST, path: /{path}}}}}"
    for path in PATHS
)


@pytest.fixture
async def source(back_end_stub: BackEndStub) -> AsyncIterator[HttpToolSource]:
    source = made(back_end_stub.url)
    yield source
    await source.aclose()


def made(base_url: str | None) -> HttpToolSource:
    file = parse_tools_file(FILE, name="tools.yaml")
    return HttpToolSource(file.tools, BackEnd(base_url), max_response_bytes=MAX_BYTES)


def context(**more: Any) -> CallContext:
    return CallContext(**({"idempotency_key": str(uuid4())} | more))


async def test_only_the_given_headers_and_ours_go_out(source: HttpToolSource, back_end_stub: BackEndStub) -> None:
    headers = {
        "authorization": "Bearer canary",
        "cookie": "session_id=1",
        "traceparent": "00-1",
        "Host": "evil.example",
        "connection": "x",
        "transfer-encoding": "chunked",
        "content-length": "9",
        "content-type": "text/evil",
        "idempotency-key": "another",
        "x-agent-session-id": "another",
    }
    asked = context(session_id="s-1", headers=headers)
    output = await source.call("segment", {"id": "a", "q": "b"}, asked)
    (request,) = await back_end_stub.requests(asked.idempotency_key)
    assert sorted(request["headers"]) == sorted(
        [
            ["host", back_end_stub.url.removeprefix("http://")],
            ["authorization", "Bearer canary"],
            ["cookie", "session_id=1"],
            ["traceparent", "00-1"],
            ["accept", "application/json, text/*;q=0.9, */*;q=0.1"],
            ["idempotency-key", asked.idempotency_key],
            ["x-agent-session-id", "s-1"],
        ]
    )
    assert json.loads(output.content)["line"] == "GET /echo/a/end?q=b HTTP/1.1"
    assert output.status == 200


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\x00b", "a\ud800"])
async def test_no_header_can_be_two(source: HttpToolSource, back_end_stub: BackEndStub, value: str) -> None:
    for asked in (
        context(headers={"accept-language": value}),
        context(session_id=value),
        context(headers={value: "1"}),
    ):
        with pytest.raises(ToolCallError) as caught:
            await source.call("segment", {"id": "a"}, asked)
        assert caught.value.kind == "invalid_arguments"
        assert await back_end_stub.requests(asked.idempotency_key) == []


async def test_no_argument_reaches_another_path_or_host(source: HttpToolSource, back_end_stub: BackEndStub) -> None:
    texts = st.one_of(st.text(), st.text(alphabet="./\\%2fFeE5cC;?#@: \r\nab\uff0e\uff0f"))
    asked = context()
    loop = asyncio.get_running_loop()
    sent = 0

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(texts, texts)
    def attack(segment: str, query: str) -> None:
        nonlocal sent
        call = source.call("segment", {"id": segment, "q": query}, asked)
        try:
            asyncio.run_coroutine_threadsafe(call, loop).result(20)
            sent += 1
        except ToolCallError as error:
            assert (error.kind, error.was_made) == ("invalid_arguments", False)  # noqa: PT017  the rest are no error

    await asyncio.to_thread(attack)
    requests = await back_end_stub.requests(asked.idempotency_key)
    assert len(requests) == sent > 50
    for request in requests:
        method, target, version = request["line"].split(" ")
        assert (method, version) == ("GET", "HTTP/1.1")
        empty, echo, segment, end = target.partition("?")[0].split("/")
        assert (empty, echo, end) == ("", "echo", "end")
        assert segment not in {"", ".", ".."}
        assert len(request["headers"]) == 3, request["headers"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("hang", "backend_timeout"),
        ("half", "backend_timeout"),
        ("cut", "backend_unreachable"),
        ("drop", "backend_unreachable"),
        ("garbage", "backend_bad_response"),
        ("redirect", "backend_bad_response"),
        ("binary", "backend_bad_response"),
        ("wrong-charset", "backend_bad_response"),
        ("gzip", "backend_bad_response"),
    ],
)
async def test_a_back_end_that_misbehaves(
    source: HttpToolSource, back_end_stub: BackEndStub, name: str, kind: str
) -> None:
    asked = context()
    with pytest.raises(ToolCallError) as caught:
        await source.call(name, {}, asked)
    assert (caught.value.kind, caught.value.was_made) == (kind, True)
    assert len(await back_end_stub.requests(asked.idempotency_key)) == 1, (
        "a redirect is not followed, nothing is repeated"
    )


async def test_a_put_whose_connection_breaks_is_sent_once(source: HttpToolSource, back_end_stub: BackEndStub) -> None:
    await source.call("segment", {"id": "a"}, context())  # leaves a kept connection, on which aiohttp would repeat it
    asked = context()
    with pytest.raises(ToolCallError):
        await source.call("put", {}, asked)
    assert len(await back_end_stub.requests(asked.idempotency_key)) == 1


@pytest.mark.parametrize(("status", "is_error"), [(200, False), (204, False), (404, True), (422, True), (503, True)])
async def test_a_status_is_told(source: HttpToolSource, status: int, is_error: bool) -> None:  # noqa: FBT001
    output = await source.call("status", {"number": status}, context())
    assert (output.status, output.is_error) == (status, is_error)


async def test_connections_are_kept(source: HttpToolSource, back_end_stub: BackEndStub) -> None:
    asked = context()
    for _ in range(3):
        await source.call("segment", {"id": "a"}, asked)
    assert len({request["connection"] for request in await back_end_stub.requests(asked.idempotency_key)}) == 1


async def test_a_back_end_that_is_not_there_has_certainly_not_been_called() -> None:
    source = made("http://127.0.0.1:9")
    with pytest.raises(ToolCallError) as caught:
        await source.call("segment", {"id": "a"}, context())
    assert (caught.value.kind, caught.value.was_made) == ("backend_unreachable", False)
    await source.aclose()


async def test_without_an_address_nothing_is_called() -> None:
    source = made(None)
    with pytest.raises(ToolCallError) as caught:
        await source.call("segment", {"id": "a"}, context())
    assert (caught.value.kind, caught.value.was_made) == ("backend_not_configured", False)
    assert source.status().problem == "API_BASE_URL is not set"


async def test_a_tool_of_the_client_is_described_and_not_called(source: HttpToolSource) -> None:
    mine = next(tool for tool in source.tools() if tool.name == "mine")
    assert (mine.runs_at, mine.route) == ("client", None)
    with pytest.raises(ToolCallError, match="no tool"):
        await source.call("mine", {}, context())


@pytest.mark.parametrize(
    "url", ["", "api.example.com", "ftp://a", "http://", "http://u:p@a", "http://a/?q", "http://a/#f", "http://a b"]
)
def test_an_address_that_is_none_stops_the_start_up(url: str) -> None:
    with pytest.raises(ConfigurationError, match="API_BASE_URL"):
        BackEnd(url)


async def test_the_address_may_have_a_path(back_end_stub: BackEndStub) -> None:
    source = made(f"{back_end_stub.url}/behind/a/proxy/")
    output = await source.call("segment", {"id": "a"}, context())
    assert json.loads(output.content)["line"] == "GET /behind/a/proxy/echo/a/end HTTP/1.1"
    await source.aclose()


async def test_forwarding_hands_on_the_answer_without_what_belongs_to_the_hop(source: HttpToolSource) -> None:
    assert isinstance(source, ForwardingToolSource)
    async with source.forward("headers", {}, context()) as forwarded:
        assert forwarded.status == 201
        assert dict(forwarded.headers) == {"content-length": "4", "content-type": "text/plain", "x-kept": "2"}
        assert b"".join([piece async for piece in forwarded.body()]) == b"made"


async def test_forwarding_refuses_no_status_and_no_content(source: HttpToolSource) -> None:
    for name, status, body in (("binary", 200, b"\x89PNG\x00"), ("gzip", 200, b"\x1f\x8b"), ("redirect", 302, b"")):
        async with source.forward(name, {}, context()) as forwarded:
            assert forwarded.status == status
            assert b"".join([piece async for piece in forwarded.body()]) == body


async def test_a_large_answer_is_forwarded_no_faster_than_it_is_read(
    source: HttpToolSource, back_end_stub: BackEndStub
) -> None:
    size = 50_000_000
    asked = context()
    async with source.forward("large", {"number": size}, asked) as forwarded:
        body = forwarded.body()
        received = len(await anext(body))
        sent = [-1, 0]
        while sent[-1] != sent[-2]:  # until the back end can send no more
            await asyncio.sleep(0.2)
            sent.append((await back_end_stub.requests(asked.idempotency_key))[0]["sent"])
        assert sent[-1] < size / 4, "the sockets' buffers hold a few megabytes"
        largest = received
        async for piece in body:
            received += len(piece)
            largest = max(largest, len(piece))
        assert received == size
        assert largest <= 8 * len(PIECE)


async def test_leaving_a_forwarded_answer_ends_it(source: HttpToolSource, back_end_stub: BackEndStub) -> None:
    async with source.forward("large", {"number": 50_000_000}, context()) as forwarded:
        await anext(forwarded.body())
    assert (await source.call("segment", {"id": "a"}, context())).status == 200
    assert back_end_stub.url


@pytest.mark.parametrize(("name", "kind"), [("half", "backend_timeout"), ("cut", "backend_unreachable")])
async def test_a_forwarded_answer_that_breaks_off_says_so(source: HttpToolSource, name: str, kind: str) -> None:
    async with source.forward(name, {}, context()) as forwarded:
        body = forwarded.body()
        assert await anext(body) == b"half"
        with pytest.raises(ToolCallError) as caught:
            await anext(body)
        assert caught.value.kind == kind


async def test_proxies_of_the_environment_are_not_used(source: HttpToolSource, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert (await source.call("segment", {"id": "a"}, context())).status == 200
    await until(lambda: source.status().problem is None)
