"""A visitor's chat over two replicas with one PostgreSQL and one Redis: what one is told, or brought, is read at the
other; and over workers, which read what was brought to a server.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.parts.redis import RedisServer
from deploy.parts.temporal import TemporalServer
from harness.model_stub import ModelStub
from harness.server import Server, serve
from harness.sse_client import open_sse
from harness.visitors import is_end, read_events, text_of, told
from harness.worker import await_worker, worker_process

SECONDS = 60
WHOLE = "".join(f"t{number} " for number in range(20))


@pytest.fixture
async def replicas(
    postgres_url: str, redis_server: RedisServer, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Server, Server]]:
    common: dict[str, Any] = {
        "database_url": postgres_url,
        "model_url": model_stub.url,
        "redis_url": redis_server.url,
        "llm_default_model": "scripted?tokens=20&pause_ms=20",
        "embedder": "packaged",
        "blob_store": f"file://{tmp_path_factory.mktemp('blobs')}",
    }
    async with (
        serve(directory=tmp_path_factory.mktemp("one"), **common) as one,
        serve(directory=tmp_path_factory.mktemp("two"), **common) as two,
    ):
        yield one, two


async def _post(replica: Server, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    async with replica.session.post(f"{replica.url}/api{path}", json=body, headers=headers or {}) as response:
        assert response.status < 300, await response.text()
        return await response.json()


async def test_a_stream_shows_the_first_answer_at_the_other_replica_and_goes_on_there(
    replicas: tuple[Server, Server],
) -> None:
    """It is followed before its thread is there."""
    one, two = replicas
    owner = (await one.user("ann")).headers
    agent = await _post(one, "/agents", {"name": "Guide"}, owner)
    made = await _post(one, "/chat-interfaces", {"name": "Help", "agentId": agent["id"]}, owner)
    await _post(one, f"/chat-interfaces/{made['id']}/publish", None, owner)
    chat = f"/public/chat-interfaces/{made['slug']}"
    token = (await _post(one, f"{chat}/sessions", {}))["sessionToken"]
    named = {"X-Session-Token": token}
    async with open_sse(f"{two.url}/api{chat}/stream", headers=named) as stream:
        await read_events(stream, lambda event: event.type == "connected", seconds=SECONDS)
        await _post(one, f"{chat}/messages", {"sessionToken": token, "message": "hello"})
        begun = await read_events(stream, lambda event: event.type == "token", seconds=SECONDS)
    last = begun[-1].id
    async with open_sse(f"{one.url}/api{chat}/stream", headers=named, last_event_id=last) as stream:
        rest = await read_events(stream, is_end, seconds=SECONDS)
    assert text_of(told(begun)) + text_of(told(rest)) == WHOLE
    assert json.loads(rest[-2].data or "")["content"] == WHOLE


FACT = "The museum of clocks opens at nine and closes at six, and on Mondays it stays closed."


async def _open_chat(one: Server, **agent: Any) -> tuple[str, dict[str, str]]:
    """Where visitors ask, and the header of one of them."""
    owner = (await one.user("ann")).headers
    made_agent = await _post(one, "/agents", {"name": "Guide", **agent}, owner)
    fields = {"name": "Help", "agentId": made_agent["id"], "allowFileUpload": True, "maxFiles": 20}
    made = await _post(one, "/chat-interfaces", fields, owner)
    await _post(one, f"/chat-interfaces/{made['id']}/publish", None, owner)
    chat = f"/public/chat-interfaces/{made['slug']}"
    return chat, {"X-Session-Token": (await _post(one, f"{chat}/sessions", {}))["sessionToken"]}


async def _upload(replica: Server, chat: str, named: dict[str, str]) -> tuple[int, Any]:
    form = aiohttp.FormData()
    form.add_field("file", FACT.encode(), filename="guide.txt")
    async with replica.session.post(f"{replica.url}/api{chat}/upload", data=form, headers=named) as response:
        return response.status, await response.json()


async def _history(replica: Server, chat: str, named: dict[str, str]) -> list[dict[str, Any]]:
    path = f"{replica.url}/api{chat}/sessions/{named['X-Session-Token']}/messages"
    async with replica.session.get(path) as response:
        found: list[dict[str, Any]] = (await response.json())["messages"]
        return found


async def test_files_are_counted_over_all_replicas_and_read_wherever_they_were_brought(
    replicas: tuple[Server, Server],
) -> None:
    one, two = replicas
    chat, named = await _open_chat(one, model="scripted?echo=1")
    tried = await asyncio.gather(*(_upload((one, two)[number % 2], chat, named) for number in range(30)))
    assert sorted(status for status, _ in tried) == [201] * 20 + [429] * 10
    brought = next(uploaded for status, uploaded in tried if status == 201)
    body = {"sessionToken": named["X-Session-Token"], "message": "When is it closed?"}
    await _post(two, f"{chat}/messages", {**body, "attachments": [{"type": "file", "uri": brought["uri"]}]})
    async with open_sse(f"{one.url}/api{chat}/stream", headers=named) as stream:
        events = told(await read_events(stream, is_end, seconds=SECONDS))
    assert {data["stage"] for name, data in events if name == "attachment_progress"} >= {"embedding", "ready"}
    (message,) = [data for name, data in events if name == "message"]
    assert message["citations"][0]["excerpt"] == FACT


async def test_a_worker_reads_what_was_brought_to_a_server(
    postgres_url: str, model_stub: ModelStub, temporal: TemporalServer, tmp_path: Path
) -> None:
    shared = {"embedder": "packaged", "blob_store": f"file://{tmp_path}/blobs"}
    urls = {"database_url": postgres_url, "model_url": model_stub.url}
    worker = worker_process(tmp_path, temporal=temporal.address, **urls, **shared)
    async with serve(directory=tmp_path, temporal_address=temporal.address, **urls, **shared) as server:
        try:
            worker.start()
            await asyncio.to_thread(await_worker, worker)
            chat, named = await _open_chat(server, model="scripted?echo=1")
            _, brought = await _upload(server, chat, named)
            body = {"sessionToken": named["X-Session-Token"], "message": "When is it closed?"}
            await _post(server, f"{chat}/messages", {**body, "attachments": [{"type": "file", "uri": brought["uri"]}]})
            async with open_sse(f"{server.url}/api{chat}/stream", headers=named) as stream:
                await read_events(stream, is_end, seconds=SECONDS)
            asked, answered = await _history(server, chat, named)
            assert asked["attachments"][0]["status"] == "ready"
            assert answered["citations"][0]["source"]["name"] == "guide.txt"
        finally:
            worker.stop(seconds=SECONDS)
