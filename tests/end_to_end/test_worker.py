"""`frontdesk worker` as a process: killed, told to end, refused."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chaos.findings import BUSY_MACHINE
from deploy.parts.temporal import TemporalServer
from frontdesk.adapters.execution_engine.orchestrator import TASK_QUEUE
from frontdesk.conversation.messages.models import Message
from frontdesk.kit.ids import new_id
from harness.answers import script, tokens
from harness.command_line import Home
from harness.conversations import SECONDS, Core, OverTemporal, open_core, until
from harness.model_stub import ModelStub
from harness.processes import Process
from harness.server import serve
from harness.threads_client import ThreadsClient
from harness.worker import await_worker, worker_process

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path, database_url: str, model_stub: ModelStub, temporal: TemporalServer) -> Iterator[Start]:
    """Starts a worker of that name and returns once it takes executions."""
    urls = {"database_url": database_url, "model_url": model_stub.url, "temporal": temporal.address}
    with ExitStack() as stack:

        def start(name: str, **settings: object) -> Process:
            process = worker_process(tmp_path, name=name, **urls, **{"llm_timeout_seconds": 600, **settings})
            stack.callback(process.stop, seconds=SECONDS)
            process.start()
            await_worker(process)
            return process

        yield start


@pytest.fixture
async def api(database_url: str, model_stub: ModelStub, temporal: TemporalServer) -> AsyncIterator[Core]:
    over = OverTemporal(temporal.address, TASK_QUEUE, works=False)
    async with open_core(database_url, model_stub.url, temporal=over, lease=8, tick=2) as core:
        yield core


async def begin_stalled(api: Core) -> Message:
    """An answer whose first attempt never ends, once some of its text is stored."""
    message = await api.send(await api.thread(), model=script(new_id(), tokens=50, stall_at=30, fail_first=1))
    await until(lambda: api.stored_text(message), lambda text: text != "")
    return message


async def assert_made_again(api: Core, message: Message) -> None:
    (row,) = await api.ended(message.thread_id)
    assert (row.state, row.attempt) == ("completed", 2)
    assert await api.stored_text(message) == tokens(50)


async def test_an_answer_whose_worker_is_killed_is_made_by_another(api: Core, start: Start) -> None:
    one = start("one")
    message = await begin_stalled(api)
    start("two")
    one.kill()
    async with asyncio.timeout(10 * BUSY_MACHINE):
        await assert_made_again(api, message)


async def test_an_answer_is_finished_by_the_same_worker_after_its_death(api: Core, start: Start) -> None:
    one = start("one")
    message = await begin_stalled(api)
    one.kill()
    one.start()
    await assert_made_again(api, message)


async def test_a_worker_that_is_told_to_end_drains(api: Core, start: Start) -> None:
    one = start("one", drain_seconds=6)
    endless = await begin_stalled(api)
    short = await api.send(await api.thread(), model=script(new_id(), tokens=100, pause_ms=15))
    await until(lambda: api.stored_text(short), lambda text: text != "")
    ending = asyncio.create_task(asyncio.to_thread(one.stop, seconds=SECONDS))
    start("two")
    assert await ending == 0
    assert [row.attempt for row in await api.ended(short.thread_id)] == [1], "it ended in time"
    assert await api.stored_text(short) == tokens(100)
    await assert_made_again(api, endless)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_worker_ends_in_time_when_temporal_does_not_answer(
    api: Core, start: Start, temporal: TemporalServer
) -> None:
    one = start("one", drain_seconds=1)
    message = await begin_stalled(api)
    temporal.pause()
    async with asyncio.timeout(10 * BUSY_MACHINE):
        assert await asyncio.to_thread(one.stop, seconds=SECONDS) == 0
    (row,) = await api.executions(message.thread_id)
    assert row.state == "running"
    assert str(row.lease_until) <= str(datetime.now(UTC)), "given up"


async def test_a_stop_reaches_the_worker(api: Core, start: Start, model_stub: ModelStub) -> None:
    key = new_id()
    start("one")
    message = await api.send(await api.thread(), model=script(key, pause_ms=10, tokens=3000))
    stored = await until(lambda: api.stored_text(message), lambda text: text != "")
    async with asyncio.timeout(1.5 * BUSY_MACHINE):
        stopped = await api.conversation.cancel(api.user, message.thread_id, message.execution_id or "")
    assert stopped.result.state == "interrupted"
    call = await model_stub.call(key, seconds=SECONDS)
    assert call["outcome"] == "closed_by_client"
    assert len(await api.stored_text(message)) > len(stored), "more than the checkpoint had"


async def test_the_served_program_with_a_worker(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer, start: Start, tmp_path: Path
) -> None:
    """As its users meet it: accepted without a worker, made once there is one, stopped, read."""
    ran = {"temporal_address": temporal.address, "engine_tick_seconds": 1}
    async with serve(database_url=database_url, model_url=model_stub.url, directory=tmp_path, **ran) as server:
        client = await server.user("ada")
        thread_id, other = await client.new_thread(), await client.new_thread()
        client.headers |= {"X-Request-ID": "asked-by-ada"}
        execution_id = await client.begin(thread_id, script(new_id()))
        endless = await client.begin(other, script(new_id(), tokens=3000, pause_ms=10))
        one = start("one", log_format="json")
        answer = await _answer(client, thread_id, execution_id, lambda found: found["status"] == "completed")
        assert answer["text"] == tokens(5)
        shown = await _answer(client, other, endless, lambda found: found["text"] != "")
        assert (await client.cancel(other, endless)).status == 202
        stopped = await client.find_message(other, endless, role="assistant")
        assert stopped["status"] == "interrupted"
        assert stopped["text"].startswith(shown["text"])
        records = [json.loads(line) for line in one.output().splitlines() if line.startswith("{")]
        (ended,) = (r for r in records if r["event"] == "execution ended" and r["execution_id"] == execution_id)
        assert ended["request_id"] == "asked-by-ada"


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
