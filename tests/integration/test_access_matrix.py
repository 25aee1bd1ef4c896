"""Who may reach what: every route of the program with every id that it takes, for everyone who may not use that id."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from frontdesk.app import build_http
from frontdesk.kit.ids import new_id
from harness.callers import Caller, assert_problem, founder, newcomer
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.served import served
from harness.visitors import assert_failure, build

PREFIX = "/api"
PATH_ID = re.compile(r"{(\w+)}")
WITHOUT_TOKEN = {
    "POST /auth/register",
    "POST /auth/login",
    "POST /auth/refresh",
    "GET /openapi.json",
    "GET /health",
    "GET /health/ready",
    "GET /metrics",
    "GET /blobs/{key:path}",
    "PUT /blobs/{key:path}",
    "GET /chatkit/images/{attachment_id}",  # tests/integration/test_chatkit.py
    "GET /public/chat-assets/{asset_id}",
    "GET /shared/{token}",  # tests/integration/test_sharing.py
}
# For browsers: documents and files without anybody's data but an interface that is published.
PAGES = {
    "GET /",
    "GET /console/{path:path}",
    "GET /chat-interfaces/{interface_id}/preview",
    "GET /c/{slug}",
    "GET /s/{token}",
    "GET /embed/{slug}",
    "GET /widget/{slug}.js",
    "GET /assets/{name}",
}
# What visitors do, with a session's token where it says so; test_public_chat_sessions.py has who may not.
PUBLIC_CHAT = "/public/chat-interfaces/{slug}"
VISITORS = {
    f"GET {PUBLIC_CHAT}",
    f"POST {PUBLIC_CHAT}/sessions",
    f"POST {PUBLIC_CHAT}/messages",
    f"GET {PUBLIC_CHAT}/stream",
    f"GET {PUBLIC_CHAT}/sessions/{{token}}/messages",
    f"POST {PUBLIC_CHAT}/sessions/{{token}}/end",
    f"DELETE {PUBLIC_CHAT}/sessions/{{token}}",
    f"POST {PUBLIC_CHAT}/executions/{{execution_id}}/cancel",
    f"POST {PUBLIC_CHAT}/upload",
    f"DELETE {PUBLIC_CHAT}/upload/{{file_id}}",
    f"POST {PUBLIC_CHAT}/query",
}
VISITORS |= {f"OPTIONS {route.split(' ')[1]}" for route in VISITORS}
# Each protected route, with a body that it accepts.
MATRIX: dict[str, dict[str, Any] | None] = {
    "POST /auth/logout": None,
    "POST /ws-tickets": {},
    "GET /auth/me": None,
    "GET /models": None,
    "GET /usage": None,
    "GET /usage/callers": None,
    "POST /threads": {"title": "mine"},
    "GET /threads": None,
    "GET /threads/{thread_id}": None,
    "PATCH /threads/{thread_id}": {"title": "taken", "metadata": {"taken": 1}, "is_deleted": True},
    "DELETE /threads/{thread_id}": None,
    "GET /threads/{thread_id}/export": None,
    "POST /threads/{thread_id}/share": None,
    "GET /threads/{thread_id}/share": None,
    "DELETE /threads/{thread_id}/share/{share_id}": None,
    "GET /threads/{thread_id}/messages": None,
    "POST /threads/{thread_id}/messages": {"text": "taken", "if_active": "interrupt"},
    "POST /threads/{thread_id}/messages/stream": {"text": "taken", "if_active": "interrupt"},
    "PATCH /threads/{thread_id}/messages/{message_id}": {"text": "taken"},
    "POST /threads/{thread_id}/messages/{message_id}/regenerate": {"if_active": "interrupt"},
    "POST /threads/{thread_id}/messages/{message_id}/feedback": {"kind": "negative", "comment": "taken"},
    "GET /threads/{thread_id}/executions/{execution_id}/stream": None,
    "POST /threads/{thread_id}/executions/{execution_id}/cancel": None,
    "GET /threads/{thread_id}/executions/{execution_id}": None,
    "POST /threads/{thread_id}/executions/{execution_id}/tool-results": {"call_id": "call_1", "result": "taken"},
    "POST /threads/{thread_id}/executions/{execution_id}/approvals": {"call_id": "call_1", "decision": "approve"},
    "POST /search/threads": {"query": "taken"},
    "POST /agents": {"name": "mine"},
    "GET /agents": None,
    "GET /agents/choices": None,
    "GET /agents/{agent_id}": None,
    "PATCH /agents/{agent_id}": {"name": "taken", "users": None},
    "DELETE /agents/{agent_id}": None,
    "POST /attachments": None,
    "POST /attachments/uploads": {"name": "mine.txt"},
    "POST /attachments/{attachment_id}/complete": None,
    "GET /attachments/{attachment_id}": None,
    "DELETE /attachments/{attachment_id}": None,
    "POST /chat-interfaces": {"name": "mine", "agentId": "AGENT"},
    "GET /chat-interfaces": None,
    "GET /chat-interfaces/{interface_id}": None,
    "PUT /chat-interfaces/{interface_id}": {"name": "taken"},
    "DELETE /chat-interfaces/{interface_id}": None,
    "POST /chat-interfaces/{interface_id}/publish": None,
    "POST /chat-interfaces/{interface_id}/unpublish": None,
    "POST /chat-interfaces/{interface_id}/duplicate": None,
    "POST /chat-interfaces/{interface_id}/identity-secret": None,
    "POST /chat-interfaces/{interface_id}/assets": None,
    "GET /chat-interfaces/{interface_id}/analytics": None,
    "GET /chat-interfaces/{interface_id}/sessions": None,
    "GET /chat-interfaces/{interface_id}/sessions/{visitor_session_id}": None,
    "GET /chat-interfaces/{interface_id}/sessions/{visitor_session_id}/messages": None,
    "POST /chat-interfaces/{interface_id}/sessions/{visitor_session_id}/end": None,
    "DELETE /chat-interfaces/{interface_id}/sessions/{visitor_session_id}": None,
    "GET /provider-threads/{thread_id}": None,
    "PUT /provider-threads/{thread_id}": {"conversation_id": "taken"},
    "POST /chat/sessions": {"title": "mine"},
    "GET /chat/sessions/{session_id}": None,
    "DELETE /chat/sessions/{session_id}": None,
    "GET /chat/sessions/{session_id}/messages": None,
    "POST /chat/sessions/{session_id}/messages": {"role": "system", "content": "taken"},
    "GET /chat/sessions/{session_id}/events": None,
    "GET /agent/tools": None,
}
# For administrators, whoever owns what they name: tests/integration/test_users_http.py.
ADMINISTRATORS = {"GET /users", "PATCH /users/{user_id}"}
# They take no ids of ours: tests of the proxy are their own.
PROXY = {
    "POST /agent/message/stream",
    "POST /v1/chat/completions",
    "POST /v1/embeddings",
    "GET /v1/models",
    "GET /v1/models/{model:path}",
}
# Their credentials and refusals are the protocol's: tests/integration/test_chatkit_access.py.
ELSEWHERE = {"POST /chatkit", "POST /chatkit/session", "POST /chatkit/refresh"}
# Its session is in a header or in the body.
INVOKING = "POST /agent/tools/{tool}/invoke"
WITHOUT_PREFIX = ("/chat/", "/agent/")
# Query parameters and body members that hold one of our ids, by their names anywhere.
QUERY_IDS = {
    "GET /threads": "thread_id",
    "GET /threads/{thread_id}/messages": "message_id",
    "GET /agents": "agent_id",
    "GET /chat-interfaces": "interface_id",
    "GET /chat-interfaces/{interface_id}/sessions": "visitor_session_id",
    "GET /chat/sessions/{session_id}/messages": "message_id",
}
BODY_IDS = {"parent_id": "message_id", "sender_id": "user_id", "user_id": "user_id", "agent_id": "agent_id"}
OPAQUE = {"conversation_id", "call_id"}  # the provider's own
MORE_QUERIES = {
    "GET /threads/{thread_id}": ["messages=100", "include_deleted=true"],
    "DELETE /threads/{thread_id}": ["purge=true"],
    "GET /threads/{thread_id}/export": ["format=markdown"],
    "GET /threads/{thread_id}/messages": ["page=2&limit=1"],
    "GET /threads/{thread_id}/executions/{execution_id}/stream": ["after=stored-1", "after=0-1"],
}


@dataclass(frozen=True)
class Holding:
    """The ids of someone's things: a thread with an answered message, one whose answer is under way, an agent and a
    session each.
    """

    user_id: str
    ended: dict[str, str]
    running: dict[str, str]


@dataclass(frozen=True)
class World:
    client: httpx.AsyncClient
    owner: Caller
    strangers: tuple[Caller, ...]
    holdings: dict[str, Holding]


@pytest.fixture(scope="module")
async def world(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[World]:
    settings = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        llm_timeout_seconds=600,
    )
    async with served(settings) as client:
        admin = await founder(client)
        owner, other = await newcomer(admin, "olga"), await newcomer(admin, "otto")
        holdings = {person.username: await _settle(person) for person in (admin, owner, other)}
        yield World(client, owner, (other, admin), holdings)
        for person in (admin, owner, other):
            held = holdings[person.username].running
            path = f"/threads/{held['thread_id']}/executions/{held['execution_id']}/cancel"
            assert (await person.send("POST", path)).status_code == 202


async def _settle(person: Caller) -> Holding:
    ended = (await person.made("POST", "/threads", json={"title": f"of {person.username}"}))["id"]
    message = await person.answered(ended, "a secret of mine")
    await person.made("PUT", f"/provider-threads/{ended}", json={"conversation_id": "c1"})
    running = (await person.made("POST", "/threads", json={}))["id"]
    under_way = await person.say(running, "go on", model="scripted?stall_at=0")
    return Holding(person.id, await _ids(person, message), await _ids(person, under_way))


async def _ids(person: Caller, message: dict[str, Any]) -> dict[str, str]:
    sessions = _address(person.client, "/chat/sessions")
    session_id = (await person.made("POST", sessions, json={"title": f"of {person.username}"}))["id"]
    said = {"role": "user", "content": "a secret of mine"}
    await person.made("POST", f"{sessions}/{session_id}/messages", json=said)
    chat = await build(person)
    visitor = await chat.visitor()
    await visitor.answer("a secret of mine")
    return {
        "session_id": session_id,
        "agent_id": (await person.made("POST", "/agents", json={"name": f"of {person.username}"}))["id"],
        "attachment_id": (await person.made("POST", "/attachments/uploads", json={"name": "mine.txt"}))["id"],
        "interface_id": chat.interface["id"],
        "visitor_session_id": visitor.id,
        "share_id": (await person.made("POST", f"/threads/{message['thread_id']}/share"))["id"],
        "thread_id": message["thread_id"],
        "message_id": message["id"],
        "execution_id": message["execution_id"],
    }


def _address(client: httpx.AsyncClient, path: str) -> str:
    """Absolute for the surfaces that have no prefix."""
    return str(client.base_url).removesuffix(f"{PREFIX}/") + path if path.startswith(WITHOUT_PREFIX) else path


def _routes() -> dict[str, Any]:
    """The program's own routes as `METHOD /path`, without the prefix."""
    http = build_http(settings_for("sqlite:///unused.db"))
    routes = {}
    for route in iter_route_contexts(http.routes):
        assert route.path is not None
        for method in (route.methods or set()) - {"HEAD"}:
            routes[f"{method} {route.path.removeprefix(PREFIX)}"] = route
    return routes


def _document() -> dict[str, Any]:
    return build_http(settings_for("sqlite:///unused.db")).openapi()


def _operation(document: dict[str, Any], route: str) -> dict[str, Any]:
    method, path = route.split(" ")
    paths = document["paths"]
    operation: dict[str, Any] = (paths.get(PREFIX + path) or paths[path])[method.lower()]
    return operation


def test_every_route_is_in_the_matrix() -> None:
    declared = set(MATRIX) | WITHOUT_TOKEN | ADMINISTRATORS | PROXY | ELSEWHERE | {INVOKING} | VISITORS | PAGES
    assert set(_routes()) == declared


def test_every_id_that_a_route_takes_is_in_the_matrix() -> None:
    document = _document()
    for route, example in MATRIX.items():
        operation = _operation(document, route)
        taken = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
        assert {name for name in taken if name.endswith("_id")} == set(), route
        pages = "after" in taken and "cursor" not in route and "stream" not in route
        assert pages == (route in QUERY_IDS), route
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if body:
            (name,) = re.findall(r"schemas/(\w+)", str(body))
            ids = {member for member in document["components"]["schemas"][name]["properties"] if member.endswith("_id")}
            assert ids <= BODY_IDS.keys() | OPAQUE, route
            assert example is not None, route


def _requests(world: World, person: Caller) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every request in which a path holds an id that is not the caller's, as the route and what fills it."""
    own = world.holdings[person.username]
    foreign = world.holdings[world.owner.username]
    for route in MATRIX:
        names = PATH_ID.findall(route)
        for held, mine in product((foreign.ended, foreign.running), (own.ended, own.running)):
            for picked in product((held, mine), repeat=len(names)):
                if any(which is held for which in picked):
                    yield route, {name: which[name] for name, which in zip(names, picked, strict=True)}
        if len(names) > 1:  # both mine, and of different threads
            yield route, {name: (own.ended, own.running)[number][name] for number, name in enumerate(names)}


def _unknown(ids: dict[str, str], world: World) -> dict[str, str]:
    """The same with an id that nobody has in place of each that is not the caller's."""
    held = (ids.values() for holding in world.holdings.values() for ids in (holding.ended, holding.running))
    known = set(chain.from_iterable(held))
    return {name: new_id() if value in known else value for name, value in ids.items()}


def assert_refused(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """In the words of its surface."""
    if "/chat-interfaces" in answer.request.url.path and answer.headers["content-type"] == "application/json":
        return assert_failure(answer, status, code or answer.json()["code"])
    return assert_problem(answer, status, code)


async def _ask(person: Caller, route: str, ids: dict[str, str], query: str = "") -> httpx.Response:
    method, path = route.split(" ")
    body = MATRIX[route]
    request = {} if body is None else {"json": body}
    address = _address(person.client, path.format(**ids)) + (f"?{query}" if query else "")
    return await person.send(method, address, **request)


async def _state(world: World) -> list[Any]:
    """All that the owner can see of what is theirs."""
    owner, seen = world.owner, []
    holding = world.holdings[owner.username]
    for ids in (holding.ended, holding.running):
        thread = ids["thread_id"]
        seen += [await owner.made("GET", f"/threads/{thread}{below}") for below in ("", "/export", "/share")]
        session = _address(owner.client, f"/chat/sessions/{ids['session_id']}")
        seen += [await owner.made("GET", session), await owner.made("GET", f"{session}/messages")]
        chat = f"/chat-interfaces/{ids['interface_id']}"
        below = f"{chat}/sessions/{ids['visitor_session_id']}"
        seen += [await owner.made("GET", path) for path in (chat, below, f"{below}/messages", "/chat-interfaces")]
    seen += [await owner.made("GET", "/threads?include_deleted=true"), await owner.made("GET", "/agents")]
    seen.append(await owner.made("GET", f"/provider-threads/{holding.ended['thread_id']}"))
    return seen


async def test_what_is_anothers_is_missing(world: World) -> None:
    await world.owner.until(
        f"/threads/{world.holdings['olga'].running['thread_id']}",
        lambda thread: thread["messages"][0]["status"] == "running",
    )
    before, asked = await _state(world), 0
    for person in world.strangers:
        for route, ids in _requests(world, person):
            for query in ("", *MORE_QUERIES.get(route, ())):
                refused = assert_refused(await _ask(person, route, ids, query), 404, "not_found")
                unknown = assert_refused(await _ask(person, route, _unknown(ids, world), query), 404, "not_found")
                assert refused == unknown, route
                asked += 1
    assert asked >= 250
    assert await _state(world) == before


async def test_what_is_anothers_is_missing_in_queries_and_bodies(world: World) -> None:
    before, sending = await _state(world), "POST /threads/{thread_id}/messages"
    foreign = world.holdings[world.owner.username]
    for person in world.strangers:
        own = world.holdings[person.username]
        for route, name in QUERY_IDS.items():
            wrong = [held[name] for held in (foreign.ended, foreign.running)]
            if name == "message_id":
                wrong.append(own.running[name])
            told = [
                assert_refused(await _ask(person, route, own.ended, f"after={id_}"), 404, "not_found")
                for id_ in (*wrong, new_id(), "no-id", "")
            ]
            assert all(problem == told[0] for problem in told), route
        for route in (sending, f"{sending}/stream"):
            path = route.split(" ")[1].format(**own.ended)
            parents = [foreign.ended["message_id"], foreign.running["message_id"], own.running["message_id"]]
            told = [
                assert_problem(await person.send("POST", path, json={"text": "x", "parent_id": id_}), 404, "not_found")
                for id_ in (*parents, new_id(), "no-id", "")
            ]
            assert all(problem == told[0] for problem in told), route
            for member, sender in product(("sender_id", "user_id"), (foreign.user_id, new_id(), "no-id", "")):
                for more in ({}, {"sender_id": person.id}, {"user_id": person.id}):
                    body = {"text": "x", **more, member: sender}
                    assert_problem(await person.send("POST", path, json=body), 403, "sender_mismatch")
    assert await _state(world) == before


async def test_a_tool_takes_no_session_of_anothers(world: World) -> None:
    """Neither in the header nor in the body nor as an argument; and what is refused is not recorded."""
    before = await _state(world)
    foreign = world.holdings[world.owner.username].ended["session_id"]
    path = _address(world.client, "/agent/tools/session_events/invoke")
    for person in world.strangers:
        own = world.holdings[person.username].ended["session_id"]
        for session_id in (foreign, new_id(), "no-id"):
            asked = [
                ({"X-Agent-Session-Id": session_id}, {}),
                ({}, {"session_id": session_id}),
                ({}, {"arguments": {}, "session_id": session_id}),
            ]
            for headers, body in asked:
                refused = await person.send("POST", path, json=body, headers=headers)
                assert_problem(refused, 404, "not_found")
        for body in ({"session_id": foreign}, {"arguments": {"session_id": foreign}}):
            refused = await person.send("POST", path, json=body, headers={"X-Agent-Session-Id": own})
            assert_problem(refused, 404, "not_found")
    assert await _state(world) == before


async def test_a_refused_message_does_not_stop_the_answer_under_way(world: World) -> None:
    """The caller's own thread, so everything but the one wrong id is in order."""
    own, before = world.holdings[world.owner.username], await _state(world)
    path = f"/threads/{own.running['thread_id']}/messages"
    for parent in (own.ended["message_id"], new_id()):
        body = {"text": "x", "parent_id": parent, "if_active": "interrupt"}
        assert_problem(await world.owner.send("POST", path, json=body), 404, "not_found")
        assert_problem(await world.owner.send("POST", f"{path}/stream", json=body), 404, "not_found")
        again = f"{path}/{parent}/regenerate"
        assert_problem(await world.owner.send("POST", again, json={"if_active": "interrupt"}), 404, "not_found")
    assert await _state(world) == before


async def test_a_key_is_its_callers_alone(world: World) -> None:
    titles = set()
    for person in (world.owner, *world.strangers):
        key = {"Idempotency-Key": "the same"}
        made = await person.send("POST", "/threads", json={"title": "the same"}, headers=key)
        assert (made.status_code, "idempotent-replayed" in made.headers) == (201, False)
        assert made.json()["user_id"] == person.id
        titles.add(made.json()["id"])
    assert len(titles) == 3


BAD_TOKENS: list[dict[str, str]] = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer x.y.z"},
    {"Authorization": "Basic b2xnYTpjb3JyZWN0IGhvcnNl"},
    {"Cookie": "access_token=x", "X-User-Id": "olga", "X-Forwarded-User": "olga"},
]


async def test_without_a_token_nothing_is_read(world: World) -> None:
    before, ids = await _state(world), world.holdings[world.owner.username].ended
    bodies = [(b'{"broken', "application/json"), (b"\xff\xfe", "text/plain"), (b"[" * 100_000, "application/json")]
    ids = ids | {"tool": "ingest_text", "user_id": world.owner.id}
    for route in (*MATRIX, *ADMINISTRATORS, INVOKING):
        method, path = route.split(" ")
        for token, (body, media_type) in product(BAD_TOKENS, bodies):
            headers = {**token, "Content-Type": media_type, "Idempotency-Key": b"\xe9"}
            address = _address(world.client, path.format(**ids))
            answer = await world.client.request(method, address, content=body, headers=headers)
            assert_refused(answer, 401)
        # An id that is not there tells no more than one that is.
        answer = await world.client.request(method, _address(world.client, PATH_ID.sub("x", path)))
        assert_refused(answer, 401, "unauthenticated")
    assert await _state(world) == before


async def test_an_administrators_role_opens_no_thread_and_lists_none(world: World) -> None:
    admin = world.strangers[1]
    assert (await admin.made("GET", "/auth/me"))["role"] == "admin"
    listed = await admin.made("GET", "/threads?limit=100&include_deleted=true")
    assert {thread["user_id"] for thread in listed["items"]} == {admin.id}


def test_the_sources_have_no_other_way_in(tmp_path: Path) -> None:
    """A mounted application or a socket would be outside of the matrix."""
    kinds = {type(route.original_route).__name__ for route in _routes().values()}
    assert kinds == {
        "DeclaredRoute",
        "PlainFailureRoute",
        "Route",
        "VisitorRoute",
        "ChatRoute",
        "PageRoute",
        "SessionRoute",
    }
