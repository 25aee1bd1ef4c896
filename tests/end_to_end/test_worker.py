"""`frontdesk worker` as a process: killed, told to end, refused."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.parts.temporal import TemporalServer
from frontdesk.adapters.execution_engine.orchestrator import TASK_QUEUE
from frontdesk.kit.ids import new_id
from harness.answers import script, tokens
from harness.command_line import Home
from harness.conversations import Core, OverTemporal, open_core, until
from harness.model_stub import ModelStub
from harness.processes import Process
from harness.server import serve
from harness.threads_client import ThreadsClient
from harness.worker import await_worker, worker_process

Make = Callable[..., Process]


@pytest.fixture
def worker(tmp_path: Path, database_url: str, model_stub: ModelStub, temporal: TemporalServer) -> Make:
    def make(name: str, **settings: object) -> Process:
        urls = {"database_url": database_url, "model_url": model_stub.url, "temporal": temporal.address}
        return worker_process(tmp_path, name=name, **urls, **settings)

    return make


def api_core(url: str, stub: ModelStub, temporal: TemporalServer) -> Any:
    over = OverTemporal(temporal.address, TASK_QUEUE, works=False)
    return open_core(url, stub.url, temporal=over, lease=8, tick=2)


async def begin_stalled(core: Core) -> Any:
    """An answer whose first attempt never ends, once some of its text is stored."""
    message = await core.send(await core.thread(), model=script(new_id(), tokens=50, stall_at=30, fail_first=1))
    await until(lambda: core.stored_text(message), lambda text: text != "")
    return message


async def test_an_answer_whose_worker_is_killed_is_made_by_another(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer, worker: Make
) -> None:
    async with api_core(database_url, model_stub, temporal) as api:
        with worker("one") as one:
            await_worker(one)
            message = await begin_stalled(api)
            with worker("two") as two:
                await_worker(two)
                one.kill()
                killed = asyncio.get_running_loop().time()
                (row,) = await api.ended(message.thread_id)
                assert asyncio.get_running_loop().time() - killed < 10
                assert (row.state, row.attempt) == ("completed", 2)
                assert await api.stored_text(message) == tokens(50)


async def test_an_answer_is_finished_by_the_same_worker_after_its_death(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer, worker: Make
) -> None:
    async with api_core(database_url, model_stub, temporal) as api:
        with worker("one") as one:
            await_worker(one)
            message = await begin_stalled(api)
            one.kill()
            one.start()
            (row,) = await api.ended(message.thread_id)
            assert (row.state, row.attempt) == ("completed", 2)
            assert await api.stored_text(message) == tokens(50)


async def test_a_worker_that_is_told_to_end_drains(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer, worker: Make
) -> None:
    async with api_core(database_url, model_stub, temporal) as api:
        with worker("one", drain_seconds=2) as one:
            await_worker(one)
            endless = await begin_stalled(api)
            short = await api.send(await api.thread(), model=script(new_id(), tokens=100, pause_ms=15))
            await until(lambda: api.stored_text(short), lambda text: text != "")
            with worker("two") as two:
                await_worker(two)
                assert await asyncio.to_thread(one.stop, seconds=10) == 0
                assert [row.attempt for row in await api.ended(short.thread_id)] == [1], "it ended in time"
                assert await api.stored_text(short) == tokens(100)
                (row,) = await api.ended(endless.thread_id)
                assert (row.state, row.attempt) == ("completed", 2)
                assert await api.stored_text(endless) == tokens(50)


async def test_a_worker_ends_in_time_when_temporal_does_not_answer(
    sqlite_url: str, model_stub: ModelStub, temporal: TemporalServer, tmp_path: Path
) -> None:
    async with api_core(sqlite_url, model_stub, temporal) as api:
        process = worker_process(
            tmp_path, database_url=sqlite_url, model_url=model_stub.url, temporal=temporal.address, drain_seconds=1
        )
        with process as one:
            await_worker(one)
            message = await begin_stalled(api)
            temporal.pause()
            assert await asyncio.to_thread(one.stop, seconds=10) == 0
            (row,) = await api.executions(message.thread_id)
            assert row.state == "running"
            assert row.lease_until <= str(datetime.now(UTC).replace(tzinfo=None)), "given up"


async def test_a_stop_reaches_the_worker(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer, worker: Make
) -> None:
    key = new_id()
    async with api_core(database_url, model_stub, temporal) as api:
        with worker("one") as one:
            await_worker(one)
            message = await api.send(await api.thread(), model=script(key, pause_ms=10, tokens=3000))
            stored = await until(lambda: api.stored_text(message), lambda text: text != "")
            begun = asyncio.get_running_loop().time()
            stopped = await api.conversation.cancel(api.user, message.thread_id, message.execution_id or "")
            assert asyncio.get_running_loop().time() - begun < 1.5
            assert stopped.result.state == "interrupted"
            call = await model_stub.call(key, seconds=1)
            assert call["outcome"] == "closed_by_client"
            assert len(await api.stored_text(message)) > len(stored), "more than the checkpoint had"


async def test_the_served_program_with_a_worker(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer, worker: Make, tmp_path: Path
) -> None:
    """As its users meet it: accepted without a worker, made once there is one, stopped, read."""
    ran = {"temporal_address": temporal.address, "engine_tick_seconds": 1}
    async with serve(database_url=database_url, model_url=model_stub.url, directory=tmp_path, **ran) as server:
        client = await server.user("ada")
        thread_id, other = await client.new_thread(), await client.new_thread()
        execution_id = await client.begin(thread_id, script(new_id()))
        endless = await client.begin(other, script(new_id(), tokens=3000, pause_ms=10))
        with worker("one") as one:
            await_worker(one)
            answer = await _answer(client, thread_id, execution_id, lambda found: found["status"] == "completed")
            assert answer["text"] == tokens(5)
            shown = await _answer(client, other, endless, lambda found: found["text"] != "")
            assert (await client.cancel(other, endless)).status == 202
            stopped = await client.find_message(other, endless, role="assistant")
            assert stopped["status"] == "interrupted"
            assert stopped["text"].startswith(shown["text"])
            async with server.session.get(f"{server.url}/health/ready") as ready:
                assert (await ready.json())["parts"]["engine"]["status"] == "ok"


async def _answer(
    client: ThreadsClient, thread_id: str, execution_id: str, holds: Callable[[Any], bool]
) -> dict[str, Any]:
    found: dict[str, Any] = await until(lambda: client.find_message(thread_id, execution_id, role="assistant"), holds)
    return found


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({}, "CHAT_TEMPORAL_ADDRESS"), ({"CHAT_TEMPORAL_ADDRESS": "127.0.0.1:9"}, "CHAT_REDIS_URL")],
)
def test_a_worker_that_could_not_serve_its_readers_is_refused(
    tmp_path: Path, settings: dict[str, str], complaint: str
) -> None:
    done = Home(tmp_path, CHAT_LLM_API_BASE="http://127.0.0.1:9/v1", **settings).run("worker")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
