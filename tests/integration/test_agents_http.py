"""The agents routes over real sockets and real databases."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from harness.conversations import until
from harness.identities import PASSWORD, settings_for
from harness.served import served

AGENTS_FILE = """
python: {writer: {agent: "harness.python_agents:scripted"}}
remote: {planner: {url: "http://127.0.0.1:9"}}
"""
TOOLS_FILE = """
tools:
  - {name: ask, description: Ask, client: true, parameters: {type: object}}
"""
FIELDS = {
    *("id", "ownerId", "name", "kind", "runtime", "model", "instructions", "tools", "temperature", "limits", "users"),
    *("metadata", "createdAt", "updatedAt"),
}


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    (tmp_path / "agents.yaml").write_text(AGENTS_FILE)
    (tmp_path / "tools.yaml").write_text(TOOLS_FILE)
    files = {"agents_file": str(tmp_path / "agents.yaml"), "tools_file": str(tmp_path / "tools.yaml")}
    async with served(settings_for(database_url, llm_enabled=True, **files)) as client:
        yield client


class Someone:
    """A user with a token. The first that is made is the administrator."""

    def __init__(self, client: httpx.AsyncClient, user: dict[str, Any], token: str) -> None:
        self._client = client
        self.id: str = user["id"]
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        given = {} if body is None else {"json": body}
        return await self._client.request(method, path, headers=self._headers, **given, **options)

    async def agent(self, **fields: Any) -> dict[str, Any]:
        made = await self.call("POST", "/agents", {"name": "agent", **fields})
        assert made.status_code == 201, made.text
        agent: dict[str, Any] = made.json()
        return agent

    async def register(self, username: str, **fields: Any) -> "Someone":
        """Another user, made by this one, who is the administrator."""
        account = {"username": username, "password": PASSWORD, "email": f"{username}@example.org", "role": "user"}
        made = await self.call("POST", "/auth/register", {**account, **fields})
        assert made.status_code == 201, made.text
        return await signed_in(self._client, made.json())


async def signed_in(client: httpx.AsyncClient, user: dict[str, Any]) -> Someone:
    credentials = {"username": user["username"], "password": PASSWORD}
    answer = await client.post("/auth/login", json=credentials)
    return Someone(client, user, answer.json()["access_token"])


@pytest.fixture
async def ann(client: httpx.AsyncClient) -> Someone:
    account = {"username": "ann", "password": PASSWORD, "email": "ann@example.org", "role": "user"}
    made = await client.post("/auth/register", json=account)
    assert made.status_code == 201, made.text
    return await signed_in(client, made.json())


def assert_problem(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == code


async def test_the_life_of_an_agent(ann: Someone) -> None:
    agent = await ann.agent(
        name="  Helper ", instructions="Be brief", tools=["ask"], temperature=0.5, limits={"maxSteps": 3}
    )
    assert agent.keys() == FIELDS
    assert (agent["name"], agent["kind"], agent["runtime"], agent["ownerId"]) == ("Helper", "model", None, ann.id)
    assert agent["limits"] == {"maxSteps": 3, "maxSeconds": 300.0, "maxTokens": None}
    assert (agent["users"], agent["metadata"], agent["tools"]) == ([], {}, ["ask"])
    assert agent["createdAt"].endswith("Z")
    path = f"/agents/{agent['id']}"
    assert (await ann.call("GET", path)).json() == agent

    changed = await ann.call("PATCH", path, {"limits": {"maxSeconds": 5}, "temperature": None, "name": "Other"})
    assert changed.status_code == 200, changed.text
    assert changed.json()["limits"] == {"maxSteps": 3, "maxSeconds": 5, "maxTokens": None}
    same = FIELDS - {"limits", "temperature", "name", "updatedAt"}
    assert {name: changed.json()[name] for name in same} == {name: agent[name] for name in same}
    assert (changed.json()["temperature"], changed.json()["name"]) == (None, "Other")
    assert (await ann.call("GET", path)).json() == changed.json()

    assert (await ann.call("DELETE", path)).status_code == 204
    for method in ("GET", "DELETE"):
        assert_problem(await ann.call(method, path), 404, "not_found")
    assert_problem(await ann.call("PATCH", path, {"name": "x"}), 404, "not_found")
    assert (await ann.call("GET", "/agents")).json() == {"items": [], "page": 1, "limit": 20, "total": 0}


async def test_both_forms_of_names_come_in(ann: Someone) -> None:
    snake = await ann.agent(limits={"max_steps": 2, "max_tokens": 9})
    camel = await ann.agent(limits={"maxSteps": 2, "maxTokens": 9})
    assert snake["limits"] == camel["limits"] == {"maxSteps": 2, "maxSeconds": 300.0, "maxTokens": 9}
    path = f"/agents/{snake['id']}"
    for body in ({"limits": {"max_steps": 4}}, {"limits": {"maxSteps": 4}}):
        changed = await ann.call("PATCH", path, body)
        assert changed.json()["limits"] == {"maxSteps": 4, "maxSeconds": 300.0, "maxTokens": 9}


async def test_agents_are_listed_newest_first_by_pages(ann: Someone) -> None:
    made = [(await ann.agent(name=f"agent {number}"))["id"] for number in range(5)]
    pages = [(await ann.call("GET", f"/agents?page={page}&limit=2")).json() for page in (1, 2, 3)]
    assert [agent["id"] for page in pages for agent in page["items"]] == made[::-1]
    assert {(page["limit"], page["total"]) for page in pages} == {(2, 5)}
    assert_problem(await ann.call("GET", "/agents?limit=0"), 422, "validation_error")


async def test_what_is_configured_can_be_a_runtime(ann: Someone) -> None:
    for kind, runtime in (("python", "writer"), ("remote", "planner")):
        agent = await ann.agent(kind=kind, runtime=runtime)
        assert (agent["kind"], agent["runtime"]) == (kind, runtime)


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"tools": ["nothing", "ask", "nor_this"]}, "invalid_agent", "There is no tool named nothing, nor_this"),
        ({"kind": "python"}, "invalid_agent", "no python runtime None; there are: writer"),
        ({"kind": "python", "runtime": "planner"}, "invalid_agent", "no python runtime planner; there are: writer"),
        ({"kind": "remote", "runtime": "http://127.0.0.1/"}, "invalid_agent", "there are: planner"),
        ({"kind": "python", "runtime": "os:system"}, "invalid_agent", "there are: writer"),
        ({"runtime": "writer"}, "invalid_agent", "An agent of the kind model has no runtime"),
        ({"kind": "other"}, "validation_error", "kind"),
        ({"name": ""}, "validation_error", "name"),
        ({"name": "x" * 201}, "validation_error", "name"),
        ({"name": None}, "validation_error", "name"),
        ({"temperature": 2.5}, "validation_error", "temperature"),
        ({"limits": {"maxSteps": 0}}, "validation_error", "maxSteps"),
        ({"limits": {"maxSeconds": 0}}, "validation_error", "maxSeconds"),
        ({"limits": {"maxTokens": 0}}, "validation_error", "maxTokens"),
        ({"limits": None}, "validation_error", "limits"),
        ({"tools": ["x"] * 129}, "validation_error", "tools"),
        ({"tools": "ask"}, "validation_error", "tools"),
        ({"users": [7]}, "validation_error", "users"),
        ({"instructions": "x" * 100_001}, "validation_error", "instructions"),
        ({"metadata": []}, "validation_error", "metadata"),
    ],
)
async def test_an_agent_that_cannot_be_is_refused(ann: Someone, fields: dict[str, Any], code: str, said: str) -> None:
    agent = await ann.agent()
    path = f"/agents/{agent['id']}"
    for refused in (
        await ann.call("POST", "/agents", {"name": "agent", **fields}),
        await ann.call("PATCH", path, fields),
    ):
        assert_problem(refused, 422, code)
        assert said in refused.text
        assert refused.json()["errors"][0]["loc"][1] in fields.keys() | {"runtime"}
    assert (await ann.call("GET", path)).json() == agent
    assert (await ann.call("GET", "/agents")).json()["total"] == 1


async def test_what_an_agent_can_be_made_of_is_listed(ann: Someone) -> None:
    ask = {"name": "ask", "description": "Ask", "runsAt": "client", "requiresApproval": False}
    told = await ann.call("GET", "/agents/choices")
    assert told.json() == {"tools": [ask], "runtimes": {"python": ["writer"], "remote": ["planner"]}}


async def test_an_agent_needs_a_name(ann: Someone) -> None:
    assert_problem(await ann.call("POST", "/agents", {}), 422, "validation_error")


async def test_an_agent_is_its_owners_and_those_it_is_shared_with(ann: Someone) -> None:
    bob, eve = await ann.register("bob"), await ann.register("eve")
    own, shared, public = await bob.agent(), await bob.agent(users=[eve.id]), await bob.agent(users=None)

    async def seen(someone: Someone) -> list[str]:
        listed = (await someone.call("GET", "/agents")).json()
        assert listed["total"] == len(listed["items"])
        return [agent["id"] for agent in listed["items"]]

    assert await seen(bob) == [public["id"], shared["id"], own["id"]]
    assert await seen(eve) == [public["id"], shared["id"]]
    assert await seen(ann) == [public["id"]]
    assert (await eve.call("GET", f"/agents/{shared['id']}")).json() == shared
    for path in (f"/agents/{own['id']}", f"/agents/{uuid4()}", "/agents/nothing"):
        assert_problem(await eve.call("GET", path), 404, "not_found")
    for agent in (own, shared, public):
        assert_problem(await eve.call("PATCH", f"/agents/{agent['id']}", {"name": "mine"}), 404, "not_found")
        assert_problem(await eve.call("DELETE", f"/agents/{agent['id']}"), 404, "not_found")
    taken_back = await bob.call("PATCH", f"/agents/{shared['id']}", {"users": []})
    assert taken_back.json()["users"] == []
    assert await seen(eve) == [public["id"]]


async def test_only_known_fields_are_taken(ann: Someone) -> None:
    agent = await ann.agent(id=str(uuid4()), ownerId="other", isDeleted=True, createdAt="2000-01-01T00:00:00Z")
    assert agent["ownerId"] == ann.id
    assert not agent["createdAt"].startswith("2000")
    changed = await ann.call("PATCH", f"/agents/{agent['id']}", {"owner_id": "other", "is_deleted": True})
    assert changed.json()["ownerId"] == ann.id
    assert (await ann.call("GET", f"/agents/{agent['id']}")).status_code == 200


async def test_an_allow_list_bounds_what_is_seen_and_used(ann: Someone) -> None:
    allowed, other = await ann.agent(users=None), await ann.agent(users=None)
    cat = await ann.register("cat", allowed_agents=[allowed["id"]])
    listed = (await cat.call("GET", "/agents")).json()
    assert [agent["id"] for agent in listed["items"]] == [allowed["id"]]
    assert listed["total"] == 1
    assert (await cat.call("GET", f"/agents/{allowed['id']}")).status_code == 200
    assert_problem(await cat.call("GET", f"/agents/{other['id']}"), 404, "not_found")
    used = await cat.call("POST", "/threads", {"metadata": {"agent_id": allowed["id"]}})
    assert used.status_code == 201, used.text
    assert_problem(await cat.call("POST", "/threads", {"metadata": {"agent_id": other["id"]}}), 403, "not_allowed")


async def test_its_answer_waits_for_what_the_client_brings(ann: Someone) -> None:
    agent = await ann.agent(kind="python", runtime="writer", tools=["ask"])
    thread = (await ann.call("POST", "/threads", {"metadata": {"agent_id": agent["id"]}})).json()
    said = {"text": 'say 2;tool ask {"place":"Oslo"}|heard'}
    sent = (await ann.call("POST", f"/threads/{thread['id']}/messages", said)).json()
    execution = f"/threads/{thread['id']}/executions/{sent['execution_id']}"

    async def standing() -> dict[str, Any]:
        found: dict[str, Any] = (await ann.call("GET", execution)).json()
        return found

    found = await until(standing, lambda found: found["state"] == "waiting")
    (call,) = found["tool_calls"]
    assert (call["tool"], call["state"], call["arguments"]) == ("ask", "awaiting_result", {"place": "Oslo"})
    result = {"call_id": call["call_id"], "result": "sunny there"}
    assert (await ann.call("POST", f"{execution}/tool-results", result)).status_code == 200
    stream = (await ann.call("GET", f"{execution}/stream")).text
    assert stream.endswith("data: [DONE]\n\n")
    answers = (await ann.call("GET", f"/threads/{thread['id']}/messages")).json()["items"]
    assert (answers[0]["text"], answers[0]["status"]) == ("t0 t1 sunny there ", "completed")


async def test_nobody_without_a_token_comes_in(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/agents"), ("POST", "/agents"), ("GET", f"/agents/{uuid4()}")):
        assert_problem(await client.request(method, path), 401, "unauthenticated")
