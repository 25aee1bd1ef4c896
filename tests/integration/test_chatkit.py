"""The ChatKit surface over real sockets: every kind of request, what is wrong with some, and what no client sees."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from chatkit import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from frontdesk.kit.ids import new_id
from harness.chatkit_client import ANSWERS, ChatKitClient, frames_of, message, text_of
from harness.chatkit_server import NO_LIMITS, World, files, settle
from harness.chatkit_story import answered, assert_same, kinds, last_of, tell_story
from harness.conversations import until
from harness.identities import PASSWORD, settings_for
from harness.model_stub import ModelStub
from harness.served import served

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
REQUESTS = Path(__file__).parent / "fixtures" / "chatkit_requests.json"
TYPES = {
    *("threads.create", "threads.add_user_message", "threads.add_client_tool_output", "threads.add_structured_input"),
    *("threads.retry_after_item", "threads.custom_action", "threads.get_by_id", "threads.list", "threads.update"),
    *("threads.delete", "threads.sync_custom_action", "items.list", "items.feedback", "attachments.create"),
    *("attachments.delete", "input.transcribe"),
}
STREAMED = {kind for kind in TYPES if kind.startswith("threads.add_")} | {
    *("threads.create", "threads.retry_after_item", "threads.custom_action"),
}


@pytest.fixture(scope="module")
async def world(
    module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    settings = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        llm_timeout_seconds=600,
        **files(tmp_path_factory.mktemp("agents")),
        **NO_LIMITS,
    )
    async with served(settings) as http:
        yield await settle(http)


@pytest.fixture
async def client(world: World) -> ChatKitClient:
    return (await world.person(f"u{new_id()[-12:]}"))[1]


async def test_a_conversation_in_the_widget(world: World, client: ChatKitClient) -> None:
    await tell_story(world, client)


async def test_the_threads_api_follows_what_began_in_the_widget(world: World) -> None:
    caller, client = await world.person("followed")
    thread_id, _ = await client.create("hello", model="scripted?tokens=5")
    thread = await caller.made("GET", f"/threads/{thread_id}")
    answer, question = thread["messages"]
    assert (question["text"], answer["status"], answer["text"]) == ("hello", "completed", "t0 t1 t2 t3 t4 ")
    assert [item["id"] for item in client.shown(thread_id)] == [question["id"], answer["id"]]
    joined = await caller.send("GET", f"/threads/{thread_id}/executions/{answer['execution_id']}/stream")
    assert joined.text.endswith("data: [DONE]\n\n")
    assert thread["title"] == "hello"
    await caller.say(thread_id, "and more")
    assert len(await answered(client, thread_id, 4)) == 4


def assert_answered(response: httpx.Response, kind: str) -> None:
    """With what the protocol answers such a request with."""
    assert response.headers["content-type"].startswith("text/event-stream") == (kind in STREAMED), kind
    if kind in STREAMED:
        assert "stream_options" in kinds(frames_of(response.text)), kind
    elif kind in ANSWERS:
        ANSWERS[kind].validate_json(response.content)
    else:
        assert response.json() == {}, kind


async def test_every_kind_of_request(client: ChatKitClient) -> None:
    """As a page sent them. Each is answered as its kind is, or refused with a reason."""
    thread_id, _ = await client.create("say hello")
    question, answer = (item["id"] for item in client.shown(thread_id))
    written = REQUESTS.read_text().replace("THREAD", thread_id).replace("QUESTION", question).replace("ANSWER", answer)
    requests: list[Any] = json.loads(written)
    assert {each["request"]["type"] for each in requests} == TYPES
    for each in requests:
        TypeAdapter(types.ChatKitReq).validate_python(each["request"])
        response = await client.post(each["request"])
        assert response.status_code == each["status"], (each, response.text)
        if response.status_code != 200:
            assert set(response.json()) == {"error", "code"} or response.json() == {"error": "Not found"}
            continue
        assert_answered(response, each["request"]["type"])


BROKEN = [
    *(b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 100_000, b'{"message":' * 100 + b"1" + b"}" * 100),
    *(b'{"type":"threads.fly"}', b'{"type":"threads.create"}', b'{"type":7}'),
    *(b'{"type":"threads.get_by_id","params":{"thread_id":7}}', b'{"type":"threads.list","params":{"limit":0}}'),
    *(b'{"message":{"role":"user"}}', b'{"message":{"role":"system","content":"x"}}'),
    b'{"message":{"role":"user","content":"\\u0000"}}',
]


@pytest.mark.parametrize("body", BROKEN)
async def test_what_is_no_request_is_refused(client: ChatKitClient, body: bytes) -> None:
    response = await client._http.post(f"{client.root}/chatkit", content=body, headers=client.headers)
    assert response.status_code == 400, response.text
    assert isinstance(response.json()["error"], str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
IDS = st.sampled_from([new_id(), "thr_12345678", "", "..", "x" * 200, "\x00"])


def requests() -> list[st.SearchStrategy[Any]]:
    """Requests as the published types make them, with ids of nothing: a strategy for each kind."""
    models = [*types.StreamingReq.__args__, *types.NonStreamingReq.__args__]
    return [st.builds(model, **_fields(model)) for model in models]


def _fields(model: Any) -> dict[str, st.SearchStrategy[Any]]:
    model.model_rebuild()
    params = model.model_fields["params"].annotation
    params.model_rebuild()
    fields: dict[str, Any] = (
        {"kind": st.sampled_from(["positive", "negative"])} if "kind" in params.model_fields else {}
    )
    for name in params.model_fields:
        if name in {"thread_id", "item_id", "attachment_id", "after"}:
            fields[name] = IDS
        elif name in {"result", "payload"}:
            fields[name] = JSON
        elif name == "action":
            fields[name] = st.builds(types.Action, type=st.text(max_size=8), payload=JSON)
        elif name == "kind":
            fields[name] = st.sampled_from(["positive", "negative"])
        elif name == "item_ids":
            fields[name] = st.lists(IDS, max_size=3)
        elif name == "input" and params is types.ThreadAddStructuredInputParams:
            answer = st.builds(types.StructuredInputAnswerSubmission, values=st.lists(st.text(max_size=5), max_size=2))
            fields[name] = st.builds(
                types.StructuredInputSubmission, answers=st.dictionaries(st.text(max_size=5), answer, max_size=2)
            )
        elif name == "input":
            fields[name] = st.builds(
                types.UserMessageInput,
                content=st.lists(st.builds(types.UserMessageTextContent, text=st.text(max_size=9)), max_size=2),
                attachments=st.lists(IDS, max_size=1),
                quoted_text=st.none() | st.text(max_size=9),
                inference_options=st.just(types.InferenceOptions()),
            )
    return {"params": st.builds(params, **fields), "metadata": st.just({})}


async def test_whatever_the_types_allow_is_answered(client: ChatKitClient) -> None:
    drawn: list[Any] = []

    for strategy in requests():

        @settings(max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(strategy)
        def draw(request: Any) -> None:
            drawn.append(request.model_dump(mode="json", by_alias=True))

        await asyncio.to_thread(draw)
    answers = [await client.post(body) for body in drawn]
    assert {answer.status_code for answer in answers} <= {200, 400, 404, 501}, [a.text for a in answers if a.is_error]
    for body, answer in zip(drawn, answers, strict=True):
        if answer.status_code == 200:
            assert_answered(answer, body["type"])
    assert len({body["type"] for body in drawn}) == len(TYPES)


async def test_the_simple_form(client: ChatKitClient) -> None:
    first = await client.post({"message": {"role": "user", "content": "hi"}})
    events = [part.split("\n", 1) for part in first.text.removesuffix("\n\n").split("\n\n")]
    names = [name.removeprefix("event: ") for name, _ in events]
    assert set(names[:-2]) == {"thread.message.delta"}
    assert names[-2:] == ["thread.message.completed", "thread.run.completed"]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert "".join(each["content"] for each in data[:-2]) == "t0 t1 t2 "
    thread_id = data[-1]["thread_id"]
    again = await client.post({"thread_id": thread_id, "message": {"role": "user", "content": "more"}})
    assert again.text.endswith(f'event: thread.run.completed\ndata: {{"thread_id":"{thread_id}"}}\n\n')
    items = await client.stored(thread_id)
    assert [item["type"] for item in items] == ["user_message", "assistant_message"] * 2
    assert data[-2]["message_id"] == items[1]["id"]
    failed = await client.post({"message": {"role": "user", "content": "x"}, "thread_id": new_id()})
    assert (failed.status_code, failed.json()) == (404, {"error": "Not found"})


async def test_a_failure_of_the_provider_is_an_error_that_may_be_tried_again(client: ChatKitClient) -> None:
    thread_id, frames = await client.create("x", model="scripted?tokens=9&error_at=2")
    assert (frames[-1]["type"], frames[-1]["allow_retry"]) == ("error", True)
    assert "scripted" not in frames[-1]["message"]
    assert text_of(last_of(client, thread_id)) == "t0 t1 "
    await assert_same(client, thread_id)


async def test_closing_the_socket_stops_nothing(client: ChatKitClient) -> None:
    """Each is left at another place in its answer, and each answer is stored whole."""

    async def leave(number: int) -> str:
        thread_id = ""
        sent = message("x", model="scripted?tokens=200&pause_ms=5")
        async with client.streaming("threads.create", input=sent) as frames:
            async for frame in frames:
                thread_id = frame["thread"]["id"] if "thread" in frame else thread_id
                if "assistant_message" in json.dumps(frame) and text_of(last_of(client, thread_id)).count("t") > number:
                    return thread_id
        raise AssertionError("the answer ended before it was left")

    left = await asyncio.gather(*(leave(number) for number in range(30)))
    whole = "".join(f"t{number} " for number in range(200))

    async def texts() -> list[str]:
        threads = [await client.ask("threads.get_by_id", thread_id=thread_id) for thread_id in left]
        return ["".join(text_of(item) for item in thread["items"]["data"][1:]) for thread in threads]

    assert await until(texts, lambda found: set(found) == {whole}) == [whole] * 30


async def test_only_an_explicit_stop_stops(client: ChatKitClient, model_stub: ModelStub) -> None:
    key = new_id()
    sent = message("x", model=f"scripted?tokens=9&stall_at=4&key={key}")
    async with client.streaming("threads.create", input=sent) as frames:
        async for frame in frames:
            if "t3 " in json.dumps(frame):
                thread_id = next(iter(client.items))
                stop = {"thread_id": thread_id, "action": {"type": "frontdesk.stop"}}
                assert await client.ask("threads.sync_custom_action", **stop) == {}
    assert (await model_stub.call(key, seconds=5))["outcome"] == "closed_by_client"
    assert text_of(last_of(client, thread_id)) == "t0 t1 t2 t3 "
    await assert_same(client, thread_id)


async def test_a_new_message_waits_for_an_answer_and_not_for_the_user(world: World, client: ChatKitClient) -> None:
    thread_id, _ = await client.create("tool ask|heard", metadata=world.agent)
    await client.say(thread_id, "say 2")
    assert [item["type"] for item in client.shown(thread_id)][-2:] == ["user_message", "assistant_message"]
    stored = await client.stored(thread_id)
    assert [item["type"] for item in stored] == ["user_message", "user_message", "assistant_message"]
    both = await asyncio.gather(client.say(thread_id, "say 20 5"), client.say(thread_id, "say 20 5"))
    assert all(kinds(frames)[-1] == "thread.item.done" for frames in both)


async def test_a_repeated_result_is_ignored(world: World, client: ChatKitClient) -> None:
    """Sent fifty times at once, it is heard once; named by its call, it is never taken for the next one's."""
    thread_id, _ = await client.create("tool ask|heard;say 1 1000;tool ask|heard", metadata=world.agent)
    first = last_of(client, thread_id)["call_id"]
    body = {"type": "threads.add_client_tool_output", "params": {"thread_id": thread_id, "result": "one"}}
    results = await asyncio.gather(*(client.post(body) for _ in range(50)))
    assert all(frames_of(result.text)[0]["type"] == "stream_options" for result in results)
    await client.post({**body, "metadata": {"call_id": first}})
    items = await until(lambda: client.stored(thread_id), lambda found: found[-1]["type"] == "client_tool_call")
    assert [text_of(item) for item in items if item["type"] == "assistant_message"] == ["one t0 "]
    assert (items[-1]["status"], items[-1]["call_id"] != first) == ("pending", True)
    await client.bring(thread_id, "two", metadata={"call_id": items[-1]["call_id"]})
    assert text_of((await client.stored(thread_id))[-1]) == "one two "


async def test_an_agent_of_the_agents_sdk(world: World) -> None:
    """Its own tool is a task, shows a widget, and has the page perform a tool, behind which the answer ends."""
    caller, client = await world.person("sdk")
    made = {"name": "keeper", "kind": "python", "runtime": "keeper", "tools": ["ask"]}
    agent = await caller.made("POST", "/agents", json=made)
    model = 'scripted?tokens=2&calls=add_task:{"title":"milk"}'
    thread_id, _ = await client.create("add milk", model=model, metadata={"agent_id": agent["id"]})
    text = "assistant_message"
    shown = client.shown(thread_id)
    assert [item["type"] for item in shown] == ["user_message", text, "workflow", "widget", text, "client_tool_call"]
    assert [task["status_indicator"] for task in shown[2]["workflow"]["tasks"]] == ["complete"]
    assert shown[-1]["arguments"] == {"refresh": "milk"}
    await assert_same(client, thread_id)
    assert kinds(await client.bring(thread_id, {"refreshed": True})) == ["stream_options"]
    await until(lambda: caller.made("GET", f"/threads/{thread_id}"), lambda it: it["active_execution_id"] is None)
    await assert_same(client, thread_id)


async def test_what_is_hidden_is_never_sent(world: World) -> None:
    caller, client = await world.person("hidden")
    thread_id, _ = await client.create("widget one", metadata=world.agent)
    await client.stream("threads.custom_action", thread_id=thread_id, action={"type": "secret-press", "payload": "x"})
    stored = await client.stored(thread_id)
    assert "[Action]" not in json.dumps(stored)
    assert "[Action] secret-press" in json.dumps(await caller.made("GET", f"/threads/{thread_id}/messages"))
    assert [item["type"] for item in stored] == ["user_message", "widget", "assistant_message"]


async def test_tags_quotes_and_options_come_back(client: ChatKitClient) -> None:
    tag = {"type": "input_tag", "id": "t1", "text": "@ada", "data": {"n": 1}, "interactive": False}
    content = [{"type": "input_text", "text": "ask "}, tag]
    more = {"quoted_text": "so it was", "inference_options": {"model": "scripted?tokens=2&echo=1"}}
    thread_id, _ = await client.create("", content=content, **more)
    question, answer = client.shown(thread_id)
    assert {name: question[name] for name in ("content", "quoted_text", "inference_options")} == {
        "content": content,
        **more,
    }
    assert text_of(answer).split() == ["so", "it", "was", "ask", "@ada"] or "@ada" in text_of(answer)
    await assert_same(client, thread_id)


async def _attached(client: ChatKitClient, name: str, media_type: str, content: bytes) -> dict[str, Any]:
    made = await client.ask("attachments.create", name=name, size=len(content), mime_type=media_type)
    await client.upload(made["upload_descriptor"]["url"], content, headers=made["upload_descriptor"]["headers"])
    return made


async def test_an_image_is_shown_to_whoever_has_its_address(client: ChatKitClient) -> None:
    made = await client.ask("attachments.create", name="a.png", size=len(PNG), mime_type="image/png")
    assert made["type"] == "image"
    assert (await client.picture(made["preview_url"])).status_code == 404  # nothing is there yet
    upload = made["upload_descriptor"]
    await client.upload(upload["url"], PNG, headers=upload["headers"])
    shown = await client.picture(made["preview_url"])
    assert (shown.content, shown.headers["content-type"], len(shown.history)) == (PNG, "image/png", 1)
    text = await _attached(client, "b.txt", "text/plain", b"hello")
    thread_id, _ = await client.create("look", attachments=[made["id"], text["id"]])
    image, file = client.shown(thread_id)[0]["attachments"]
    assert (image["type"], image["preview_url"], file["type"]) == ("image", made["preview_url"], "file")
    await assert_same(client, thread_id)
    forged = [made["preview_url"].replace(made["id"], text["id"]), made["preview_url"][:-1]]
    forged += [re.sub(r"expires=\d+", "expires=9999999999", made["preview_url"]), made["preview_url"].partition("?")[0]]
    assert {(await client.picture(url)).status_code for url in forged} == {403, 422}
    await client.ask("attachments.delete", attachment_id=made["id"])
    assert (await client.picture(made["preview_url"])).status_code == 404


async def test_what_only_says_that_it_is_an_image_is_not_shown(client: ChatKitClient) -> None:
    made = await _attached(client, "a.png", "image/png", b"just text")
    assert (await client.picture(made["preview_url"])).status_code == 404
    thread_id, _ = await client.create("look", attachments=[made["id"]])
    assert client.shown(thread_id)[0]["attachments"][0]["type"] == "file"


async def test_threads_are_listed_from_both_ends(client: ChatKitClient) -> None:
    made = [(await client.create(f"number {number}"))[0] for number in range(5)]
    for order, expected in (("asc", made), ("desc", made[::-1])):
        found: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = await client.ask("threads.list", limit=2, order=order, **after)
            found += [thread["id"] for thread in page["data"]]
            if not page["has_more"]:
                break
            after = {"after": page["after"]}
        assert found == expected


async def test_what_is_not_configured_says_so(client: ChatKitClient) -> None:
    audio = {"audio_base64": base64.b64encode(b"RIFF").decode(), "mime_type": "audio/webm;codecs=opus"}
    spoken = await client.post({"type": "input.transcribe", "params": audio})
    assert (spoken.status_code, spoken.json()["code"]) == (501, "not_configured")


async def test_speech_is_heard_by_the_provider(module_database_url: str) -> None:
    async def hear(request: web.Request) -> web.Response:
        form = await request.post()
        return web.json_response({"text": f"{form['model']} heard {len(form['file'].file.read())} bytes"})

    application = web.Application()
    application.router.add_post("/v1/audio/transcriptions", hear)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    configured = settings_for(module_database_url, llm_enabled=True, llm_api_base=base, transcription_model="whisper")
    async with served(configured) as http:
        pair = await http.post("/auth/login", json={"username": "ada", "password": PASSWORD})
        token = {"Authorization": f"Bearer {pair.json()['access_token']}"}
        secret = (await http.post("/chatkit/session", headers=token)).json()["client_secret"]
        client = ChatKitClient(http, str(http.base_url).rstrip("/").removesuffix("/api"), secret)
        audio = base64.b64encode(b"four").decode()
        told = await client.ask("input.transcribe", audio_base64=audio, mime_type="audio/webm;codecs=opus")
    await runner.cleanup()
    assert told == {"text": "whisper heard 4 bytes"}


async def test_a_thread_of_two_branches_shows_the_one_in_use(world: World) -> None:
    """A message that continues an older branch, which only the threads API can send."""
    caller, client = await world.person("branches")
    thread_id, _ = await client.create("one")
    first = client.shown(thread_id)
    await client.say(thread_id, "two")
    await caller.answered(thread_id, "other two", parent_id=first[1]["id"])
    stored = await client.stored(thread_id, limit=1)
    assert [item["content"][0]["text"] for item in stored if item["type"] == "user_message"] == ["one", "other two"]
    assert await client.stored(thread_id, order="desc", limit=2) == stored[::-1]


async def test_pages_of_another_site_may_call_when_they_are_named(module_database_url: str) -> None:
    named = settings_for(module_database_url, cors_origins="https://app.example")
    async with served(named) as http:
        root = str(http.base_url).rstrip("/").removesuffix("/api")
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        for origin, permitted in (("https://app.example", True), ("https://evil.example", False)):
            told = await http.options(f"{root}/chatkit", headers={"Origin": origin, **asked})
            assert (told.headers.get("access-control-allow-origin") == origin) == permitted
            assert "access-control-allow-credentials" not in told.headers
            refused = await http.post(f"{root}/chatkit", headers={"Origin": origin})
            assert refused.status_code == 401
            assert ("access-control-allow-origin" in refused.headers) == permitted


async def test_production_wants_https(module_database_url: str) -> None:
    production = {"CHAT_ENV": "production", "trusted_proxies": "127.0.0.1"}
    secure = {"X-Forwarded-Proto": "https"}
    async with served(settings_for(module_database_url, **production)) as http:
        root = str(http.base_url).rstrip("/").removesuffix("/api")
        assert (await http.post(f"{root}/chatkit")).json() == {"error": "HTTPS is required", "code": "https_required"}
        assert (await http.post("/chatkit/session")).status_code == 403
        assert (await http.post(f"{root}/chatkit", headers=secure)).json() == {"error": "Invalid client secret"}
    async with served(settings_for(module_database_url, CHAT_ENV="production")) as http:
        assert (await http.post("/chatkit/session", headers=secure)).status_code == 403
