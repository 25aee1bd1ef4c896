"""The threads API's conventions over HTTP: times, ids, lists, patches, replays, streams, models, health."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from openai import APIError, AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk

from frontdesk.adapters.language_model.openai_http import OpenAIHttpLanguageModel
from frontdesk.conversation.model_list import ModelList
from frontdesk.kit.clock import HeldClock
from frontdesk.model_stub import frames
from frontdesk.model_stub.script import parse
from frontdesk.ports.language_model import ModelCallError
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.command_line import Home, await_output, free_port
from harness.fault_proxy import FaultProxy, Faults
from harness.identities import PASSWORD, settings_for
from harness.model_stub import ModelStub
from harness.served import served
from harness.sse_client import Event, SseStream, open_sse

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
HEARTBEAT = 0.2
UNREACHABLE = "http://127.0.0.1:9/v1"  # the discard port: nothing listens
QUEUED, RUNNING = "queued", "running"


@pytest.fixture(scope="module")
async def owner(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Caller]:
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        heartbeat_seconds=HEARTBEAT,
    )
    async with served(chosen) as client:
        yield await founder(client)


@pytest.fixture
async def thread(owner: Caller) -> str:
    made: dict[str, str] = await owner.made("POST", "/threads", json={})
    return made["id"]


def assert_conventions(value: Any) -> None:
    """Of any answer, however deep: times in UTC with Z, our ids as UUIDv7."""
    if isinstance(value, list):
        for item in value:
            assert_conventions(item)
    if not isinstance(value, dict):
        return
    for name, held in value.items():
        if name.endswith("_at") and held is not None:
            assert TIME.fullmatch(held), (name, held)
        elif (name == "id" or name.endswith("_id")) and name != "conversation_id" and held is not None:
            assert (str(UUID(held)), UUID(held).version) == (held, 7), (name, held)
        assert_conventions(held)


@pytest.fixture
async def on_either(database_url: str) -> AsyncIterator[Caller]:
    """Without a model, on each database."""
    async with served(settings_for(database_url)) as client:
        yield await founder(client)


async def test_lists_have_pages_and_keys(on_either: Caller) -> None:
    made = [(await on_either.made("POST", "/threads", json={"title": str(n)}))["id"] for n in range(7)]
    assert made == sorted(made)
    await on_either.say(made[0])
    newest_first = [made[0], *reversed(made[1:])]
    whole = await on_either.made("GET", "/threads")
    assert whole.keys() == {"items", "page", "limit", "total"}
    assert [item["id"] for item in whole["items"]] == newest_first
    assert (whole["page"], whole["limit"], whole["total"]) == (1, 20, 7)
    assert_conventions(whole)
    pages = [await on_either.made("GET", f"/threads?limit=3&page={page}") for page in (1, 2, 3, 4)]
    assert [item["id"] for page in pages for item in page["items"]] == newest_first
    assert {page["total"] for page in pages} == {7}
    after, seen = "", []
    while items := (await on_either.made("GET", f"/threads?limit=3{after}"))["items"]:
        seen += [item["id"] for item in items]
        after = f"&after={seen[-1]}"
    assert seen == newest_first


async def test_messages_have_pages_and_keys(on_either: Caller) -> None:
    thread = (await on_either.made("POST", "/threads", json={}))["id"]
    sent = [(await on_either.say(thread, str(n)))["id"] for n in range(7)]
    assert sent == sorted(sent)
    path, newest_first = f"/threads/{thread}/messages", sent[::-1]
    pages = [await on_either.made("GET", f"{path}?limit=3&page={page}") for page in (1, 2, 3)]
    assert [item["id"] for page in pages for item in page["items"]] == newest_first
    assert_conventions(pages)
    behind = await on_either.made("GET", f"{path}?limit=3&after={newest_first[2]}")
    assert ([item["id"] for item in behind["items"]], behind["total"]) == (newest_first[3:6], 7)
    for wanted in (0, 1, 5, 100):
        held = await on_either.made("GET", f"/threads/{thread}?messages={wanted}")
        assert [message["id"] for message in held["messages"]] == newest_first[:wanted]
    assert [message["parent_id"] for message in pages[0]["items"]] == newest_first[1:4]


async def test_a_patch_merges(on_either: Caller) -> None:
    first = {"title": "a", "summary": "b", "metadata": {"keep": 1, "drop": 2, "deep": {"keep": [1], "drop": {}}}}
    path = f"/threads/{(await on_either.made('POST', '/threads', json=first))['id']}"
    before = await on_either.made("GET", path)
    patch = {"summary": None, "metadata": {"drop": None, "deep": {"drop": None, "new": None}, "add": {"x": None}}}
    changed = await on_either.made("PATCH", path, json=patch)
    assert changed["metadata"] == {"keep": 1, "deep": {"keep": [1]}, "add": {}}
    assert (changed["title"], changed["summary"]) == ("a", None)
    assert changed["updated_at"] > before["updated_at"]
    assert changed["created_at"] == before["created_at"]
    assert await on_either.made("GET", path) == {**changed, "messages": []}
    assert (await on_either.made("PATCH", path, json={}))["metadata"] == changed["metadata"]


async def test_deleting_restoring_and_purging(on_either: Caller) -> None:
    thread = (await on_either.made("POST", "/threads", json={}))["id"]
    await on_either.say(thread)
    path = f"/threads/{thread}"
    assert (await on_either.send("DELETE", path)).status_code == 204
    assert_problem(await on_either.send("GET", path), 404, "not_found")
    assert (await on_either.made("GET", "/threads"))["items"] == []
    shown = await on_either.made("GET", "/threads?include_deleted=true")
    assert [(item["id"], item["is_deleted"]) for item in shown["items"]] == [(thread, True)]
    assert (await on_either.made("GET", f"{path}?include_deleted=true"))["messages"]
    restored = await on_either.made("PATCH", path, json={"is_deleted": False, "title": "back"})
    assert (restored["is_deleted"], restored["title"]) == (False, "back")
    assert (await on_either.made("PATCH", path, json={"is_deleted": True}))["is_deleted"] is True
    assert (await on_either.send("DELETE", f"{path}?purge=true")).status_code == 204
    assert_problem(await on_either.send("PATCH", path, json={"is_deleted": False}), 404, "not_found")
    assert (await on_either.made("GET", "/threads?include_deleted=true"))["total"] == 0


async def test_a_message_without_a_model(on_either: Caller) -> None:
    thread = (await on_either.made("POST", "/threads", json={}))["id"]
    sent = await on_either.say(thread, "kept")
    assert (sent["execution_id"], sent["text"], sent["sender_id"]) == (None, "kept", on_either.id)
    path = f"/threads/{thread}/messages"
    refused = await on_either.send("POST", f"{path}/stream", json={"text": "not kept"})
    assert_problem(refused, 503, "llm_disabled")
    assert refused.headers["retry-after"]
    assert_problem(await on_either.send("POST", f"{path}/{sent['id']}/regenerate"), 503, "llm_disabled")
    assert (await on_either.made("GET", path))["total"] == 1
    # Whoever answers instead says so with the statuses, in their order.
    for status in ("running", "completed"):
        assert (await on_either.made("PATCH", f"{path}/{sent['id']}", json={"status": status}))["status"] == status
    assert_problem(
        await on_either.send("PATCH", f"{path}/{sent['id']}", json={"status": "running"}), 409, "illegal_transition"
    )


async def test_exports(owner: Caller, thread: str) -> None:
    await owner.made("PATCH", f"/threads/{thread}", json={"title": "Trip to Ürümqi"})
    await owner.answered(thread, "# where?\n\n<b>é漢🙂</b>")
    exported = await owner.send("GET", f"/threads/{thread}/export")
    assert exported.headers["content-type"] == "application/json"
    assert exported.headers["content-disposition"] == f'attachment; filename="thread-{thread}.json"'
    whole = exported.json()
    assert_conventions(whole)
    assert whole["thread"]["title"] == "Trip to Ürümqi"
    assert [(message["role"], message["text"]) for message in whole["messages"]] == [
        ("user", "# where?\n\n<b>é漢🙂</b>"),
        ("assistant", "t0 t1 t2 "),
    ]
    written = await owner.send("GET", f"/threads/{thread}/export?format=markdown")
    assert written.headers["content-type"].startswith("text/markdown")
    assert written.text.startswith("# Trip to Ürümqi\n")
    assert written.text.index("## User") < written.text.index("<b>é漢🙂</b>") < written.text.index("## Assistant")


async def test_what_a_provider_keeps_is_stored_and_sent_back(owner: Caller, thread: str, model_stub: ModelStub) -> None:
    path = f"/provider-threads/{thread}"
    assert_problem(await owner.send("GET", path), 404, "not_found")
    await owner.answered(thread, model=f"scripted?tokens=1&conversation_id=conv-7&key={thread}a")
    held = await owner.made("GET", path)
    assert held.keys() == {"thread_id", "provider", "conversation_id", "state", "updated_at"}
    assert (held["thread_id"], held["conversation_id"]) == (thread, "conv-7")
    assert_conventions(held)
    await owner.answered(thread, model=f"scripted?tokens=1&key={thread}b")
    first, second = [(await model_stub.call(f"{thread}{key}", seconds=5))["body"] for key in "ab"]
    assert "conversation_id" not in first
    assert second["conversation_id"] == "conv-7"
    put = {"provider": "mine", "conversation_id": "conv-8", "state": {"a": [1, None]}}
    assert (await owner.made("PUT", path, json=put)).items() >= put.items()
    await owner.answered(thread, model=f"scripted?tokens=1&key={thread}c")
    third = (await model_stub.call(f"{thread}c", seconds=5))["body"]
    assert third["conversation_id"] == "conv-8"


async def test_an_edit_and_an_opinion(owner: Caller, thread: str) -> None:
    sent = await owner.answered(thread)
    path = f"/threads/{thread}/messages/{sent['id']}"
    assert (await owner.made("PATCH", path, json={"text": "better"}))["text"] == "better"
    judged = await owner.send("POST", f"{path}/feedback", json={"kind": "negative", "comment": "no"})
    assert judged.status_code == 201
    assert_conventions(judged.json())
    again = await owner.made("POST", f"{path}/feedback", json={"kind": "positive"})
    assert (again["kind"], again["comment"], again["created_at"]) == ("positive", None, judged.json()["created_at"])


async def test_every_post_answers_a_repeated_key_again(owner: Caller, thread: str) -> None:
    sent = await owner.answered(thread)
    other = (await owner.made("POST", "/threads", json={}))["id"]
    under_way = await owner.say(other, model="scripted?stall_at=0")
    path = f"/threads/{thread}/messages"
    posts: list[tuple[str, dict[str, Any] | None]] = [
        ("/threads", {"title": "once"}),
        (path, {"text": "once", "if_active": "queue"}),
        (f"{path}/{sent['id']}/regenerate", {"if_active": "queue"}),
        (f"{path}/{sent['id']}/feedback", {"kind": "positive"}),
        (f"/threads/{other}/executions/{under_way['execution_id']}/cancel", None),
        ("/auth/register", {"username": "once", "password": PASSWORD}),
    ]
    for number, (where, body) in enumerate(posts):
        key = {"Idempotency-Key": f"every post {number}"}
        first = await owner.send("POST", where, json=body, headers=key)
        again = await owner.send("POST", where, json=body, headers=key)
        assert first.status_code in {201, 202}, first.text
        assert "idempotent-replayed" not in first.headers
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert again.headers["idempotent-replayed"] == "true"
        different = await owner.send("POST", where, json={**(body or {}), "comment": "x"}, headers=key)
        assert_problem(different, 422, "idempotency_key_reused")
    await owner.until(f"/threads/{thread}", lambda held: held["active_execution_id"] is None)
    total = (await owner.made("GET", path))["total"]
    key, body = {"Idempotency-Key": "streamed once"}, {"text": "streamed once"}
    streams = [await owner.send("POST", f"{path}/stream", json=body, headers=key) for _ in range(2)]
    assert [stream.headers.get("idempotent-replayed") for stream in streams] == [None, "true"]
    assert streams[0].content == streams[1].content
    assert (await owner.made("GET", path))["total"] == total + 2


def states(events: list[Event]) -> list[str]:
    """What each event is: the state that a chunk of ours tells, `chunk` for the provider's, or what else it holds."""
    told = []
    for event in events:
        value = None if event.data == "[DONE]" else json.loads(event.data or "null")
        if value is None or "choices" not in value:
            told.append(event.data if value is None else "error")
        else:
            told.append("chunk" if "created" in value else value["agent_status"])
    return [state for state in told if state is not None]


@asynccontextmanager
async def streaming(owner: Caller, thread: str, model: str) -> AsyncIterator[SseStream]:
    url = f"{owner.client.base_url}threads/{thread}/messages/stream"
    body = json.dumps({"text": "say it", "model": model}).encode()
    headers = {**owner.headers, "Content-Type": "application/json"}
    async with open_sse(url, method="POST", headers=headers, body=body) as stream:
        yield stream


async def test_a_stream_is_the_contracts_own(owner: Caller, thread: str, model_stub: ModelStub) -> None:
    model = f"scripted?tokens=3&unicode=1&key={thread}"
    async with streaming(owner, thread, model) as stream:
        events = await stream.read_all(seconds=10)
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-cache"
    assert stream.headers["x-accel-buffering"] == "no"
    assert states(events)[:2] == [QUEUED, RUNNING]
    assert states(events)[-2:] == ["completed", "[DONE]"]
    state = {"id": thread, "object": "chat.completion.chunk", "choices": [{"delta": {}, "finish_reason": None}]}
    assert [json.loads(event.data or "") for event in events[:2]] == [
        {**state, "agent_status": told} for told in (QUEUED, RUNNING)
    ]
    ended = {**state, "agent_status": "completed", "choices": [{"delta": {}, "finish_reason": "stop"}]}
    assert json.loads(events[-2].data or "") == ended
    call = await model_stub.call(thread, seconds=5)
    sent = json.loads(events[2].data or "")
    answer = frames.Answer(parse(model), call_id=sent["id"], created=sent["created"], request=call["body"])
    provider = (answer.opening() + answer.tokens(0, 3) + answer.closing()).removesuffix(frames.DONE)
    assert b"".join(f"data: {event.data}\n\n".encode() for event in events[2:-2]) == provider
    ids = [event.id for event in events[:-1]]
    assert None not in ids
    assert len(set(ids)) == len(ids)
    for event in events[:-1]:
        assert event.raw == f"id: {event.id}\ndata: {event.data}\n\n".encode()
    assert events[-1].raw == b"data: [DONE]\n\n"
    stored = (await owner.made("GET", f"/threads/{thread}"))["messages"][0]
    assert (stored["status"], stored["text"]) == ("completed", "t0é漢🙂 t1é漢🙂 t2é漢🙂 ")
    assert stored["usage"]["completion_tokens"] == 3


async def test_a_silent_provider_is_bridged(owner: Caller, thread: str) -> None:
    async with streaming(owner, thread, f"scripted?tokens=2&stall_at=1&stall_ms={HEARTBEAT * 5000}") as stream:
        told = states(await stream.read_all(seconds=10))
    assert told.count(RUNNING) >= 3
    assert told.index("chunk") < len(told) - 1 - told[::-1].index(RUNNING) < len(told) - 2
    assert told[-2:] == ["completed", "[DONE]"]


async def test_an_end_that_the_provider_announced_is_not_said_twice(owner: Caller, thread: str) -> None:
    for announced in ("completed", "interrupted"):
        async with streaming(owner, thread, f"scripted?tokens=1&agent_status={announced}") as stream:
            events = await stream.read_all(seconds=10)
        ends = [event for event in events if f'"agent_status":"{announced}"' in (event.data or "")]
        assert len(ends) == 1
        assert "created" in json.loads(ends[0].data or "")
        assert events[-1].data == "[DONE]"


@pytest.mark.parametrize("fault", ["error_at=1", "reset_at=1", "bad_at=1", "close_at=1", "status=500&tokens=2"])
async def test_an_answer_that_fails_says_so_and_tells_no_secret(owner: Caller, thread: str, fault: str) -> None:
    async with streaming(owner, thread, f"scripted?{fault}") as stream:
        events = await stream.read_all(seconds=30)
    told = states(events)
    assert told[-3:] == ["failed", "error", "[DONE]"]
    assert json.loads(events[-3].data or "")["choices"] == [{"delta": {}, "finish_reason": "error"}]
    error = json.loads(events[-2].data or "")["error"]
    assert error["type"] == "agent_error"
    assert error["message"]
    for secret in (frames.SECRET, "10.0.0.7", "Traceback", "127.0.0.1"):
        assert secret.encode() not in bytes(stream.body)
    message = (await owner.made("GET", f"/threads/{thread}"))["messages"][0]
    assert message["status"] == "failed"


async def test_a_cancelled_answer_is_stored_and_nothing_follows(owner: Caller, thread: str) -> None:
    async with streaming(owner, thread, "scripted?tokens=9&stall_at=2") as stream:
        async for event in stream:
            if '"t1 "' in (event.data or ""):
                break
        held = await owner.made("GET", f"/threads/{thread}")
        path = f"/threads/{thread}/executions/{held['active_execution_id']}/cancel"
        stopped = await owner.send("POST", path)
        assert (stopped.status_code, stopped.json()["state"]) == (202, "interrupted")
        assert (await owner.made("GET", f"/threads/{thread}"))["messages"][0]["text"] == "t0 t1 "
        told = states(await stream.read_all(seconds=10))
    assert told[-2:] == ["interrupted", "[DONE]"]


async def test_the_official_client_reads_the_stream(owner: Caller, thread: str) -> None:
    token = owner.headers["Authorization"].removeprefix("Bearer ")
    async with AsyncOpenAI(base_url=str(owner.client.base_url), api_key=token, max_retries=0) as client:

        async def read(model: str) -> list[ChatCompletionChunk]:
            stream = await client.post(
                f"/threads/{thread}/messages/stream",
                body={"text": "hi", "model": model},
                cast_to=ChatCompletionChunk,
                stream=True,
                stream_cls=AsyncStream[ChatCompletionChunk],
            )
            return [chunk async for chunk in stream]

        chunks = await read("scripted?tokens=3")
        assert all(isinstance(chunk, ChatCompletionChunk) for chunk in chunks)
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == "t0 t1 t2 "
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [3]
        with pytest.raises(APIError):
            await read("scripted?error_at=1")


async def test_problems_and_challenges(owner: Caller) -> None:
    assert_problem(await owner.client.get("/auth/me"), 401, "unauthenticated")
    assert_problem(await owner.client.get("/nowhere"), 404, "not_found")
    invalid = assert_problem(await owner.send("POST", "/threads", json={"title": 5}), 422, "validation_error")
    assert [set(error) for error in invalid["errors"]] == [{"loc", "msg", "type"}]
    given = await owner.send("GET", "/auth/me", headers={"X-Request-ID": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"


async def test_sign_ins_that_fail_too_often(sqlite_url: str) -> None:
    async with served(settings_for(sqlite_url, login_attempts_per_user=2)) as client:
        person = await founder(client)
        wrong = {"username": person.username, "password": "not the word"}
        told = [assert_problem(await client.post("/auth/login", json=wrong), 401, "bad_credentials") for _ in "12"]
        unknown = await client.post("/auth/login", json={**wrong, "username": "nobody"})
        assert assert_problem(unknown, 401) == told[0] == told[1]
        refused = await client.post("/auth/login", json=wrong)
        assert_problem(refused, 429, "rate_limited")
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["ratelimit-policy"] == '"login-user";q=2;w=300'
        assert refused.headers["ratelimit"].startswith('"login-user";r=0;t=')


async def test_models(owner: Caller, model_stub: ModelStub) -> None:
    listed = await owner.made("GET", "/models")
    assert listed["object"] == "list"
    assert {"id", "object", "created", "owned_by"} <= listed["data"][0].keys()
    assert "scripted" in {model["id"] for model in listed["data"]}


async def test_the_model_list_outlives_its_provider_for_ten_minutes(model_stub: ModelStub) -> None:
    target, clock = urlsplit(model_stub.url), HeldClock()
    async with FaultProxy("127.0.0.1", target.port or 0) as proxy:
        model = OpenAIHttpLanguageModel(
            base_url=f"http://127.0.0.1:{proxy.port}/v1", api_key=None, timeout=5, connect_timeout=5, max_retries=0
        )
        models = ModelList(model, clock=clock, default_model=None)
        first = await models.list_models()
        proxy.switch(Faults(refuse=True))
        proxy.reset_all()
        asked = proxy.accepted
        assert await models.list_models() == first
        assert proxy.accepted == asked  # from memory
        clock.advance(599)
        assert await models.list_models() == first
        assert proxy.accepted > asked
        clock.advance(2)
        with pytest.raises(ModelCallError):
            await models.list_models()
        await model.aclose()


async def test_without_its_provider_the_server_is_alive_and_not_ready(sqlite_url: str) -> None:
    chosen = settings_for(sqlite_url, llm_enabled=True, llm_api_base=UNREACHABLE, llm_max_retries=0)
    async with served(chosen) as client:
        person = await founder(client)
        root = str(client.base_url).removesuffix("/api/")
        assert (await client.get(f"{root}/health")).json()["status"] == "ok"
        down = await client.get(f"{root}/health/ready")
        problem = assert_problem(down, 503, "not_ready")
        assert "provider" in problem["detail"]
        parts = problem["parts"]
        assert {name: part["status"] for name, part in parts.items()} == {
            "database": "ok",
            "log": "ok",
            "engine": "ok",
            "limiter": "ok",
            "storage": "ok",
            "provider": "down",
        }
        assert all(part["latency_ms"] >= 0 for part in parts.values())
        assert_problem(await person.send("GET", "/models"), 502)


async def test_with_all_its_parts_the_server_is_ready_and_measures(owner: Caller, thread: str) -> None:
    await owner.answered(thread)
    root = str(owner.client.base_url).removesuffix("/api/")
    ready = (await owner.client.get(f"{root}/health/ready")).json()
    assert (ready["status"], {part["status"] for part in ready["parts"].values()}) == ("ok", {"ok"})
    measured = await owner.client.get(f"{root}/metrics")
    assert measured.headers["content-type"].startswith("text/plain")
    for name in ("requests_total", "request_seconds_count", "tokens_total", "streams_open", "executions_ended_total"):
        assert f"\nfrontdesk_{name}" in measured.text
    assert thread not in measured.text
    counted = [line for line in measured.text.splitlines() if line.startswith("frontdesk_executions{")]
    assert {line.partition('"')[2].partition('"')[0] for line in counted} == {"queued", "running", "waiting"}
    assert_problem(await owner.client.get(f"{root}/metrics", headers={"X-Forwarded-For": "203.0.113.1"}), 401)


async def test_no_secret_and_no_text_in_the_logs(tmp_path: Any, model_stub: ModelStub) -> None:
    canary = "canary-7f3a9c"
    home = Home(
        tmp_path / "home",
        CHAT_DATABASE_URL=f"sqlite:///{tmp_path / 'app.db'}",
        CHAT_JWT_SECRET_KEY=f"{canary}-{'secret' * 10}",
        CHAT_LLM_API_BASE=model_stub.url,
        CHAT_LLM_API_KEY=f"{canary}-key",
        CHAT_LLM_MAX_RETRIES="0",
    )
    port = free_port()
    with home.background("serve", "--port", str(port)) as server:
        await_output(server, "listens on")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api", timeout=30, trust_env=False) as client:
            seen = await _say_canaries(client, canary)
        log = server.output()
    assert log.count("request") > 15
    for secret in (canary, frames.SECRET, PASSWORD, *seen):
        assert secret not in log, secret


async def _say_canaries(client: httpx.AsyncClient, canary: str) -> list[str]:
    """Puts the word wherever a caller's words go; what else must not be logged."""
    admin = await founder(client)
    person = await newcomer(admin, "someone", email=f"{canary}@example.org", allowed_products=[canary])
    made = await person.made("POST", "/threads", json={"title": canary, "metadata": {"product_id": canary, canary: 1}})
    thread = made["id"]
    for model in ("scripted?tokens=2&echo=1", "scripted?error_at=0", "scripted?status=500&html=1", canary):
        await person.answered(thread, canary, model=model)
    key = {"Idempotency-Key": canary}
    await person.send("POST", f"/threads/{thread}/messages/stream", json={"text": canary}, headers=key)
    await person.send("POST", f"/threads/{thread}/messages", json={"text": [canary], canary: canary})
    await person.send("POST", f"/threads/{thread}/messages", content=canary.encode(), headers={"Content-Type": "x"})
    await person.send("GET", f"/threads?after={canary}&page={canary}")
    await person.send("GET", f"/{canary}/{canary}?{canary}")
    await person.send("GET", f"/threads/{canary}")
    await client.get("/auth/me", headers={"Authorization": f"Bearer {canary}", "Cookie": canary, "User-Agent": canary})
    await client.post("/auth/login", json={"username": canary, "password": canary})
    await client.post("/auth/register", json={"username": "x", "password": canary, "role": canary})
    pair = (await client.post("/auth/login", json={"username": "someone", "password": PASSWORD})).json()
    await client.post("/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    await client.post("/auth/refresh", json={"refresh_token": canary})
    return [person.headers["Authorization"].split(".")[2], pair["access_token"], pair["refresh_token"]]


def test_a_settings_secret_is_not_shown() -> None:
    shown = repr(settings_for("sqlite:///x.db", llm_api_key="canary", metrics_token="canary", jwt_secret_key="canary"))
    assert "canary" not in shown
