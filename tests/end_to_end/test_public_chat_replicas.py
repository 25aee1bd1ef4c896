"""A visitor's stream over two replicas with one PostgreSQL and one Redis: what one is told is read at the other."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.parts.redis import RedisServer
from harness.model_stub import ModelStub
from harness.server import Server, serve
from harness.sse_client import open_sse
from harness.visitors import is_end, read_events, text_of, told

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
