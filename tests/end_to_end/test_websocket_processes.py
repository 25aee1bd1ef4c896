"""Sockets of the served program: cut, killed, drained and slow ones, and the gateway and the runtime as processes of
their own.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chaos import sockets
from frontdesk.database.migrations import upgrade
from harness.conversations import until
from harness.model_stub import ModelStub
from harness.server import Server, serve
from harness.sockets import is_end, open_socket, text_of
from harness.transcript import numbered, whole

KEY = "an internal key for tests"
KEYED = {"gateway__internal_api_key": KEY}
PORTS = range(18900, 19200)
SETTINGS: dict[str, Any] = {
    "slow_reader_seconds": 1.0,
    "execution_lease_seconds": 2.0,
    "engine_tick_seconds": 0.5,
    "llm_timeout_seconds": 60,
}


@pytest.fixture(scope="module")
async def server(model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    directory = tmp_path_factory.mktemp("sockets")
    url = f"sqlite:///{directory / 'app.db'}"
    async with serve(database_url=url, model_url=model_stub.url, directory=directory, **SETTINGS) as running:
        await running.user("first")
        yield running


async def test_cut_sockets_resume_to_the_same_words(server: Server) -> None:
    found = await sockets.prove_socket_cuts(server, cuts=40)
    assert found.faults == []
    assert found.counts["sockets cut"] >= 40


async def test_frames_of_any_kind_leave_the_process_as_it_was(server: Server) -> None:
    found = await sockets.prove_frames(server, frames=2_000)
    assert found.faults == []


async def test_a_kill_in_the_middle_of_an_answer_loses_and_repeats_no_token(server: Server) -> None:
    client = await server.user("killed")
    thread_id = await client.new_thread()
    await client.begin(thread_id, "scripted?tokens=60&pause_ms=20")
    async with open_socket(server.url, thread_id, headers=client.headers) as socket:
        seen = await socket.until(lambda message: message["token"] == "t9 ")
        await server.kill_and_restart()
    after = seen[-1]["seq"]
    async with open_socket(server.url, thread_id, query=f"?after={after}", headers=client.headers) as socket:
        seen += await socket.answer(seconds=30)
    assert "".join(message["token"] for message in seen) == numbered(60)
    assert [message["is_final"] for message in seen].count(True) == 1
    await server.kill_and_restart()  # the log is gone with the process; what was said is not
    async with open_socket(server.url, thread_id, query=f"?after={after}", headers=client.headers) as socket:
        rest = await socket.answer()
    assert text_of(seen[:10]) + text_of(rest) == numbered(60)


async def test_who_reads_nothing_is_closed_and_resumes(server: Server) -> None:
    client = await server.user("slow")
    thread_id = await client.new_thread()
    execution_id = await client.begin(thread_id, "scripted?tokens=3000&size=600")
    complete = await whole(client, thread_id, execution_id)
    cut = await server.metric("frontdesk_streams_cut_total")
    async with open_socket(
        server.url, thread_id, query="?after=0", headers=client.headers, max_queue=1, ping_interval=None
    ) as socket:
        assert await server.settled("frontdesk_streams_cut_total", cut + 1, seconds=10) == cut + 1
        code, reason = await socket.closed()
        seen = socket.messages
    assert code == 1013
    assert reason.startswith("You read too slowly; after=")
    assert seen
    assert not is_end(seen[-1])
    query = f"?after={seen[-1]['seq']}"
    async with open_socket(server.url, thread_id, query=query, headers=client.headers) as socket:
        rest = await socket.answer()
    assert text_of([*seen, *rest]) == complete.text
    assert len(rest) < 3000 - len(seen), "what had waited should come joined"


async def test_sigterm_ends_an_answer_first_and_says_where_to_go_on(model_stub: ModelStub, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    async with serve(database_url=url, model_url=model_stub.url, directory=tmp_path, drain_seconds=2) as server:
        client = await server.user("drained")
        short, long, idle = [await client.new_thread() for _ in range(3)]
        async with (
            open_socket(server.url, short, headers=client.headers) as ending,
            open_socket(server.url, long, headers=client.headers) as cut,
            open_socket(server.url, idle, headers=client.headers) as waiting,
        ):
            for socket in (ending, cut, waiting):
                assert await socket.refusal("{") == "Invalid JSON message"
            await client.begin(short, "scripted?tokens=30&pause_ms=20")
            await client.begin(long, "scripted?tokens=500&pause_ms=20")
            await ending.next()
            await cut.next()
            os.kill(server.process.pid, signal.SIGTERM)
            assert (await waiting.closed())[0] == 1012
            assert (await ending.closed())[0] == 1012
            code, reason = await cut.closed()
        assert text_of(ending.messages) == numbered(30)
        assert is_end(ending.messages[-1])
        assert code == 1012
        assert reason.endswith(f"; after={cut.messages[-1]['seq']}")
        assert "retry_ms=" in reason


@pytest.fixture(scope="module")
async def pair(model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Server, Server]]:
    """A gateway, and the runtime behind it."""
    folders = [tmp_path_factory.mktemp(name) for name in ("agent", "gateway")]
    common = {"model_url": model_stub.url, "ports": PORTS}
    urls = [f"sqlite:///{folder / 'app.db'}" for folder in folders]
    for url in urls:
        await asyncio.to_thread(upgrade, url)
    model = {"llm_default_model": "scripted?tokens=40&pause_ms=25"}
    agent = Server(database_url=urls[0], directory=folders[0], settings=KEYED | model, command="agent", **common)
    behind = {"gateway__agent_url": agent.url, "gateway__request_timeout": 2, "gateway__version": "7.8.9"}
    gateway = Server(database_url=urls[1], directory=folders[1], settings=KEYED | behind, command="gateway", **common)
    try:
        await agent.start()
        await gateway.start()
        yield gateway, agent
    finally:
        await gateway.aclose()
        await agent.aclose()


async def test_each_role_says_what_it_is_and_serves_its_own(pair: tuple[Server, Server]) -> None:
    gateway, agent = pair
    async with gateway.session.get(f"{gateway.url}/health") as response:
        assert await response.json() == {"status": "healthy", "service": "gateway", "version": "7.8.9"}
    async with gateway.session.get(f"{agent.url}/health") as response:
        assert (await response.json())["service"] == "agent-runtime"
    for url in (f"{gateway.url}/agent/message/stream", f"{agent.url}/api/auth/login", f"{agent.url}/api/ws-tickets"):
        async with gateway.session.post(url, json={}) as response:
            assert response.status == 404, url


async def test_one_conversation_over_every_wire(pair: tuple[Server, Server]) -> None:
    gateway, _agent = pair
    client = await gateway.user("everywhere")
    thread_id = await client.new_thread()
    async with open_socket(gateway.url, thread_id, headers=client.headers) as socket:
        for number in range(2):
            await socket.say(f"question {number}")
            execution_id = await _execution_of(client, thread_id)
            stream, messages = await asyncio.gather(whole(client, thread_id, execution_id, seconds=20), socket.answer())
            assert stream.text == text_of(messages) == numbered(40)
            after = messages[10]["seq"]
            async with open_socket(gateway.url, thread_id, query=f"?after={after}", headers=client.headers) as other:
                assert await other.answer() == messages[11:]


async def _execution_of(client: Any, thread_id: str) -> str:
    async with asyncio.timeout(30):
        while True:
            thread = (await client.ask("GET", f"/threads/{thread_id}")).body
            if thread["active_execution_id"]:
                return str(thread["active_execution_id"])


async def test_a_cancel_stops_the_runtimes_answer_and_a_reader_who_leaves_does_not(pair: tuple[Server, Server]) -> None:
    gateway, agent = pair
    ended = "frontdesk_executions_ended_total"
    before = await agent.total(ended, "interrupted")
    async with open_socket(gateway.url, "stopped") as socket:
        await socket.say()
        await socket.until(lambda message: message.get("token") == "t4 ")
        await socket.send({"type": "cancel"})
        stopped = await socket.answer()
        assert await agent.total(ended, "interrupted") == before + 1
        assert len(stopped) < 40
        await socket.say()
        assert text_of(await socket.answer()) == numbered(40), "the session goes on"
    completed = await agent.total(ended, "completed")
    async with _asked(agent, {"session_id": "left", "type": "user_message", "content": "hi"}) as response:
        await response.content.readany()
        response.close()
    await until(lambda: agent.total(ended, "completed"), lambda count: count == completed + 1)
    assert await agent.total(ended, "interrupted") == before + 1
    async with _asked(agent, {"session_id": "left", "type": "cancel"}) as response:
        assert (response.status, await response.text()) == (200, 'event: done\ndata: {"status":"completed"}\n\n')
    async with _asked(agent, {"session_id": "unheard of", "type": "cancel"}) as response:
        assert response.status == 404


async def test_a_runtime_that_is_down_or_silent_is_told_and_the_socket_stays(pair: tuple[Server, Server]) -> None:
    gateway, agent = pair
    async with open_socket(gateway.url, "down") as socket:
        os.kill(agent.process.pid, signal.SIGSTOP)
        try:
            await socket.say()
            assert (await socket.next())["content"] == "The agent's runtime did not begin to answer in time"
        finally:
            os.kill(agent.process.pid, signal.SIGCONT)
        agent.process.kill()
        await socket.say()
        assert (await socket.next())["content"] == "The agent's runtime cannot be reached"
        await agent.start()
        await socket.say()
        assert text_of(await socket.answer()) == numbered(40)


async def test_a_wrong_key_gets_nothing_of_the_runtime(pair: tuple[Server, Server]) -> None:
    _gateway, agent = pair
    body = {"session_id": "s", "type": "user_message", "content": "hi"}
    for headers in ({}, {"X-Internal-Auth": KEY + "x"}):
        async with agent.session.post(f"{agent.url}/agent/message/stream", json=body, headers=headers) as response:
            assert response.status == 401
            assert KEY not in await response.text()


async def test_a_gateway_that_reads_data_lines_alone_works_with_the_runtime(pair: tuple[Server, Server]) -> None:
    _gateway, agent = pair
    tokens: list[str] = []
    async with _asked(agent, {"session_id": "theirs", "type": "user_message", "content": "hi"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.content:
            if line.startswith(b"data: "):
                frame = json.loads(line[6:])
                if "token" in frame and not frame["is_final"]:
                    tokens.append(frame["token"])
    assert "".join(tokens) == numbered(40)


async def test_the_runtimes_stream_is_byte_for_byte_as_documented(pair: tuple[Server, Server]) -> None:
    _gateway, agent = pair
    body = {"session_id": "bytes", "type": "user_message", "content": "hi"}
    async with _asked(agent, body, key="once") as response:
        first = await response.read()
    tokens = "".join(
        f'event: message\ndata: {{"type":"assistant_message","token":"t{n} ","is_final":false}}\n\n' for n in range(40)
    )
    end = 'event: message\ndata: {"type":"assistant_message","token":"","is_final":true}\n\n'
    assert first.decode() == tokens + end + 'event: done\ndata: {"status":"completed"}\n\n'
    async with _asked(agent, body, key="once") as response:
        assert await response.read() == first


def _asked(agent: Server, body: dict[str, Any], *, key: str | None = None) -> Any:
    headers = {"X-Internal-Auth": KEY, **({} if key is None else {"Idempotency-Key": key})}
    return agent.session.post(f"{agent.url}/agent/message/stream", json=body, headers=headers)
