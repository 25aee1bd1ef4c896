"""Calls over sockets, before our own runtime and before somebody else's, and the runtime's own stream of them."""

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from frontdesk.app import Role
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.processes import SOURCE, Process
from harness.served import served
from harness.sockets import open_socket, text_of
from harness.transcript import numbered

KEY = "the-key"
TESTS = Path(__file__).parents[1]
TOOLS = """
python:
  - {function: "harness.tool_functions:echo", name: say_it, requires_approval: true}
tools:
  - name: pick_colour
    description: The client shows colours.
    parameters: {type: object, properties: {of: {type: string}}}
    client: true
  - name: ask_first
    description: The client does it, with leave.
    parameters: {type: object, properties: {}}
    client: true
    requires_approval: true
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Somebody else's runtime."""
    log = tmp_path_factory.mktemp("remote_runtime") / "log"
    paths = {"PYTHONPATH": f"{SOURCE}:{TESTS}"}
    with Process("harness.remote_runtime", "0", log=log, environment=paths) as process:
        yield process.ready_line()["url"]


@asynccontextmanager
async def running(folder: Path, template: Path, role: Role = Role.everything, **settings: Any) -> AsyncIterator[str]:
    database = folder / f"{role}.db"
    shutil.copy(template, database)
    chosen = settings_for(
        f"sqlite:///{database}",
        llm_enabled=True,
        gateway__internal_api_key=KEY,
        gateway__allow_anonymous="loopback",
        **settings,
    )
    async with served(chosen, role=role) as client:
        yield str(client.base_url).removesuffix(f"{chosen.api_prefix}/")


def ours(folder: Path) -> dict[str, str]:
    """Settings with which a scripted agent answers with tools."""
    (folder / "tools.yaml").write_text(TOOLS)
    (folder / "agents.yaml").write_text('python: {scripted: {agent: "harness.python_agents:scripted"}}')
    return {
        "tools_file": str(folder / "tools.yaml"),
        "agents_file": str(folder / "agents.yaml"),
        "default_agent": "python:scripted",
    }


@pytest.fixture(params=["in process", "our runtime", "their runtime"])
async def root(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path, theirs: str
) -> AsyncIterator[str]:
    """A gateway whose answers come from each kind of runtime."""
    if request.param == "their runtime":
        async with running(tmp_path, sqlite_template, Role.gateway, gateway__agent_url=theirs) as gateway:
            yield gateway
    elif request.param == "in process":
        async with running(tmp_path, sqlite_template, **ours(tmp_path)) as gateway:
            yield gateway
    else:
        async with (
            running(tmp_path, sqlite_template, Role.agent, **ours(tmp_path)) as agent,
            running(tmp_path, sqlite_template, Role.gateway, gateway__agent_url=agent) as gateway,
        ):
            yield gateway


async def test_a_client_performs_a_call_and_the_answer_goes_on(root: str) -> None:
    async with open_socket(root, "calls") as socket:
        await socket.say('say 2;tool pick_colour {"of":"sky"}|say 3;heard')
        before = await socket.until(lambda message: message["type"] == "tool_call")
        call = before[-1]
        assert text_of(before) == numbered(2)
        assert {key: call[key] for key in ("tool_name", "arguments", "requires_approval")} == {
            "tool_name": "pick_colour",
            "arguments": {"of": "sky"},
            "requires_approval": False,
        }
        refused = await socket.refusal({"type": "tool_result", "call_id": "another", "result": 1})
        assert refused
        await socket.send({"type": "tool_result", "call_id": call["call_id"], "result": "deep blue"})
        after = await socket.answer()
        assert text_of(after) == f"{numbered(3)}deep blue "
        seqs = [message["seq"] for message in (*before, *after)]
        assert sorted(seqs) == seqs
    async with open_socket(root, "calls", query="?after=0") as socket:
        again = await socket.answer()
        assert text_of(again) == text_of([*before, *after])
        assert [message["type"] for message in again].count("tool_call") == 0
        assert again[-1] == after[-1]


async def test_a_call_that_waits_is_told_to_whoever_comes_back(root: str) -> None:
    async with open_socket(root, "waits") as socket:
        await socket.say("say 2;tool pick_colour|heard")
        told = await socket.until(lambda message: message["type"] == "tool_call")
    async with open_socket(root, "waits", query=f"?after={told[-1]['seq']}") as socket:
        call = await socket.next()
        assert call == told[-1]
        await socket.send({"type": "tool_result", "call_id": call["call_id"], "error": "no colours here"})
        assert "colours" in text_of(await socket.answer())


@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
async def test_a_person_decides_and_the_answer_goes_on(
    root: str, decision: str, request: pytest.FixtureRequest
) -> None:
    verb = "approve" if "their runtime" in request.node.name else "tool"
    async with open_socket(root, f"decides-{decision}") as socket:
        await socket.say(f'{verb} say_it {{"text":"first"}}|say 1;heard')
        call = await socket.next()
        assert (call["type"], call["tool_name"], call["requires_approval"]) == ("tool_call", "say_it", True)
        message: dict[str, Any] = {"type": "hitl_decision", "call_id": call["call_id"], "decision": decision}
        if decision == "edit":
            assert await socket.refusal(message)
            message["modified_arguments"] = {"text": "second"}
        if decision == "reject":
            message["feedback"] = "too loud"
        await socket.send(message)
        messages = await socket.answer()
        assert messages[-1]["is_final"] is True
        assert text_of(messages).startswith(numbered(1))
        heard = {"approve": "first", "edit": "second", "reject": "loud"}[decision] if verb == "tool" else decision
        assert heard in text_of(messages)


async def test_leave_for_what_the_client_does_is_a_call_for_the_client(tmp_path: Path, sqlite_template: Path) -> None:
    async with running(tmp_path, sqlite_template, **ours(tmp_path)) as root, open_socket(root, "leave") as socket:
        await socket.say("tool ask_first|heard")
        asked = await socket.next()
        await socket.send({"type": "hitl_decision", "call_id": asked["call_id"], "decision": "approve"})
        call = await socket.next()
        assert (asked["requires_approval"], call["requires_approval"]) == (True, False)
        assert call["call_id"] == asked["call_id"]
        await socket.send({"type": "tool_result", "call_id": call["call_id"], "result": "did it"})
        assert text_of(await socket.answer()) == "did it "


async def test_the_runtimes_stream_stops_where_it_waits_and_goes_on_where_it_stopped(
    tmp_path: Path, sqlite_template: Path
) -> None:
    async with (
        running(tmp_path, sqlite_template, Role.agent, **ours(tmp_path)) as agent,
        httpx.AsyncClient(base_url=agent, headers={"X-Internal-Auth": KEY}, trust_env=False) as client,
    ):
        said = {"type": "user_message", "content": 'say 2;tool pick_colour;tool pick_colour {"of":"sea"}|heard'}
        first = await _posted(client, said, key="k1")
        assert text_of(first) == numbered(2)
        calls = [message for message in first if message["type"] == "tool_call"]
        assert len(calls) == 2
        assert await _posted(client, said, key="k1") == first
        results = [{"type": "tool_result", "call_id": call["call_id"], "result": "red"} for call in calls]
        assert await _posted(client, results[0]) == []
        last = await _posted(client, results[1])
        assert text_of(last) == "red red "
        assert last[-1] == {"type": "assistant_message", "token": "", "is_final": True}
        assert await _posted(client, results[1]) == last


async def _posted(
    client: httpx.AsyncClient, message: dict[str, Any], *, key: str | None = None
) -> list[dict[str, Any]]:
    headers = {} if key is None else {"Idempotency-Key": key}
    response = await client.post("/agent/message/stream", json={"session_id": "s", **message}, headers=headers)
    assert response.status_code == 200, response.text
    frames = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]
    assert frames[-1] == {"status": "completed"}
    return frames[:-1]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ([], 422),
        ({"session_id": 1, "type": "user_message", "content": "x"}, 422),
        ({"session_id": "s", "type": "user_message"}, 422),
        ({"session_id": "s", "type": "stop"}, 422),
        ({"session_id": "s", "type": "cancel"}, 404),
        ({"session_id": "s", "type": "tool_result", "call_id": "c", "result": 1}, 404),
        ({"session_id": "\n", "type": "user_message", "content": "x"}, 422),
    ],
)
async def test_a_bad_request_to_the_runtime_is_a_problem(
    tmp_path: Path, sqlite_template: Path, model_stub: ModelStub, body: Any, status: int
) -> None:
    async with (
        running(tmp_path, sqlite_template, Role.agent, llm_api_base=model_stub.url) as agent,
        httpx.AsyncClient(base_url=agent, headers={"X-Internal-Auth": KEY}, trust_env=False) as client,
    ):
        response = await client.post("/agent/message/stream", json=body)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
