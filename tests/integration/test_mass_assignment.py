"""Fields that are not a caller's to set, and what allow lists keep from them."""

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from frontdesk.kit.ids import new_id
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.identities import PASSWORD, open_identity, settings_for
from harness.model_stub import ModelStub
from harness.served import served
from harness.visitors import build

FORGED_ID = "01900000-0000-7000-8000-000000000000"
LONG_AGO = "2001-01-01T00:00:00Z"
EXTRA: dict[str, Any] = {
    "id": FORGED_ID,
    "thread_id": FORGED_ID,
    "message_id": FORGED_ID,
    "owner": FORGED_ID,
    "owner_id": FORGED_ID,
    "role": "assistant",
    "is_admin": True,
    "tenant": "other",
    "tenant_id": FORGED_ID,
    "created_at": LONG_AGO,
    "updated_at": LONG_AGO,
    "last_message_at": LONG_AGO,
    "activity_at": LONG_AGO,
    "active_execution_id": FORGED_ID,
    "execution_id": FORGED_ID,
    "leaf_message_id": FORGED_ID,
    "message_count": 999,
    "position": 999,
    "attempt": 999,
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 1},
    "principal": {"is_admin": True},
    "__proto__": {"is_admin": True},
}
FORGED = {FORGED_ID, LONG_AGO, "assistant"}


@pytest.fixture(scope="module")
async def client(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
    )
    async with served(settings) as client:
        yield client


@pytest.fixture(scope="module")
async def admin(client: httpx.AsyncClient) -> Caller:
    return await founder(client)


@pytest.fixture(scope="module")
async def owner(admin: Caller) -> Caller:
    return await newcomer(admin, "olga")


def assert_unforged(record: dict[str, Any], forged: set[str] = FORGED) -> None:
    for name, value in record.items():
        assert not isinstance(value, str) or value not in forged, (name, value)


async def test_extra_fields_of_a_thread_have_no_effect(owner: Caller) -> None:
    extra = {**EXTRA, "user_id": FORGED_ID}
    made = await owner.made("POST", "/threads", json={"title": "mine", **extra})
    assert_unforged(made)
    assert (made["user_id"], made["is_deleted"], made["active_execution_id"]) == (owner.id, False, None)
    plain = await owner.made("POST", "/threads", json={"title": "mine"})
    assert plain.keys() == made.keys()
    sent = await owner.answered(made["id"])
    before = await owner.made("GET", f"/threads/{made['id']}")
    changed = await owner.made("PATCH", f"/threads/{made['id']}", json={"title": "new", "messages": [], **extra})
    assert_unforged(changed)
    after = await owner.made("GET", f"/threads/{made['id']}")
    assert after == {**before, "title": "new", "updated_at": changed["updated_at"]}
    assert sent["id"] in {message["id"] for message in after["messages"]}
    listed = await owner.made("GET", f"/threads/{made['id']}/messages")
    assert listed["total"] == 2


async def test_a_deleted_flag_in_a_new_thread_has_no_effect(owner: Caller) -> None:
    made = await owner.made("POST", "/threads", json={"is_deleted": True})
    assert made["is_deleted"] is False


async def test_extra_fields_of_messages_have_no_effect(owner: Caller, model_stub: ModelStub) -> None:
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    extra = {**EXTRA, "status": "completed"}
    sent = await owner.answered(thread, "hi", **extra)
    assert_unforged(sent)
    assert (sent["thread_id"], sent["sender_id"], sent["role"]) == (thread, owner.id, "user")
    assert (sent["status"], sent["usage"], sent["parent_id"]) == ("queued", None, None)
    path = f"/threads/{thread}/messages"
    streamed = await owner.send("POST", f"{path}/stream", json={"text": "again", **extra})
    assert streamed.status_code == 200
    assert FORGED_ID not in streamed.text
    edited = await owner.made("PATCH", f"{path}/{sent['id']}", json={"text": "edited", **EXTRA, "user_id": FORGED_ID})
    assert_unforged(edited)
    known = {"text": "edited", "status": "completed", "updated_at": edited["updated_at"]}
    assert edited == {**sent, **known, "model": edited["model"]}
    again = await owner.made("POST", f"{path}/{sent['id']}/regenerate", json={**extra, "user_id": FORGED_ID})
    assert_unforged(again, FORGED - {"assistant"})
    assert again["parent_id"] == sent["id"]
    judged = await owner.made(
        "POST", f"{path}/{again['id']}/feedback", json={"kind": "positive", **EXTRA, "user_id": FORGED_ID}
    )
    assert_unforged(judged)
    assert judged["message_id"] == again["id"]
    await owner.until(f"/threads/{thread}", lambda held: held["active_execution_id"] is None)
    listed = await owner.made("GET", f"{path}?limit=100")
    for message in listed["items"]:
        assert_unforged(message, FORGED - {"assistant"})
        assert message["sender_id"] == (owner.id if message["role"] == "user" else None)
    assert listed["total"] == 5


async def test_extra_fields_of_what_visitors_bring_have_no_effect(owner: Caller) -> None:
    chat = await build(owner, allowFileUpload=True, maxFiles=20)
    visitor = await chat.visitor()
    forged = {name: str(value) for name, value in EXTRA.items()}
    more = {"key": FORGED_ID, "owner_kind": "user", "max_bytes": "1", "thread_id": FORGED_ID, "state": "deleted"}
    files, token = {"file": ("a.txt", b"words")}, {"X-Session-Token": visitor.token}
    made = await chat.ask("POST", "/upload", files=files, data={**forged, **more}, headers=token)
    assert made.status_code == 201
    uploaded = made.json()
    assert_unforged(uploaded)
    assert f"/{chat.interface['id']}/{visitor.id}/" in uploaded["uri"]
    brought = {**EXTRA, "type": "file", "uri": uploaded["uri"], "size": 999, "downloadUrl": LONG_AGO, "status": "ready"}
    body = {**EXTRA, "sessionToken": visitor.token, "message": "hi", "attachments": [brought], "threadId": FORGED_ID}
    sent = await chat.ask("POST", "/messages", json=body)
    assert (sent.status_code, sent.json()["threadId"]) == (202, visitor.id)
    await visitor.until(lambda session: session["executionStatus"] == "completed")
    (told,) = (await visitor.messages())[0]["attachments"]
    assert_unforged(told)
    assert (told["size"], told["status"]) == (5, "ready")
    query = {**EXTRA, "sessionToken": visitor.token, "query": "words", "sessionId": FORGED_ID}
    (found,) = (await chat.ask("POST", "/query", json=query)).json()["results"]
    assert found["content"] == "words"
    picture = {"file": ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(64))}
    asset = await owner.send("POST", f"{chat.path}/assets", files=picture, data={**forged, "type": "icon"})
    assert asset.status_code == 201
    assert_unforged(asset.json())


async def test_extra_fields_of_provider_state_have_no_effect(owner: Caller) -> None:
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    path = f"/provider-threads/{thread}"
    put = await owner.made("PUT", path, json={"conversation_id": "c", **EXTRA, "user_id": FORGED_ID})
    assert_unforged(put)
    assert put["thread_id"] == thread
    assert await owner.made("GET", path) == put


async def test_a_role_is_not_to_be_had(owner: Caller, admin: Caller, client: httpx.AsyncClient) -> None:
    wanted = {"username": "mallory", "password": PASSWORD, "role": "admin"}
    for asked in (client.post("/auth/register", json=wanted), owner.send("POST", "/auth/register", json=wanted)):
        assert_problem(await asked, 403, "forbidden")
    login = {"username": "mallory", "password": PASSWORD, "role": "admin", "is_admin": True}
    assert_problem(await client.post("/auth/login", json=login), 401, "bad_credentials")
    signed_in = await client.post("/auth/login", json={**login, "username": "olga", "user_id": admin.id})
    token = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
    me = await client.get("/auth/me", headers=token)
    assert (me.json()["id"], me.json()["role"]) == (owner.id, "user")
    assert_problem(await client.post("/auth/register", json=wanted, headers=token), 403, "forbidden")


# Everything that can be done with a thread, as what follows `/threads/{id}` or a whole path.
ON_A_THREAD: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/threads/{thread}", None),
    ("GET", "/threads/{thread}?include_deleted=true", None),
    ("PATCH", "/threads/{thread}", {"title": "x"}),
    ("PATCH", "/threads/{thread}", {"metadata": {"product_id": None, "agent_id": None}}),
    ("PATCH", "/threads/{thread}", {"is_deleted": True}),
    ("GET", "/threads/{thread}/export", None),
    ("GET", "/threads/{thread}/export?format=markdown", None),
    ("POST", "/threads/{thread}/share", None),
    ("GET", "/threads/{thread}/share", None),
    ("GET", "/threads/{thread}/messages", None),
    ("POST", "/threads/{thread}/messages", {"text": "x"}),
    ("POST", "/threads/{thread}/messages/stream", {"text": "x"}),
    ("PATCH", "/threads/{thread}/messages/{message}", {"text": "x"}),
    ("POST", "/threads/{thread}/messages/{message}/regenerate", {}),
    ("POST", "/threads/{thread}/messages/{message}/feedback", {"kind": "positive"}),
    ("GET", "/threads/{thread}/executions/{execution}/stream", None),
    ("POST", "/threads/{thread}/executions/{execution}/cancel", None),
    ("GET", "/provider-threads/{thread}", None),
    ("PUT", "/provider-threads/{thread}", {"conversation_id": "x"}),
    ("DELETE", "/threads/{thread}", None),
    ("DELETE", "/threads/{thread}?purge=true", None),
]


@pytest.mark.parametrize("key", ["product_id", "agent_id"])
async def test_allow_lists_hold_on_every_route_within_a_second_of_shrinking(
    key: str, admin: Caller, module_database_url: str
) -> None:
    kind = "products" if key == "product_id" else "agents"
    person = await newcomer(admin, f"reader of {kind}", **{f"allowed_{kind}": ["a", "b"]})
    assert_problem(await person.send("POST", "/threads", json={"metadata": {key: "c"}}), 403, "not_allowed")
    thread = (await person.made("POST", "/threads", json={"metadata": {key: "a"}}))["id"]
    assert_problem(await person.send("PATCH", f"/threads/{thread}", json={"metadata": {key: "c"}}), 403, "not_allowed")
    sending = {"json": {"text": "hi"}, "headers": {"Idempotency-Key": f"k {kind}"}}
    sent = await person.made("POST", f"/threads/{thread}/messages", **sending)
    await person.until(f"/threads/{thread}", lambda held: held["active_execution_id"] is None)
    judging = {"json": {"kind": "positive"}, "headers": {"Idempotency-Key": f"f {kind}"}}
    feedback = f"/threads/{thread}/messages/{sent['id']}/feedback"
    await person.made("POST", feedback, **judging)
    await person.made("PUT", f"/provider-threads/{thread}", json={"conversation_id": "c"})
    before = await person.made("GET", f"/threads/{thread}/export")

    async with open_identity(settings_for(module_database_url)) as elsewhere:  # as another process changes it
        lists: dict[str, Any] = {"products": None, "agents": None}
        await elsewhere.users.set_allow_lists(person.id, **{**lists, kind: ("b",)})
        changed = time.monotonic()
        while (await person.send("GET", f"/threads/{thread}")).status_code == 200:
            assert time.monotonic() - changed < 1
        ids = {"thread": thread, "message": sent["id"], "execution": sent["execution_id"]}
        for method, path, body in ON_A_THREAD:
            request = {} if body is None else {"json": body}
            assert_problem(await person.send(method, path.format(**ids), **request), 403, "not_allowed")
        for path, request in ((f"/threads/{thread}/messages", sending), (feedback, judging)):
            assert_problem(await person.send("POST", path, **request), 403, "not_allowed")
        # The list goes on behind it: a page that ends there has a next one.
        assert (await person.send("GET", f"/threads?after={thread}")).status_code == 200

        await elsewhere.users.set_allow_lists(person.id, **lists)
        await person.until("/auth/me", lambda me: me["permissions"][kind] is None)
        changed = time.monotonic()
        while (await person.send("GET", f"/threads/{thread}")).status_code != 200:
            assert time.monotonic() - changed < 1
    assert await person.made("GET", f"/threads/{thread}/export") == before
    replayed = await person.send("POST", f"/threads/{thread}/messages", **sending)
    assert (replayed.json()["id"], replayed.headers["idempotent-replayed"]) == (sent["id"], "true")


NOT_NAMES: list[Any] = [["a"], {"a": 1}, 1, True, "", "A", "a ", "a\u200b", [], {}, 0, False]


async def test_only_the_very_names_of_an_allow_list_are_permitted(admin: Caller) -> None:
    person = await newcomer(admin, "precise", allowed_products=["a"], allowed_agents=["a"])
    thread = (await person.made("POST", "/threads", json={"metadata": {"product_id": None, "agent_id": "a"}}))["id"]
    for key in ("product_id", "agent_id"):
        for value in NOT_NAMES:
            metadata = {"metadata": {key: value}}
            assert_problem(await person.send("POST", "/threads", json=metadata), 403, "not_allowed")
            assert_problem(await person.send("PATCH", f"/threads/{thread}", json=metadata), 403, "not_allowed")
    nobody = await newcomer(admin, "nobody", allowed_products=[])
    assert_problem(await nobody.send("POST", "/threads", json={"metadata": {"product_id": "a"}}), 403, "not_allowed")
    assert (await nobody.send("POST", "/threads", json={"metadata": {"agent_id": "a"}})).status_code == 201


async def test_a_purged_threads_answers_are_not_replayed(owner: Caller) -> None:
    thread = (await owner.made("POST", "/threads", json={}))["id"]
    sending = {"json": {"text": "to be forgotten"}, "headers": {"Idempotency-Key": new_id()}}
    sent = await owner.made("POST", f"/threads/{thread}/messages", **sending)
    assert (await owner.send("DELETE", f"/threads/{thread}")).status_code == 204
    replayed = await owner.send("POST", f"/threads/{thread}/messages", **sending)
    assert (replayed.status_code, replayed.json()) == (201, sent)
    assert (await owner.send("DELETE", f"/threads/{thread}?purge=true")).status_code == 204
    assert_problem(await owner.send("POST", f"/threads/{thread}/messages", **sending), 404, "not_found")
