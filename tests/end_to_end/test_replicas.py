"""Two replicas of the served program over one PostgreSQL and one Redis: any request may come to any of them."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from chaos.findings import BUSY_MACHINE
from deploy.parts.redis import RedisServer
from deploy.parts.temporal import TemporalServer
from frontdesk.kit.ids import new_id
from harness.conversations import until
from harness.model_stub import ModelStub
from harness.processes import Process
from harness.server import Server, serve
from harness.sse_client import SseStream
from harness.threads_client import ThreadsClient
from harness.worker import await_worker, worker_process

# A busy machine takes long to start a process. What is promised in seconds is measured elsewhere.
SECONDS = 60


@pytest.fixture
async def replicas(
    postgres_url: str, redis_server: RedisServer, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Server, Server]]:
    settings = {"redis_url": redis_server.url, "drain_seconds": 1, "llm_timeout_seconds": 600}
    common = {"database_url": postgres_url, "model_url": model_stub.url, **settings}
    async with (
        serve(directory=tmp_path_factory.mktemp("one"), **common) as one,
        serve(directory=tmp_path_factory.mktemp("two"), **common) as two,
    ):
        yield one, two


def through(user: ThreadsClient, replica: Server) -> ThreadsClient:
    """The same user, who is served by this replica."""
    return user.at(replica.url)


def text_of(stream: SseStream) -> str:
    return text_in(stream.data)


def text_in(frames: list[str]) -> str:
    chunks = [json.loads(data) for data in frames if data != "[DONE]"]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


def states_of(stream: SseStream) -> list[str]:
    chunks = [json.loads(data) for data in stream.data if data != "[DONE]"]
    return [chunk["agent_status"] for chunk in chunks if chunk.get("agent_status")]


def since_restarted(stream: SseStream) -> str:
    """What the stream says after it has last declared all before void."""
    restarts = [number for number, data in enumerate(stream.data) if '"restarted"' in data]
    assert restarts, states_of(stream)
    return text_in(stream.data[restarts[-1] :])


def stalled() -> str:
    """Of 60 tokens; the first time it stands still after 30, however long it takes to do something about it."""
    return f"scripted?tokens=60&pause_ms=10&stall_at=30&fail_first=1&key={new_id()}"


def said(count: int) -> str:
    return "".join(f"t{number} " for number in range(count))


async def read_until_text(stream: SseStream, text: str) -> None:
    async with asyncio.timeout(SECONDS):
        while text not in text_of(stream):
            await stream.read_some()


async def test_an_answer_is_resumed_at_another_replica(replicas: tuple[Server, Server]) -> None:
    one, two = replicas
    user = await one.user("ann")
    thread_id = await user.new_thread()
    async with user.stream(thread_id, "go", model="scripted?tokens=60&pause_ms=25") as first:
        await read_until_text(first, "t9 ")
        first.cut()
    execution_id = (await user.ask("GET", f"/threads/{thread_id}/messages")).body["items"][0]["execution_id"]
    seen = first.last_id
    for replica in (two, one, two):
        elsewhere = through(user, replica)
        async with elsewhere.join(thread_id, execution_id, after=seen) as rest:
            await rest.read_all(seconds=SECONDS)
        whole = text_of(first) + text_of(rest)
        assert whole == said(60), "each token once, in order, and none of it again"
        assert "restarted" not in states_of(rest)
        assert rest.data[-1] == "[DONE]"
    async with through(user, two).join(thread_id, execution_id) as joined:
        await joined.read_all(seconds=SECONDS)
    assert text_of(joined) == said(60)


async def test_both_replicas_stream_one_answer_byte_for_byte(replicas: tuple[Server, Server]) -> None:
    one, two = replicas
    user = await one.user("ann")
    thread_id = await user.new_thread()
    execution_id = await user.begin(thread_id, "scripted?tokens=40&pause_ms=20&first_ms=300")
    async with (
        user.join(thread_id, execution_id) as here,
        through(user, two).join(thread_id, execution_id) as there,
    ):
        await asyncio.gather(here.read_all(seconds=SECONDS), there.read_all(seconds=SECONDS))
    assert bytes(here.body) == bytes(there.body)
    assert text_of(here) == said(40)


async def test_an_answer_is_stopped_from_another_replica_with_all_that_was_shown(
    replicas: tuple[Server, Server],
) -> None:
    one, two = replicas
    user = await one.user("ann")
    thread_id = await user.new_thread()
    execution_id = await user.begin(thread_id, "scripted?tokens=2000&pause_ms=10")
    elsewhere = through(user, two)
    async with user.join(thread_id, execution_id) as here, elsewhere.join(thread_id, execution_id) as there:
        await read_until_text(there, "t20 ")
        reading = asyncio.gather(here.read_all(seconds=SECONDS), there.read_all(seconds=SECONDS))
        async with asyncio.timeout(2 * BUSY_MACHINE):
            stopped = await elsewhere.cancel(thread_id, execution_id)
        assert (stopped.status, stopped.body["state"]) == (202, "interrupted")
        await reading
    stored = await elsewhere.find_message(thread_id, execution_id, role="assistant")
    assert stored["text"] == text_of(here) == text_of(there)
    assert states_of(here)[-1] == states_of(there)[-1] == "interrupted"


async def test_a_replica_that_ends_sends_its_readers_to_the_other(replicas: tuple[Server, Server]) -> None:
    one, two = replicas
    user = await one.user("ann")
    thread_id = await user.new_thread()
    execution_id = await user.begin(thread_id, stalled())
    async with user.join(thread_id, execution_id) as stream:
        await read_until_text(stream, "t29 ")
        ending = asyncio.create_task(asyncio.to_thread(one.process.stop, seconds=SECONDS))
        await stream.read_all(seconds=SECONDS)
        assert await ending == 0
    last = stream.events[-1].raw.decode()
    assert last.startswith("retry: ")
    assert 200 <= int(last.removeprefix("retry: ")) <= 3000
    assert "[DONE]" not in stream.data
    async with through(user, two).join(thread_id, execution_id, after=stream.last_id) as rest:
        await rest.read_all(seconds=SECONDS)
    assert since_restarted(rest) == said(60), "all of it again, once"
    assert rest.data[-1] == "[DONE]"


async def test_when_a_replica_is_killed_the_other_finishes_its_answers(replicas: tuple[Server, Server]) -> None:
    one, two = replicas
    user = await one.user("ann")
    thread_id = await user.new_thread()
    execution_id = await user.begin(thread_id, stalled())
    elsewhere = through(user, two)
    async with elsewhere.join(thread_id, execution_id) as stream:
        await read_until_text(stream, "t29 ")
        one.process.kill()
        await stream.read_all(seconds=SECONDS)
    assert since_restarted(stream) == said(60)
    assert states_of(stream)[-1] == "completed"


async def test_a_logout_holds_at_every_replica(replicas: tuple[Server, Server]) -> None:
    one, two = replicas
    user = await one.user("ann")
    elsewhere = through(user, two)
    assert (await elsewhere.ask("GET", "/threads")).status == 200
    assert (await user.ask("POST", "/auth/logout")).status == 204
    async with asyncio.timeout(1.5 * BUSY_MACHINE):
        await until(lambda: elsewhere.ask("GET", "/threads"), lambda reply: reply.status == 401)


async def test_what_a_worker_says_is_read_at_every_replica_and_goes_on_when_it_is_killed(
    postgres_url: str,
    redis_server: RedisServer,
    *,
    temporal: TemporalServer,
    model_stub: ModelStub,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    urls = {"database_url": postgres_url, "model_url": model_stub.url}
    shared = {"redis_url": redis_server.url, "llm_timeout_seconds": 600}
    server_folder, folder = (tmp_path_factory.mktemp(name) for name in ("server", "workers"))

    def worker(name: str) -> Process:
        return worker_process(folder, name=name, temporal=temporal.address, **urls, **shared)

    async with serve(directory=server_folder, temporal_address=temporal.address, **urls, **shared) as server:
        user = await server.user("ann")
        with worker("first") as first:
            await_worker(first)
            thread_id = await user.new_thread()
            async with user.stream(thread_id, "go", model="scripted?tokens=40&pause_ms=20") as stream:
                await stream.read_all(seconds=SECONDS)
            assert text_of(stream) == said(40)
            assert states_of(stream) == ["queued", "running", "completed"]
            async with user.join(thread_id, await user.begin(thread_id, stalled())) as stream:
                await read_until_text(stream, "t29 ")
                with worker("second") as second:
                    await_worker(second)
                    first.kill()
                    await stream.read_all(seconds=SECONDS)
    assert since_restarted(stream) == said(60)
    assert stream.data[-1] == "[DONE]"
