"""Feeds of sessions over two replicas with one PostgreSQL and one Redis: what one is told, readers at the other see."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from deploy.parts.redis import RedisServer
from harness.model_stub import ModelStub
from harness.server import Server, serve
from harness.sessions import is_answered, read_until
from harness.sse_client import Event, SseStream, open_sse
from harness.tool_sources import BackEndStub

SECONDS = 60


@pytest.fixture
async def replicas(
    postgres_url: str,
    redis_server: RedisServer,
    model_stub: ModelStub,
    back_end_stub: BackEndStub,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Server, Server]]:
    common: dict[str, Any] = {
        "database_url": postgres_url,
        "model_url": model_stub.url,
        "redis_url": redis_server.url,
        "api_base_url": back_end_stub.url,
        "llm_default_model": "scripted?tokens=20&pause_ms=20",
    }
    async with (
        serve(directory=tmp_path_factory.mktemp("one"), **common) as one,
        serve(directory=tmp_path_factory.mktemp("two"), **common) as two,
    ):
        yield one, two


async def _post(replica: Server, path: str, body: dict[str, Any], session_id: str = "") -> Any:
    headers = {"X-Agent-Session-Id": session_id} if session_id else {}
    async with replica.session.post(replica.url + path, json=body, headers=headers) as response:
        assert response.status in {200, 201}, await response.text()
        return await response.json()


def _feed(replica: Server, session_id: str, after: str | None = None) -> AbstractAsyncContextManager[SseStream]:
    return open_sse(f"{replica.url}/chat/sessions/{session_id}/events", last_event_id=after)


def _is_call_settled(event: Event) -> bool:
    return event.type == "tool" and json.loads(event.data or "{}")["state"] == "completed"


async def test_a_feed_shows_what_happens_at_the_other_replica_and_goes_on_there(
    replicas: tuple[Server, Server],
) -> None:
    one, two = replicas
    session_id = (await _post(one, "/chat/sessions", {}))["id"]
    async with _feed(two, session_id) as feed:
        await read_until(feed, lambda event: event.type == "snapshot", seconds=SECONDS)
        said = await _post(one, f"/chat/sessions/{session_id}/messages", {"role": "tool", "content": "a note"})
        ((name, shown, _),) = await read_until(feed, lambda event: event.type == "message", seconds=SECONDS)
        assert (name, shown) == ("message", said)
        await _post(one, "/agent/tools/drive_status/invoke", {}, session_id)
        calls = await read_until(feed, _is_call_settled, seconds=SECONDS)
        assert [call["state"] for _, call, _ in calls] == ["started", "completed"]
        body = {"role": "user", "content": "go", "respond": True}
        await _post(one, f"/chat/sessions/{session_id}/messages", body)
        begun = await read_until(feed, lambda event: event.type == "message_delta", seconds=SECONDS)
    text = "".join(told["text"] for name, told, _ in begun if name == "message_delta")
    async with _feed(one, session_id, begun[-1][2]) as feed:
        rest = await read_until(feed, is_answered, seconds=SECONDS)
    assert "snapshot" not in {name for name, _, _ in rest}
    text += "".join(told["text"] for name, told, _ in rest if name == "message_delta")
    assert text == rest[-1][1]["content"] == "".join(f"t{number} " for number in range(20))


async def test_a_feed_survives_the_replica_that_makes_its_answer(replicas: tuple[Server, Server]) -> None:
    one, two = replicas
    session = await _post(one, "/chat/sessions", {})
    async with _feed(two, session["id"]) as feed, asyncio.timeout(SECONDS):
        await read_until(feed, lambda event: event.type == "snapshot", seconds=SECONDS)
        body = {"role": "user", "content": "go", "respond": True}
        await _post(one, f"/chat/sessions/{session['id']}/messages", body)
        await read_until(feed, lambda event: event.type == "message_delta", seconds=SECONDS)
        one.process.kill()
        shown = await read_until(feed, is_answered, seconds=SECONDS)
        deltas = [told for name, told, _ in shown if name == "message_delta"]
        since = max(number for number, told in enumerate(deltas) if told["reset"])
    text = "".join(told["text"] for told in deltas[since:])
    assert text == shown[-1][1]["content"] == "".join(f"t{number} " for number in range(20))


async def test_a_server_that_ends_sends_its_feeds_away_before_its_answers_have_ended(
    sqlite_url: str, model_stub: ModelStub, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"llm_default_model": "scripted?tokens=20&stall_at=3", "drain_seconds": 60}
    async with serve(database_url=sqlite_url, model_url=model_stub.url, directory=tmp_path, **settings) as server:
        session_id = (await _post(server, "/chat/sessions", {}))["id"]
        async with _feed(server, session_id) as feed:
            body = {"role": "user", "content": "go", "respond": True}
            await _post(server, f"/chat/sessions/{session_id}/messages", body)
            await read_until(feed, lambda event: event.type == "message_delta", seconds=SECONDS)
            server.process.send(signal.SIGTERM)
            events = await feed.read_all(seconds=SECONDS)
            assert events[-1].raw.startswith(b"retry: ")
            server.process.check()  # it has not ended: it waits for the answer
            server.process.kill()
