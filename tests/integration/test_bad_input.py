"""Whatever is sent: the answer is a problem document, nothing changes, and the next request works."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdesk.kit.ids import new_id
from harness.callers import Caller, assert_problem, founder
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.served import served

JSON = {"Content-Type": "application/json"}
FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADER_CHARACTERS = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
HEADER_TEXT = st.text(HEADER_CHARACTERS, max_size=300).map(lambda text: text.strip(" "))


@pytest.fixture(scope="module")
async def client(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[httpx.AsyncClient]:
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        login_attempts_per_address=100_000,
        login_attempts_per_user=100_000,
    )
    async with served(chosen) as client:
        yield client


@pytest.fixture(scope="module")
async def owner(client: httpx.AsyncClient) -> Caller:
    return await founder(client)


class Place:
    """A thread with a message and its answer; `paths` are the routes that take a body, with one that is right."""

    def __init__(self, owner: Caller, sent: dict[str, Any]) -> None:
        self.owner = owner
        self.thread, self.message, self.execution = sent["thread_id"], sent["id"], sent["execution_id"]
        thread = f"/threads/{self.thread}"
        self.bodies: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/threads", {"title": "x", "summary": "x", "metadata": {}}),
            ("PATCH", thread, {"title": "x", "summary": "x", "metadata": {}, "is_deleted": False}),
            (
                "POST",
                f"{thread}/messages",
                {"text": "x", "model": "m", "metadata": {}, "sender_id": owner.id, "user_id": owner.id}
                | {"parent_id": self.message, "if_active": "queue", "attachments": []},
            ),
            ("POST", f"{thread}/messages/stream", {"text": "x", "model": "m", "metadata": {}, "if_active": "queue"}),
            ("PATCH", f"{thread}/messages/{self.message}", {"text": "x", "status": "completed"}),
            ("POST", f"{thread}/messages/{self.message}/regenerate", {"model": "m", "if_active": "queue"}),
            ("POST", f"{thread}/messages/{self.message}/feedback", {"kind": "positive", "comment": "x"}),
            ("PUT", f"/provider-threads/{self.thread}", {"provider": "x", "conversation_id": "x", "state": {}}),
            ("POST", "/auth/register", {"username": "u", "password": "p" * 8, "email": "a@b.c", "role": "user"}),
            ("POST", "/auth/login", {"username": "u", "password": "p" * 8}),
            ("POST", "/auth/refresh", {"refresh_token": "x"}),
        ]
        self.paths = [(method, path) for method, path, _ in self.bodies]

    async def state(self) -> list[Any]:
        return [
            await self.owner.made("GET", f"/threads/{self.thread}/export"),
            await self.owner.made("GET", "/threads?include_deleted=true&limit=100"),
        ]


@pytest.fixture
async def place(owner: Caller) -> AsyncIterator[Place]:
    """At the end nothing may have changed, and a good request must work."""
    thread = (await owner.made("POST", "/threads", json={"title": "as it was"}))["id"]
    place = Place(owner, await owner.answered(thread, "as it was"))
    before = await place.state()
    yield place
    assert await place.state() == before
    assert (await owner.answered(thread, "and on"))["id"]


# What is not JSON, or is JSON that nobody can hold; with the code that it must get wherever it is sent.
UNREADABLE: list[bytes] = [
    b"{",
    b'{"text":',
    b'{"text":"x"} {}',
    b"{'text': 'x'}",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b'{"text":"\xff"}',
    b'{"text":"\x00"}',
    b'{"text":"\\ud800"}',
    b'{"text":"\\udc00\\ud800"}',
    b'{"\\ud800":"x"}',
    b'{"metadata":{"\\udfff":1}}',
    b'{"text":"\\x41"}',
    b'{"metadata":{"n":1e999}}',
    b'{"metadata":{"n":-1e400}}',
    b'{"metadata":{"n":NaN}}',
    b'{"metadata":{"n":Infinity}}',
    b'{"metadata":{"n":' + b"9" * 5000 + b"}}",
    b'{"metadata":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    b'{"metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    b"[" * 100_000,
    b'{"metadata":{"a":[' + b"[]," * 100_000 + b"1]}}",
    b'{"metadata":' + b'{"a":' * 70 + b"1" + b"}" * 70 + b"}",
]


async def test_bodies_that_are_no_json_that_can_be_held(place: Place) -> None:
    for method, path in place.paths:
        for body in UNREADABLE:
            answer = await place.owner.send(method, path, content=body, headers=JSON)
            assert_problem(answer, 400, "malformed_json")


async def test_bodies_that_are_no_object(place: Place) -> None:
    for method, path in place.paths:
        for body in (b"", b"null", b"[]", b"1", b'"x"', b"true", b"[{}]", b" "):
            if "regenerate" in path and body in {b"", b"null"}:
                continue  # its body may be left out
            answer = await place.owner.send(method, path, content=body, headers=JSON)
            assert answer.status_code in {400, 422}
            assert assert_problem(answer)["code"] in {"validation_error", "malformed_json"}


async def test_other_content_types_are_not_read(place: Place) -> None:
    types = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", "json", ""]
    types += ["application/xml", "multipart/form-data; boundary=x", "application/json/x", ", application/json", ";"]
    for method, path, body in place.bodies:
        for media_type in types:
            content = json.dumps(body).encode()
            answer = await place.owner.send(method, path, content=content, headers={"Content-Type": media_type})
            assert_problem(answer, 422, "validation_error")


WRONG: list[Any] = [None, True, False, 0, -1, 1.5, 10**30, "", [], {}, ["x"], {"x": 1}, [None], "x" * 250_000]


def _is_right(path: str, name: str, value: Any, *, holder: str) -> bool:
    """Values of the list above that a field does take."""
    if value == "":
        return name in {"title", "summary", "comment", "provider", "conversation_id"} | {"refresh_token", "password"}
    if name in {"metadata", "state"}:
        return isinstance(value, dict)
    if name == "is_deleted":
        return isinstance(value, bool)
    if name == "attachments":
        return value == []
    if value is None:
        return name not in {"kind", "username", "password", "role", "refresh_token", "if_active"} and not (
            name == "text" and holder == "POST"
        )
    return False


async def test_wrong_types_for_every_field(place: Place) -> None:
    tried = 0
    for method, path, body in place.bodies:
        for name in body:
            for value in WRONG:
                if _is_right(path, name, value, holder=method):
                    continue
                answer = await place.owner.send(method, path, json={**body, name: value})
                told = f"{method} {path} {name}={str(value)[:50]}"
                expected = {422} | ({403, 404} if name in {"sender_id", "user_id", "parent_id"} else set())
                assert answer.status_code in expected, f"{told}: {answer.status_code} {answer.text[:200]}"
                problem = assert_problem(answer)
                if problem["code"] == "validation_error":
                    assert {"loc", "msg", "type"} <= problem["errors"][0].keys()
                    assert name in problem["errors"][0]["loc"], told
                tried += 1
    assert tried >= 300


async def test_nul_in_every_text(place: Place) -> None:
    for method, path, body in place.bodies:
        for name in body:
            values: list[Any] = ["a\x00b"]
            if name in {"metadata", "state"}:
                values = [{"a\x00b": 1}, {"a": "\x00"}, {"a": [{"b": ["\x00"]}]}, {"a": {"\x00": {}}}]
            for value in values:
                answer = await place.owner.send(method, path, json={**body, name: value})
                assert_problem(answer, 422, "validation_error")


GOOD_METADATA: list[str] = [
    '{"n":123456789012345678901234567890}',
    '{"n":-123456789012345678901234567890,"m":18446744073709551616}',
    '{"n":1.5e10,"tiny":5e-324,"minus":-0.0}',
    '{"n":' + "9" * 4000 + "}",
    json.dumps({"text": '[{\\"]}' * 20_000 + "\\"}),
    '{"a":1,"a":2}',
    '{"\\ud83d\\ude42":"\\ud83d\\ude42","":"","\\u202e":"\\ufeff\\uffff"}',
    '{"deep":' + "[" * 50 + "]" * 50 + "}",
    '{"__class__":"x","$where":"1","a.b":1,"--":"\'; DROP TABLE threads; --"}',
]


async def test_odd_json_that_is_right_is_kept(owner: Caller, database_url: str, model_stub: ModelStub) -> None:
    async with served(settings_for(database_url)) as client:
        person = await founder(client)
        for text in GOOD_METADATA:
            body = b'{"metadata":' + text.encode() + b"}"
            made = await person.send("POST", "/threads", content=body, headers={**JSON, "Idempotency-Key": new_id()})
            assert made.status_code == 201, made.text
            thread, given = made.json()["id"], json.loads(text)
            assert (await person.made("GET", f"/threads/{thread}"))["metadata"] == given
            assert (await person.made("GET", f"/threads/{thread}/export"))["thread"]["metadata"] == given
            put = await person.made("PUT", f"/provider-threads/{thread}", json={"state": given})
            assert put["state"] == given


BAD_IDS = ["x", "0", "-1", "null", "undefined", new_id().upper(), new_id()[:-1], new_id() + "0", "{" + new_id() + "}"]
BAD_IDS += [new_id().replace("-", ""), "%00", "%ff", "%F0%9F%99%82", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a" * 3000]
BAD_IDS += [
    "'%20OR%201=1--",
    "*",
    "%0d%0aX-Injected:%201",
    "urn:uuid:" + new_id(),
    "\uff11",
    "ü",
    "%25",
    "%",
    "%zz",
    ";x",
]


async def test_ids_that_are_none(place: Place) -> None:
    message, execution = new_id(), new_id()
    for bad in BAD_IDS:
        encoded = quote(bad, safe="%;'*{}:=")
        for method, path in (
            ("GET", f"/threads/{encoded}"),
            ("DELETE", f"/threads/{encoded}"),
            ("GET", f"/threads/{encoded}/export"),
            ("GET", f"/threads/{place.thread}/executions/{encoded}/stream"),
            ("GET", f"/threads/{encoded}/executions/{execution}/stream"),
            ("POST", f"/threads/{place.thread}/executions/{encoded}/cancel"),
            ("POST", f"/threads/{encoded}/messages/{message}/regenerate"),
            ("POST", f"/threads/{place.thread}/messages/{encoded}/regenerate"),
            ("GET", f"/provider-threads/{encoded}"),
        ):
            # `%2e%2e` is a path of its own on its way to the router: then the method may be what is wrong.
            problem = assert_problem(await place.owner.send(method, path))
            assert problem["code"] in {"not_found", "method_not_allowed"}, path


BAD_QUERIES = [
    "page=0",
    "page=-1",
    "page=1000001",
    "page=99999999999999999999999",
    "page=" + "9" * 5000,
    "page=x",
    "page=",
    "page=1.5",
    "page=%00",
    "page=1e3",
    "limit=0",
    "limit=101",
    "limit=-5",
    "limit=NaN",
    "limit=%ff",
    "limit=",
    "page=1&page=0",
]


async def test_pages_that_are_none(place: Place) -> None:
    for path in ("/threads", f"/threads/{place.thread}/messages"):
        for query in BAD_QUERIES:
            assert_problem(await place.owner.send("GET", f"{path}?{query}"), 422, "validation_error")
        for query in ("after=", "after=x", "after=%00", "after=%ff", f"after={'x' * 5000}", f"after={new_id()}"):
            assert_problem(await place.owner.send("GET", f"{path}?{query}"), 404, "not_found")
        far = await place.owner.made("GET", f"{path}?page=1000000&limit=100")
        assert (far["items"], far["page"], far["limit"]) == ([], 1000000, 100)
    thread = f"/threads/{place.thread}"
    for query in ("messages=-1", "messages=101", "messages=x", "include_deleted=maybe", "messages=" + "9" * 5000):
        assert_problem(await place.owner.send("GET", f"{thread}?{query}"), 422, "validation_error")
    for query in ("format=xml", "format=", "format=JSON", "format=..%2f"):
        assert_problem(await place.owner.send("GET", f"{thread}/export?{query}"), 422, "validation_error")
    assert_problem(await place.owner.send("DELETE", f"{thread}?purge=perhaps"), 422, "validation_error")


BAD_CURSORS = [
    "x",
    "-",
    "1",
    "0-",
    "-1",
    "0-x",
    "0--1",
    "0-1~2",
    "~",
    "~2",
    "0-1~1~1",
    "0-" + "9" * 19,
    "é",
    " ",
    "0 -1",
]
BAD_CURSORS += [
    "é",
    " ",
    "0 -1",
    "a" * 33 + "-1",
    "stored-",
    "stored-void-",
    "STORED-1",
    "0-\uff11",
    "x" * 5000,
    "0-1,0-2",
]


async def test_cursors_that_are_none(place: Place) -> None:
    stream = f"/threads/{place.thread}/executions/{place.execution}/stream"
    for cursor in BAD_CURSORS:
        answer = await place.owner.send("GET", f"{stream}?after={quote(cursor)}")
        assert_problem(answer, 400, "bad_cursor")
        if cursor.strip():
            headers = {"Last-Event-ID": cursor.encode()}
            assert_problem(await place.owner.send("GET", stream, headers=headers), 400, "bad_cursor")
    # Well formed, and never given out: the whole answer again, after word that what came before is void.
    for cursor in ("0-1", "zzzz-999999999999999999", "stored-999999999999999999", "stored-void-0", "~1", "0-0~1"):
        answer = await place.owner.send("GET", stream, headers={"Last-Event-ID": cursor})
        assert answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("where", ["header", "query"])
async def test_any_text_as_a_cursor(where: str, place: Place) -> None:
    stream = f"/threads/{place.thread}/executions/{place.execution}/stream"
    text = HEADER_TEXT if where == "header" else st.text(max_size=300)

    @FUZZ
    @given(text=text)
    async def ask(text: str) -> None:
        if where == "header":
            answer = await place.owner.send("GET", stream, headers={"Last-Event-ID": text.encode("latin-1")})
        else:
            encoded = quote(text.encode("utf-8", "surrogatepass"))
            answer = await place.owner.send("GET", f"{stream}?after={encoded}")
        if answer.status_code == 200:
            assert answer.text.endswith("data: [DONE]\n\n")
        else:
            assert_problem(answer, 400, "bad_cursor")

    await _run(ask)


async def _run(property_test: Any) -> None:
    """Hypothesis drives from a thread of its own; each example runs in this loop."""
    loop, inner = asyncio.get_running_loop(), property_test.hypothesis.inner_test

    def example(**values: Any) -> None:
        asyncio.run_coroutine_threadsafe(inner(**values), loop).result(30)

    property_test.hypothesis.inner_test = example
    await asyncio.to_thread(property_test)


BAD_KEYS: list[tuple[bytes, int, str]] = [
    (b"", 422, "validation_error"),
    (b"k" * 256, 422, "validation_error"),
    (b"k" * 5000, 422, "validation_error"),
    ("é".encode(), 422, "validation_error"),
    (b"\xff", 422, "validation_error"),
    (b"a\tb", 422, "validation_error"),
]


async def test_idempotency_keys_that_are_none(place: Place) -> None:
    posts = [(path, body) for method, path, body in place.bodies if method == "POST" and "/auth/" not in path]
    posts.append((f"/threads/{place.thread}/executions/{place.execution}/cancel", {}))
    for path, body in posts:
        for key, status, code in BAD_KEYS:
            answer = await place.owner.send("POST", path, json=body, headers={"Idempotency-Key": key})
            assert_problem(answer, status, code)


async def test_the_longest_idempotency_key(owner: Caller) -> None:
    key = {"Idempotency-Key": "!" + "~" * 254}
    first = await owner.send("POST", "/threads", json={"title": "once"}, headers=key)
    again = await owner.send("POST", "/threads", json={"title": "once"}, headers=key)
    assert (first.json(), again.headers["idempotent-replayed"]) == (again.json(), "true")
    other = await owner.send("POST", "/threads", json={"title": "another"}, headers=key)
    assert_problem(other, 422, "idempotency_key_reused")


async def test_transitions_that_are_illegal(place: Place) -> None:
    path = f"/threads/{place.thread}/messages/{place.message}"
    for status in ("queued", "running", "failed", "interrupted"):
        body = {"status": status, "text": "must not be stored"}
        assert_problem(await place.owner.send("PATCH", path, json=body), 409, "illegal_transition")
    for status in ("done", "Completed", "", "waiting"):
        assert_problem(await place.owner.send("PATCH", path, json={"status": status}), 422, "validation_error")
    cancel = f"/threads/{place.thread}/executions/{place.execution}/cancel"
    assert_problem(await place.owner.send("POST", cancel), 409, "illegal_transition")


async def test_a_message_whose_answer_is_under_way_is_not_changed(owner: Caller) -> None:
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    sent = await owner.say(thread, "x", model="scripted?stall_at=0")
    held = await owner.until(f"/threads/{thread}", lambda held: held["messages"][0]["status"] == "running")
    for message in held["messages"]:
        for body in ({"text": "y"}, {"status": "completed"}):
            path = f"/threads/{thread}/messages/{message['id']}"
            assert_problem(await owner.send("PATCH", path, json=body), 409, "execution_active")
    refused = assert_problem(
        await owner.send("POST", f"/threads/{thread}/messages", json={"text": "z"}), 409, "execution_active"
    )
    assert refused["active_execution_id"] == sent["execution_id"]
    path = f"/threads/{thread}/messages/{sent['id']}/regenerate"
    assert_problem(await owner.send("POST", path), 409, "execution_active")
    assert (await owner.made("GET", f"/threads/{thread}"))["active_execution_id"] == sent["execution_id"]
    await owner.made("POST", f"/threads/{thread}/executions/{sent['execution_id']}/cancel")


async def test_a_deleted_thread_is_gone(owner: Caller) -> None:
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    place = Place(owner, await owner.answered(thread))
    assert (await owner.send("DELETE", f"/threads/{thread}")).status_code == 204
    before = await owner.made("GET", f"/threads/{thread}?include_deleted=true")
    assert before["is_deleted"] is True
    gone = [("GET", path, None) for path in (f"/threads/{thread}", f"/threads/{thread}/export")]
    gone += [("GET", path, None) for path in (f"/threads/{thread}/messages", f"/provider-threads/{thread}")]
    gone.append(("GET", f"/threads/{thread}/executions/{place.execution}/stream", None))
    gone.append(("POST", f"/threads/{thread}/executions/{place.execution}/cancel", None))
    gone.append(("DELETE", f"/threads/{thread}", None))
    gone.append(("PATCH", f"/threads/{thread}", {"title": "x"}))
    gone += [(method, path, body) for method, path, body in place.bodies if thread in path and "is_deleted" not in body]
    for method, path, body in gone:
        request = {} if body is None else {"json": body}
        assert_problem(await owner.send(method, path, **request), 404, "not_found")
    assert await owner.made("GET", f"/threads/{thread}?include_deleted=true") == before


async def test_paths_and_methods_that_are_none(place: Place, client: httpx.AsyncClient) -> None:
    root = str(client.base_url).removesuffix("/api/")
    for path in ("/", "/api", "/api/", "/api/x", "/api/threads/", "/api/threads//", "/API/threads", "/api/thread%73/x"):
        answer = await place.owner.send("GET", root + path, headers={"Host": "evil.example"})
        problem = assert_problem(answer)
        assert (problem["status"], problem["code"]) == (404, "not_found"), path
    for path in ("/ünïcode", "/%ff%fe", "/..%2f..%2fapi/threads", "/api/..%2fhealth", "/%00", "/" + "x" * 8000):
        assert_problem(await place.owner.send("GET", root + path), 404, "not_found")
    thread = f"{root}/api/threads/{place.thread}"
    for method in ("POST", "OPTIONS", "TRACE", "PROPFIND", "HEAD", "PURGE", "MKCOL", "SEARCH"):
        answer = await place.owner.send(method, thread)
        assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
        assert answer.headers["allow"] == "DELETE, GET, PATCH"
        if method != "HEAD":
            assert_problem(answer, 405, "method_not_allowed")
    for header in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert (await place.owner.send("GET", thread, headers={header: "DELETE"})).status_code == 200


async def test_headers_that_claim_something(place: Place, client: httpx.AsyncClient) -> None:
    tricks: list[dict[str, Any]] = [
        {"X-Original-URL": "/api/auth/me", "X-Rewrite-URL": "/api/auth/me"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "javascript", "Forwarded": "host=evil.example"},
        {"X-Forwarded-Prefix": "/evil", "X-Request-ID": "<script>", "Origin": "null"},
        {"Range": "bytes=0-0,1-1,2-2", "If-None-Match": "*", "If-Modified-Since": "x"},
        {"Accept": "text/html", "Accept-Encoding": "br;q=x, gzip, *", "Accept-Language": b"\xff"},
        {"Expect": "100-continue", "Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"},
        {"Content-Encoding": "gzip", "TE": "trailers", "Cookie": "; ".join(["a=b"] * 300)},
        {f"X-Field-{number}": "x" for number in range(500)},
    ]
    for headers in tricks:
        answer = await place.owner.send("GET", f"/threads/{place.thread}", headers=headers)
        assert answer.status_code == 200, (headers, answer.text)
        assert "evil.example" not in answer.text + str(answer.headers)
        assert "<script>" not in answer.headers["x-request-id"]


async def test_an_unknown_users_token_and_two_tokens(place: Place, client: httpx.AsyncClient) -> None:
    token = place.owner.headers["Authorization"]
    for values in (
        [token, token],
        [token, "Bearer x"],
        [f"{token},{token}"],
        [f"{token} {token}"],
        ["Bearer  " + token],
    ):
        answer = await client.get("/auth/me", headers=[("Authorization", value) for value in values])
        assert_problem(answer, 401, "bad_token")


MEMBERS = ["title", "summary", "metadata", "text", "status", "kind", "comment", "is_deleted", "if_active", "state"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

BODIES = st.dictionaries(st.sampled_from(MEMBERS), ANYTHING, max_size=4) | ANYTHING


async def test_any_json_is_answered(owner: Caller) -> None:
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    place = Place(owner, await owner.answered(thread))

    @FUZZ
    @given(
        body=st.dictionaries(st.sampled_from(MEMBERS), ANYTHING, max_size=4) | ANYTHING, of=st.sampled_from(place.paths)
    )
    async def ask(body: Any, of: tuple[str, str]) -> None:
        content = json.dumps(body).encode()
        answer = await owner.send(*of, content=content, headers=JSON)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert_problem(answer)

    await _run(ask)
    assert (await owner.send("GET", f"/threads/{thread}?include_deleted=true")).status_code == 200
