"""Tools that a session's holder uses: what reaches the back end, what comes back, and what is written down of it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdesk.kit.ids import new_id
from harness.callers import assert_problem, founder
from harness.identities import settings_for
from harness.sessions import FUNCTIONS, SessionCaller, is_called, read_until, session_gateway, write_tools
from harness.sse_client import open_sse
from harness.tool_sources import BackEndStub

MAX_BYTES = 200_000


@dataclass(frozen=True)
class Place:
    visitor: SessionCaller
    user: SessionCaller
    stub: BackEndStub


@pytest.fixture(scope="module")
async def place(
    module_database_url: str, back_end_stub: BackEndStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    chosen = settings_for(
        module_database_url,
        sessions_allow_anonymous="true",
        session_poll_seconds=30,
        api_base_url=back_end_stub.url,
        tools_file=write_tools(tmp_path_factory.mktemp("tools"), FUNCTIONS),
        tool_max_response_bytes=MAX_BYTES,
    )
    async with session_gateway(chosen) as visitor:
        account = await founder(visitor.client)
        yield Place(visitor, SessionCaller(visitor.client, visitor.root, account.headers), back_end_stub)


async def test_the_catalogue_is_listed_without_what_clients_do(place: Place) -> None:
    listed = {tool["name"]: tool for tool in (await place.visitor.ask("GET", "/agent/tools")).json()["tools"]}
    assert {"echo", "item", "flood", "say"} <= listed.keys()
    assert "pick_colour" not in listed
    assert {name: listed["item"][name] for name in ("method", "path", "streaming")} == {
        "method": "GET",
        "path": "/items/{id}/parts",
        "streaming": False,
    }
    assert listed["item"]["input_schema"]["required"] == ["id"]
    assert listed["flood"]["streaming"] is True
    assert (listed["say"]["method"], listed["say"]["path"]) == (None, None)


CANARIES = {
    "X-Canary": "canary-1",
    "X-Forwarded-For": "10.0.0.1",
    "Forwarded": "for=10.0.0.1",
    "Origin": "https://canary.example",
    "Referer": "https://canary.example/",
    "User-Agent": "canary-2",
    "X-Api-Key": "canary-3",
    "Proxy-Authorization": "Basic canary",
    "X-Request-Id": "canary-4",
    "If-None-Match": '"canary"',
    "Range": "bytes=0-1",
    "Accept-Encoding": "gzip, canary",
    "Idempotency-Key": "canary-5",
    "TE": "trailers",
    "X-HTTP-Method-Override": "DELETE",
    "Cookie": "session_id=keep1; other=canary; CF_Authorization=keep2; SESSION_ID=canary; session_id2=canary",
}
PASSED = {"Accept": "application/x-kept", "Accept-Language": "de", "traceparent": "00-4bf92f3577b34da6-01"}


async def test_only_what_is_listed_goes_along(place: Place) -> None:
    session_id = await place.user.session()
    answered = await place.user.invoke(session_id, "echo", json={"text": "x"}, headers=CANARIES | PASSED)
    assert answered.status_code == 200, answered.text
    (sent,) = await place.stub.of_session(session_id)
    found = {name.lower(): value for name, value in sent["headers"]}
    assert "canary" not in json.dumps(sent).lower()
    assert found["cookie"] == "session_id=keep1; CF_Authorization=keep2"
    assert found["authorization"] == place.user.headers["Authorization"]
    assert found.keys() == {
        "host",
        "accept",
        "accept-language",
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "idempotency-key",
        "traceparent",
        "x-agent-session-id",
    }
    for name, value in PASSED.items():
        assert found[name.lower()] == value


async def test_each_header_alone_goes_along_only_when_it_is_listed(place: Place) -> None:
    for name, value in CANARIES.items():
        session_id = await place.visitor.session()
        assert (await place.visitor.invoke(session_id, "echo", json={}, headers={name: value})).status_code == 200, name
        (sent,) = await place.stub.of_session(session_id)
        assert "canary" not in json.dumps(sent["headers"]), name
        assert "10.0.0.1" not in json.dumps(sent["headers"]), name


async def test_the_back_ends_answer_comes_back_without_what_is_the_hops(place: Place) -> None:
    answered = await place.user.invoke(await place.user.session(), "heads", json={})
    assert (answered.status_code, answered.text, answered.headers["x-kept"]) == (201, "made", "2")
    for name in ("set-cookie", "x-hop", "keep-alive"):
        assert name not in answered.headers, name
    for number in (400, 404, 409, 500, 503):
        answered = await place.user.invoke(await place.user.session(), "status", json={"number": number})
        assert (answered.status_code, answered.json()) == (number, {"status": number})


@pytest.mark.parametrize(
    "body",
    [
        {"arguments": {"text": "x", "tags": ["a"]}},
        {"text": "x", "tags": ["a"]},
        {"arguments": {"text": "x", "tags": ["a"]}, "session_id": "IT"},
        {"text": "x", "tags": ["a"], "session_id": "IT"},
    ],
)
async def test_arguments_come_bare_or_wrapped_and_the_session_beside_them(place: Place, body: dict[str, Any]) -> None:
    session_id = await place.user.session()
    in_body = "session_id" in body
    asked = body | ({"session_id": session_id} if in_body else {})
    answered = await place.user.invoke(None if in_body else session_id, "echo", json=asked)
    assert answered.status_code == 200, answered.text
    (sent,) = await place.stub.of_session(session_id)
    assert json.loads(sent["body"]) == {"text": "x", "tags": ["a"]}


async def test_no_body_is_no_arguments(place: Place) -> None:
    answered = await place.user.invoke(await place.user.session(), "heads")
    assert answered.status_code == 201


async def test_what_cannot_be_called_is_refused_and_nothing_reaches_the_back_end(place: Place) -> None:
    session_id = await place.user.session()
    other = await place.user.session()
    refusals: list[tuple[str | None, str, dict[str, Any], int, str]] = [
        (session_id, "no_such_tool", {}, 404, "unknown_tool"),
        (session_id, "pick_colour", {}, 409, "client_tool"),
        (None, "echo", {}, 400, "session_required"),
        (None, "echo", {"session_id": 7}, 400, "session_required"),
        (new_id(), "echo", {}, 404, "not_found"),
        ("", "echo", {}, 400, "session_required"),
        (session_id, "echo", {"session_id": other}, 400, "bad_request"),
        (session_id, "item", {}, 422, "bad_arguments"),
        (session_id, "echo", {"arguments": {"tags": ["a", 3]}}, 422, "bad_arguments"),
        (session_id, "echo", {"unknown": 1}, 422, "bad_arguments"),
        (session_id, "item", {"id": "../secret"}, 422, "bad_arguments"),
    ]
    for named, tool, body, status, code in refusals:
        assert_problem(await place.user.invoke(named, tool, json=body), status, code)
    wrong = await place.user.invoke(session_id, "echo", json={"arguments": {"tags": ["a", 3]}})
    assert wrong.json()["errors"][0]["loc"] == ["body", "arguments", "tags", "1"]
    assert_problem(await place.user.invoke(session_id, "echo", json=[1]), 422, "validation_error")
    assert_problem(await place.user.invoke(session_id, "echo", content=b"x"), 422, "validation_error")
    assert await place.stub.lines(session_id) == []
    assert await place.stub.lines(other) == []


@pytest.mark.parametrize(
    ("tool", "arguments", "status", "code"),
    [
        ("redirect", {}, 502, "backend_bad_response"),
        ("drop", {}, 502, "backend_unreachable"),
        ("garbage", {}, 502, "backend_bad_response"),
        ("hang", {}, 504, "backend_timeout"),
        ("half", {}, 504, "backend_timeout"),
        ("hang_here", {}, 504, "backend_timeout"),
        ("large", {"number": MAX_BYTES + 1}, 502, "backend_response_too_large"),
    ],
)
async def test_a_back_end_that_fails_is_told_of(
    place: Place, tool: str, arguments: dict[str, Any], status: int, code: str
) -> None:
    session_id = await place.user.session()
    async with place.user.feed(session_id) as feed:
        await read_until(feed, lambda event: event.type == "snapshot")
        if tool == "half":  # its head has left before its silence
            with pytest.raises(httpx.RemoteProtocolError):
                await place.user.invoke(session_id, tool, json=arguments)
        else:
            assert_problem(await place.user.invoke(session_id, tool, json=arguments), status, code)
        *_, (_, told, _) = await read_until(feed, lambda event: is_called(event, state="failed"))
        assert (told["tool"], told["error"]["code"]) == (tool, code)


async def test_a_back_end_that_is_away_or_not_configured_is_told_of(sqlite_url: str, tmp_path: Path) -> None:
    for address, status, code in (
        (None, 503, "backend_not_configured"),
        ("http://127.0.0.1:9", 502, "backend_unreachable"),
    ):
        chosen = settings_for(
            sqlite_url, sessions_allow_anonymous="true", api_base_url=address, tools_file=write_tools(tmp_path)
        )
        async with session_gateway(chosen) as visitor:
            assert_problem(await visitor.invoke(await visitor.session(), "echo", json={}), status, code)


async def test_a_tool_that_is_no_request_answers_with_its_result(place: Place) -> None:
    session_id = await place.user.session()
    said = await place.user.invoke(session_id, "say", json={"text": "hello"})
    assert (said.status_code, said.json()) == (200, {"result": "hello", "is_error": False})
    assert_problem(await place.user.invoke(session_id, "fail", json={}), 502, "tool_failed")


async def test_what_fits_passes_whole_and_what_does_not_breaks_off(place: Place) -> None:
    session_id = await place.user.session()
    for tool in ("large", "flood"):
        answered = await place.user.invoke(session_id, tool, json={"number": MAX_BYTES})
        assert len(answered.content) == MAX_BYTES
    body = json.dumps({"number": 5_000_000}).encode()
    headers = {**place.user.headers, "Content-Type": "application/json", "X-Agent-Session-Id": session_id}
    url = f"{place.user.root}/agent/tools/flood/invoke"
    async with open_sse(url, method="POST", headers=headers, body=body) as stream:
        assert stream.status == 200
        with pytest.raises(ConnectionError):
            await stream.read_all(seconds=10)
        assert len(stream.body) <= MAX_BYTES


async def test_each_call_is_recorded_and_shown(place: Place) -> None:
    session_id = await place.user.session()
    long = "y" * 50_000
    async with place.user.feed(session_id) as feed:
        await place.user.invoke(session_id, "status", json={"number": 418})
        await place.user.invoke(session_id, "echo", json={"text": long})
        shown = [one for one in await read_until(feed, is_called) if one[0] == "tool"]
    assert [(one["tool"], one["state"]) for _, one, _ in shown] == [
        ("status", "started"),
        ("status", "failed"),
        ("echo", "started"),
        ("echo", "completed"),
    ]
    (_, failed, _), (_, echoed, _) = shown[1], shown[3]
    assert failed["arguments"] == {"number": 418}
    assert failed["error"] == {"status": 418, "bytes": 15, "is_whole": True, "code": "tool_failed"} | {
        "milliseconds": failed["error"]["milliseconds"]
    }
    assert echoed["is_cut"] is True
    assert len(echoed["arguments"]) < 5_000
    assert echoed["result"]["milliseconds"] > 0


async def test_one_key_is_one_call_for_the_back_end(place: Place) -> None:
    first, second = await place.user.session(), await place.user.session()
    for session_id in (first, first, second):
        await place.user.invoke(session_id, "echo", json={}, headers={"Idempotency-Key": "k"})
    await place.user.invoke(first, "echo", json={})
    keys = [dict(one["headers"])["idempotency-key"] for one in await place.stub.of_session(first)]
    (others,) = [dict(one["headers"])["idempotency-key"] for one in await place.stub.of_session(second)]
    assert keys[0] == keys[1]
    assert len({*keys, others}) == 3


TRICKS = [
    "..",
    ".",
    "%2e%2e",
    "..%2f",
    "a/b",
    "a\\b",
    "%2fetc",
    "//host",
    "http://host",
    "\u2025",
    "a\u2044b",
    "x;/..",
    " ..",
]


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_argument_leaves_its_segment(place: Place, trick: str) -> None:
    session_id = await place.user.session()
    answered = await place.user.invoke(session_id, "item", json={"id": trick})
    lines = await place.stub.lines(session_id)
    assert answered.status_code == 422 or lines
    assert all(_is_item(line) for line in lines), lines


def _is_item(line: str) -> bool:
    """Whether a request went just where the tool's template leads."""
    method, target, version = line.split(" ")
    parts = urlsplit(target)
    segments = parts.path.split("/")
    return (
        (method, version) == ("GET", "HTTP/1.1")
        and target.startswith("/items/")
        and (len(segments), segments[1], segments[3]) == (4, "items", "parts")
        and not {"/", "\\"} & set(unquote(segments[2]))
        and unquote(segments[2]).strip() not in {"", ".", ".."}
    )


odd = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="./\\%2eEfF;:@?#&= \u2025\uff0e\uff0f", max_size=12),
    st.sampled_from(TRICKS),
    st.integers(),
)


@pytest.mark.timeout(300)
async def test_2000_odd_arguments_reach_no_other_path_and_no_other_host(place: Place) -> None:
    """In lots, so that the server is asked over one connection and looked at once."""
    session_id = await place.user.session()
    cases: list[dict[str, Any]] = []

    @settings(max_examples=2_000, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.fixed_dictionaries({"id": odd}, optional={"q": odd, "extra": odd}))
    def collect(arguments: dict[str, Any]) -> None:
        cases.append(arguments)

    collect()
    assert len(cases) >= 2_000
    statuses: dict[int, int] = {}
    for arguments in cases[:2_000]:
        body = json.dumps({"arguments": arguments}).encode()
        answered = await place.user.invoke(
            session_id, "item", content=body, headers={"Content-Type": "application/json"}
        )
        statuses[answered.status_code] = statuses.get(answered.status_code, 0) + 1
    lines = await place.stub.lines(session_id)
    assert statuses.keys() <= {200, 400, 422}
    assert statuses[200] == len(lines) > 50
    assert all(_is_item(line) for line in lines)
    hosts = {dict(one["headers"])["host"] for one in await place.stub.of_session(session_id)}
    assert hosts == {urlsplit(place.stub.url).netloc}


async def test_a_caller_who_leaves_ends_the_exchange_and_it_is_settled(place: Place) -> None:
    session_id = await place.user.session()
    headers = {**place.user.headers, "Content-Type": "application/json", "X-Agent-Session-Id": session_id}
    async with place.user.feed(session_id) as feed:
        url = f"{place.user.root}/agent/tools/flood/invoke"
        body = b'{"number": 190000}'
        async with open_sse(url, method="POST", headers=headers, body=body, receive_buffer=4096) as stream:
            stream.cut()
        *_, (_, told, _) = await read_until(feed, is_called)
    assert told["result"]["status"] == 200
