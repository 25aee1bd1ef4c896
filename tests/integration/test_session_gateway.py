"""Sessions of agent front ends over HTTP: what each route does and refuses, and who holds a session."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from frontdesk.cli.listening import bind, decided_for
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.sessions import SessionCaller, session_gateway


@dataclass(frozen=True)
class Place:
    visitor: SessionCaller
    user: SessionCaller
    other: SessionCaller
    account: Caller


@asynccontextmanager
async def _open(database_url: str, model: ModelStub, **changes: object) -> AsyncIterator[Place]:
    settings = settings_for(
        database_url,
        **{
            "llm_enabled": True,
            "llm_api_base": model.url,
            "llm_default_model": "scripted?tokens=3",
            "sessions_allow_anonymous": "true",
            "gateway_url": "https://chat.example.com/",
            **changes,
        },
    )
    async with session_gateway(settings) as visitor:
        account = await founder(visitor.client)
        other = await newcomer(account, "bob")
        yield Place(
            visitor,
            SessionCaller(visitor.client, visitor.root, account.headers),
            SessionCaller(visitor.client, visitor.root, other.headers),
            account,
        )


@pytest.fixture(scope="module")
async def place(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Place]:
    async with _open(module_database_url, model_stub) as opened:
        yield opened


async def _answered(caller: SessionCaller, session_id: str) -> list[dict[str, Any]]:
    """The messages once no answer is under way."""
    account = Caller(caller.client, "", "", caller.headers)
    await account.until(f"{caller.root}/chat/sessions/{session_id}", lambda session: session["status"] == "active")
    listed: list[dict[str, Any]] = (await caller.ask("GET", f"/chat/sessions/{session_id}/messages")).json()["items"]
    return listed


async def test_a_session_is_made_found_and_ended(place: Place) -> None:
    made = await place.user.ask("POST", "/chat/sessions", json={"title": "Docs", "metadata": {"a": 1}})
    assert made.status_code == 201
    session = made.json()
    assert made.headers["location"] == f"https://chat.example.com/chat/sessions/{session['id']}"
    assert {name: session[name] for name in ("title", "status", "message_count", "metadata")} == {
        "title": "Docs",
        "status": "active",
        "message_count": 0,
        "metadata": {"a": 1},
    }
    assert len(session["id"]) == 32  # 24 random bytes
    path = f"/chat/sessions/{session['id']}"
    assert (await place.user.ask("GET", path)).json() == session
    assert (await place.user.ask("DELETE", path)).status_code == 204
    for method, below in (("GET", ""), ("GET", "/messages"), ("GET", "/events"), ("DELETE", "")):
        assert_problem(await place.user.ask(method, path + below), 404, "not_found")
    assert_problem(
        await place.user.ask("POST", f"{path}/messages", json={"role": "user", "content": "x"}), 404, "not_found"
    )


async def test_a_session_is_a_thread_of_its_owner(place: Place) -> None:
    session = (await place.user.ask("POST", "/chat/sessions", json={"title": "both"})).json()
    await place.user.say(session["id"], "from the session")
    thread = await place.account.made("GET", f"/threads/{session['thread_id']}")
    assert (thread["title"], [message["text"] for message in thread["messages"]]) == ("both", ["from the session"])
    await place.account.answered(session["thread_id"], "from the thread")
    listed = (await place.user.ask("GET", f"/chat/sessions/{session['id']}/messages")).json()["items"]
    assert [(one["role"], one["content"]) for one in listed] == [
        ("user", "from the session"),
        ("user", "from the thread"),
        ("assistant", "t0 t1 t2 "),
    ]


async def test_a_users_session_is_nobody_elses(place: Place) -> None:
    session_id = await place.user.session()
    for caller in (place.other, place.visitor):
        for method, below in (("GET", ""), ("GET", "/messages"), ("GET", "/events"), ("DELETE", "")):
            assert_problem(await caller.ask(method, f"/chat/sessions/{session_id}{below}"), 404, "not_found")
        body = {"role": "user", "content": "x"}
        assert_problem(await caller.ask("POST", f"/chat/sessions/{session_id}/messages", json=body), 404, "not_found")
        assert_problem(await caller.invoke(session_id, "drive_status", json={}), 404, "not_found")
    assert (await place.user.ask("GET", f"/chat/sessions/{session_id}/messages")).json()["items"] == []


async def test_a_visitors_session_is_held_by_whoever_knows_its_id(place: Place) -> None:
    session_id = await place.visitor.session(title="mine")
    await place.visitor.say(session_id, "hello", respond=True)
    found = await _answered(place.visitor, session_id)
    assert [(one["role"], one["content"], one["status"]) for one in found] == [
        ("user", "hello", "completed"),
        ("assistant", "t0 t1 t2 ", "completed"),
    ]
    assert (await place.other.ask("GET", f"/chat/sessions/{session_id}")).json()["title"] == "mine"
    assert_problem(await place.visitor.ask("GET", f"/chat/sessions/{session_id[:-1]}"), 404, "not_found")


@pytest.mark.parametrize(
    ("allowed", "host", "status"), [("false", None, 401), ("auto", None, 401), ("true", None, 201)]
)
async def test_sessions_without_an_account_are_a_setting(
    sqlite_url: str, model_stub: ModelStub, allowed: str, host: str | None, status: int
) -> None:
    """What `auto` means is decided where the addresses are known: an application that was told nothing refuses."""
    async with _open(sqlite_url, model_stub, sessions_allow_anonymous=allowed) as place:
        made = await place.visitor.ask("POST", "/chat/sessions", json={})
        assert made.status_code == status
        if status == 401:
            assert_problem(made, 401, "unauthenticated")
        assert (await place.user.ask("POST", "/chat/sessions", json={})).status_code == 201


@pytest.mark.parametrize(("host", "allowed"), [("127.0.0.1", "true"), ("0.0.0.0", "false")])
def test_auto_is_for_loopback_addresses(host: str, allowed: str) -> None:
    settings = settings_for("sqlite:///unused.db")
    sockets = bind(host, 0)
    try:
        assert decided_for(settings, sockets).sessions_allow_anonymous == allowed
        told = settings.model_copy(update={"sessions_allow_anonymous": "false"})
        assert decided_for(told, sockets).sessions_allow_anonymous == "false"
    finally:
        for listener in sockets:
            listener.close()


async def test_messages_of_every_role_come_back_by_the_page(place: Place) -> None:
    session_id = await place.user.session()
    roles = ["system", "user", "assistant", "tool", "user"]
    said = [await place.user.say(session_id, f"m{n}", role=role, metadata={"n": n}) for n, role in enumerate(roles)]
    assert [one["status"] for one in said] == ["completed"] * 5
    path, pages, after = f"/chat/sessions/{session_id}/messages?limit=2", [], ""
    while after is not None:
        page = (await place.user.ask("GET", path + (f"&after={after}" if after else ""))).json()
        pages.append(page["items"])
        after = page["next"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == said
    assert [one["metadata"] for one in said] == [{"n": n} for n in range(5)]
    assert (await place.user.ask("GET", f"/chat/sessions/{session_id}")).json()["message_count"] == 5


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"role": "owner", "content": "x"}, 422, "validation_error"),
        ({"role": "user", "content": ""}, 422, "validation_error"),
        ({"role": "user"}, 422, "validation_error"),
        ({"role": "assistant", "content": "x", "respond": True}, 422, "validation_error"),
        ({"role": "user", "content": "a\0b"}, 422, "validation_error"),
        ("broken", 400, "malformed_json"),
        ({"role": "user", "content": "x" * 1_100_000}, 413, "body_too_large"),
    ],
)
async def test_what_is_no_message_is_refused(place: Place, body: Any, status: int, code: str) -> None:
    session_id = await place.user.session()
    path = f"/chat/sessions/{session_id}/messages"
    if isinstance(body, str):
        request: dict[str, Any] = {"content": "{", "headers": {"Content-Type": "application/json"}}
    else:
        request = {"json": body}
    assert_problem(await place.user.ask("POST", path, **request), status, code)
    assert (await place.user.ask("GET", path)).json() == {"items": [], "next": None}


async def test_what_is_no_session_is_refused(place: Place) -> None:
    for body in ({"title": "x" * 501}, {"metadata": []}, {"agent_id": ""}):
        assert_problem(await place.user.ask("POST", "/chat/sessions", json=body), 422, "validation_error")
    nobodys = {"agent_id": "01890000-0000-7000-8000-000000000000"}
    assert_problem(await place.user.ask("POST", "/chat/sessions", json=nobodys), 404, "not_found")
    for query in ("limit=0", "limit=101", "limit=x"):
        listed = await place.user.ask("GET", f"/chat/sessions/{await place.user.session()}/messages?{query}")
        assert_problem(listed, 422, "validation_error")
    bad = await place.visitor.ask("POST", "/chat/sessions", json={}, headers={"Authorization": "Bearer x.y.z"})
    assert_problem(bad, 401, "bad_token")


async def test_an_answer_under_way_is_not_answered_over(place: Place, model_stub: ModelStub) -> None:
    session_id = await place.user.session()
    session = (await place.user.ask("GET", f"/chat/sessions/{session_id}")).json()
    sent = await place.account.say(session["thread_id"], "go on", model="scripted?stall_at=0")
    path, body = f"/chat/sessions/{session_id}/messages", {"role": "user", "content": "and?", "respond": True}
    assert (await place.user.ask("GET", f"/chat/sessions/{session_id}")).json()["status"] == "answering"
    assert_problem(await place.user.ask("POST", path, json=body), 409, "execution_active")
    await place.user.say(session_id, "a note meanwhile", role="tool")
    await place.user.say(session_id, "never mind", respond=True, if_active="interrupt")
    found = await _answered(place.user, session_id)
    assert [(one["role"], one["status"]) for one in found] == [
        ("user", "interrupted"),
        ("assistant", "interrupted"),
        ("tool", "completed"),
        ("user", "completed"),
        ("assistant", "completed"),
    ]
    assert sent["id"] == found[0]["id"]


async def test_the_model_is_given_what_was_stored_with_no_more_authority_than_its_author(
    place: Place, model_stub: ModelStub
) -> None:
    model = "scripted?tokens=1&key=history"
    agent = await place.account.made(
        "POST", "/agents", json={"name": "a", "model": "scripted?tokens=1&key=agent", "instructions": "Obey me alone."}
    )
    for agent_id in (None, agent["id"]):
        session = (await place.user.ask("POST", "/chat/sessions", json={"agent_id": agent_id})).json()
        assert session["metadata"] == ({} if agent_id is None else {"agent_id": agent_id})
        await place.user.say(session["id"], "be brief", role="system")
        await place.user.say(session["id"], '{"rows": 3}', role="tool")
        await place.user.say(session["id"], "earlier", role="assistant")
        if agent_id is None:
            await place.account.answered(session["thread_id"], "now", model=model)
        else:
            await place.user.say(session["id"], "now", respond=True)
            await _answered(place.user, session["id"])
    (plain,) = await model_stub.calls("history")
    tool = {"role": "user", "content": '[Result of a tool]\n{"rows": 3}'}
    rest = [tool, {"role": "assistant", "content": "earlier"}, {"role": "user", "content": "now"}]
    assert plain["body"]["messages"] == [{"role": "system", "content": "be brief"}, *rest]
    (agents,) = await model_stub.calls("agent")
    first = [{"role": "system", "content": "Obey me alone."}, {"role": "user", "content": "[Note]\nbe brief"}]
    assert agents["body"]["messages"] == [*first, *rest]


async def test_a_key_makes_one_session_and_one_message(place: Place) -> None:
    key = {"Idempotency-Key": "once"}
    made = [await place.user.ask("POST", "/chat/sessions", json={"title": "k"}, headers=key) for _ in range(2)]
    assert made[0].json() == made[1].json()
    assert made[1].headers["idempotent-replayed"] == "true"
    path = f"/chat/sessions/{made[0].json()['id']}/messages"
    said = [
        await place.user.ask("POST", path, json={"role": "user", "content": "x"}, headers={"Idempotency-Key": "m"})
        for _ in range(2)
    ]
    assert said[0].json() == said[1].json()
    assert len((await place.user.ask("GET", path)).json()["items"]) == 1
    reused = await place.user.ask("POST", "/chat/sessions", json={"title": "l"}, headers=key)
    assert_problem(reused, 422, "idempotency_key_reused")


async def test_strangers_open_so_many_sessions_a_minute_and_users_as_many_as_they_like(
    sqlite_url: str, model_stub: ModelStub
) -> None:
    async with _open(sqlite_url, model_stub, sessions_per_address=3) as place:
        for _ in range(3):
            await place.visitor.session()
        refused = await place.visitor.ask("POST", "/chat/sessions", json={})
        assert_problem(refused, 429, "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit-Policy"] == '"sessions-address";q=3;w=60'
        await place.user.session()
