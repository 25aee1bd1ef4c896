"""An agent with tools of a back end, of an MCP server and of the client, in one answer, while the gateway dies."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.document_api import DocumentApi, document_api, events_of, listed
from harness.model_stub import ModelStub
from harness.processes import SOURCE
from harness.server import Server, serve
from harness.sse_client import SseStream, open_sse
from harness.threads_client import ThreadsClient

EXAMPLE = Path(__file__).parents[2] / "examples" / "document_api" / "tools.yaml"
TESTS = Path(__file__).parents[1]
MORE_TOOLS = f"""
  - name: choose_title
    description: The person at the screen chooses a title.
    parameters: {{type: object, properties: {{}}}}
    client: true
mcp:
  - name: words
    command: {sys.executable}
    args: [-m, harness.mcp_server, stdio]
    env: {{PYTHONPATH: "{SOURCE}:{TESTS}"}}
    include: [echo]
"""
SECONDS = 40


def _model(*steps: str) -> str:
    return f"scripted?tokens=3&pause_ms=10&echo=1&calls={quote('|'.join(steps), safe='')}"


async def _until_tool(feed: SseStream, tool: str, state: str) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        async for event in feed:
            told = json.loads(event.data) if event.data and event.type == "tool" else {}
            if (told.get("tool"), told.get("state")) == (tool, state):
                return dict(told)
    raise AssertionError(f"the feed ended without {tool} {state}")


async def _until_answered(feed: SseStream) -> dict[str, Any]:
    """The answer, told after how the client's call ended."""
    completed = await _until_tool(feed, "choose_title", "completed")
    assert completed["result"] == "Chosen title"
    async with asyncio.timeout(SECONDS):
        async for event in feed:
            told = json.loads(event.data or "{}")
            if event.type == "message" and told["role"] == "assistant" and told["status"] == "completed":
                return dict(told)
    raise AssertionError("the feed ended without the answer")


@asynccontextmanager
async def _feed(
    server: Server, user: ThreadsClient, session_id: str, after: str | None = None
) -> AsyncIterator[SseStream]:
    url = f"{server.url}/chat/sessions/{session_id}/events"
    async with open_sse(url, headers=user.headers, last_event_id=after) as feed:
        yield feed


async def _until_listed(server: Server, user: ThreadsClient, tool: str) -> None:
    """The MCP server is connected to while the gateway is up already."""
    async with asyncio.timeout(SECONDS):
        while True:
            async with server.session.get(f"{server.url}/agent/tools", headers=user.headers) as response:
                if tool in {each["name"] for each in (await response.json())["tools"]}:
                    return
            await asyncio.sleep(0.05)


async def _post(server: Server, user: ThreadsClient, path: str, body: dict[str, Any]) -> Any:
    async with server.session.post(server.url + path, json=body, headers=user.headers) as response:
        assert response.status in {200, 201}, await response.text()
        return await response.json()


def _tools_file(folder: Path) -> Path:
    path = folder / "tools.yaml"
    head, _, rest = EXAMPLE.read_text().partition("\nopenapi:")
    assert not rest, "the tools are expected to be the file's last section"
    path.write_text(head + MORE_TOOLS)
    return path


async def _answer_across_a_kill(server: Server, documents: DocumentApi) -> None:
    user = await server.user("ada")
    steps = (
        'ingest_text:{"title":"Notes","text":"some words"}',
        'words_echo:{"text":"said by MCP"}',
        "choose_title:{}",
    )
    await _until_listed(server, user, "words_echo")
    agent = await user.ask(
        "POST",
        "/agents",
        {"name": "writer", "model": _model(*steps), "tools": ["ingest_text", "words_echo", "choose_title"]},
    )
    assert agent.status == 201, agent
    session = await _post(server, user, "/chat/sessions", {"title": "docs", "agent_id": agent.body["id"]})
    session_id, thread_id = session["id"], session["thread_id"]
    body = {"role": "user", "content": "Write it down", "respond": True}
    async with _feed(server, user, session_id) as feed:
        sent = await _post(server, user, f"/chat/sessions/{session_id}/messages", body)
        await _until_tool(feed, "ingest_text", "completed")
        await _until_tool(feed, "words_echo", "completed")
        asked = await _until_tool(feed, "choose_title", "awaiting_result")
        last = feed.last_id
    execution_id = sent["execution_id"]
    assert asked["execution_id"] == execution_id

    await server.kill_and_restart()

    place = f"/threads/{thread_id}/executions/{execution_id}"
    result = {"call_id": asked["call_id"], "result": "Chosen title"}
    async with _feed(server, user, session_id, last) as feed, user.join(thread_id, execution_id) as stream:
        assert (await _until_tool(feed, "choose_title", "awaiting_result"))["call_id"] == asked["call_id"]
        brought = await user.ask("POST", f"{place}/tool-results", result)
        assert brought.status == 200, brought
        await stream.read_all(seconds=SECONDS)
        shown = await _until_answered(feed)
    await server.kill_and_restart()
    async with _feed(server, user, session_id, last) as feed:  # as one who was away until it had ended
        shown_later = await _until_answered(feed)
    assert shown == shown_later
    assert "Chosen title" in shown["content"]
    assert stream.data[-1] == "[DONE]"
    found = await user.find_message(thread_id, execution_id, role="assistant")
    assert (found["text"], found["status"]) == (shown["content"], "completed")
    execution = await user.ask("GET", place)
    calls = [(call["tool"], call["state"]) for call in execution.body["tool_calls"]]
    assert calls == [("ingest_text", "completed"), ("words_echo", "completed"), ("choose_title", "completed")]
    with documents.session(session_id) as client:  # the agent's calls are the session's
        assert [document["title"] for document in await asyncio.to_thread(listed, client)] == ["Notes"]
        assert [event["stage"] for event in await asyncio.to_thread(events_of, client)] == ["ingested"]


async def test_three_kinds_of_tools_in_one_answer_across_a_kill(
    sqlite_url: str, model_stub: ModelStub, tmp_path: Path
) -> None:
    with document_api(tmp_path / "documents") as documents:
        async with serve(
            database_url=sqlite_url,
            model_url=model_stub.url,
            directory=tmp_path,
            tools_file=_tools_file(tmp_path),
            session_poll_seconds=0.3,
            api_base_url=documents.url,
        ) as server:
            await _answer_across_a_kill(server, documents)
