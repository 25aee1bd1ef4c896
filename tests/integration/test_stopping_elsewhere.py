"""Stopping an answer that another process runs: over one database, with a log for each process."""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import text as sql

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.messages.models import Message
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.kit.time_limit import time_limit
from frontdesk.ports.language_model import ModelChunks, ModelRequest
from frontdesk.ports.thread_log import EventType
from harness.answers import script, shown
from harness.conversations import Core, open_core, read_all, read_until, until
from harness.model_stub import ModelStub

NEVER = 3600.0


async def stop(core: Core, thread_id: str, execution_id: str) -> tuple[str, float]:
    """How it ended, and after how many seconds."""
    begun = asyncio.get_running_loop().time()
    stopped = await core.conversation.cancel(core.user, thread_id, execution_id)
    return stopped.result.state.value, asyncio.get_running_loop().time() - begun


async def begin_unstoppable(core: Core) -> Message:
    """What is answered by a runner that does not look whether it is to stop."""
    message = await core.send(await core.thread(), model=script(new_id(), pause_ms=20, tokens=1000))
    await until(lambda: core.stored_text(message), lambda text: text != "")
    await core.runner._requests.aclose()
    return message


async def test_all_that_was_shown_is_stored(database_url: str, model_stub: ModelStub) -> None:
    key = new_id()
    async with (
        open_core(database_url, model_stub.url, tick=NEVER, lease=60) as runs,
        open_core(database_url, model_stub.url, user=runs.user, tick=NEVER) as stops,
    ):
        thread_id = await runs.thread()
        message = await runs.send(thread_id, model=script(key, pause_ms=10, tokens=1000))
        execution_id = message.execution_id or ""
        reader = await runs.feed.join(thread_id, execution_id)
        events = await read_until(reader, EventType.chunk)
        state, seconds = await stop(stops, thread_id, execution_id)
        stored = await stops.stored_text(message)
        assert (state, seconds < 1.5) == ("interrupted", True), seconds
        assert (await model_stub.call(key, seconds=1))["outcome"] == "closed_by_client"
        events += await read_all(reader)
        assert events[-1].type is EventType.execution_interrupted
        assert stored.startswith("t0 ")
        assert shown(events) == stored, "no checkpoint was made: its runner stored it"


async def test_many_are_stopped_as_fast(database_url: str, model_stub: ModelStub) -> None:
    async with (
        open_core(database_url, model_stub.url, tick=NEVER, lease=60) as runs,
        open_core(database_url, model_stub.url, user=runs.user, tick=NEVER) as stops,
    ):
        sent = [
            await runs.send(await runs.thread(), model=script(new_id(), pause_ms=20, tokens=1000)) for _ in range(20)
        ]
        readers = [await runs.feed.join(message.thread_id, message.execution_id or "") for message in sent]
        seen = [await read_until(reader, EventType.chunk) for reader in readers]
        ended = await asyncio.gather(*(stop(stops, m.thread_id, m.execution_id or "") for m in sent))
        assert {state for state, _ in ended} == {"interrupted"}
        assert max(seconds for _, seconds in ended) < 2.5
        for message, reader, events in zip(sent, readers, seen, strict=True):
            assert shown([*events, *await read_all(reader)]) == await stops.stored_text(message)


async def test_the_threads_next_answer_follows(database_url: str, model_stub: ModelStub) -> None:
    async with (
        open_core(database_url, model_stub.url) as runs,
        open_core(database_url, model_stub.url, user=runs.user) as stops,
    ):
        thread_id = await runs.thread()
        running = await runs.send(thread_id, model=script(new_id(), pause_ms=10, tokens=1000))
        await runs.send(thread_id, model=script(new_id()), if_active="queue")
        await read_until(await runs.feed.join(thread_id, running.execution_id or ""), EventType.chunk)
        assert (await stop(stops, thread_id, running.execution_id or ""))[0] == "interrupted"
        assert [row.state for row in await stops.ended(thread_id)] == ["interrupted", "completed"]


async def test_a_runner_that_died_is_not_waited_for_when_its_lease_has_run_out(
    database_url: str, model_stub: ModelStub
) -> None:
    async with open_core(database_url, model_stub.url, lease=0.3) as first:
        thread_id = await first.thread()
        message = await first.send(thread_id, model=script(new_id(), stall_at=3))
        stored = await until(lambda: first.stored_text(message), lambda text: text != "")
        await first.crash()
        await asyncio.sleep(0.3)  # the lease
        async with open_core(database_url, model_stub.url, user=first.user, concurrency=0) as second:
            state, seconds = await stop(second, thread_id, message.execution_id or "")
            assert (state, seconds < 1) == ("interrupted", True)
            assert await second.stored_text(message) == stored


async def test_a_runner_that_does_not_react_loses_its_fence(database_url: str, model_stub: ModelStub) -> None:
    async with open_core(database_url, model_stub.url, tick=0.1, lease=60) as first:
        message = await begin_unstoppable(first)
        async with open_core(database_url, model_stub.url, user=first.user) as second:
            state, seconds = await stop(second, message.thread_id, message.execution_id or "")
            assert (state, 2.5 < seconds < 4.5) == ("interrupted", True), seconds
            await until(lambda: asyncio.sleep(0, first.runner.running), lambda running: running == 0)


async def test_a_stop_leaves_its_request_time_to_end_what_does_not_react(
    database_url: str, model_stub: ModelStub
) -> None:
    async with open_core(database_url, model_stub.url, tick=0.1, lease=60) as first:
        message = await begin_unstoppable(first)
        async with open_core(database_url, model_stub.url, user=first.user) as second:
            with time_limit(3):
                state, _ = await stop(second, message.thread_id, message.execution_id or "")
            assert state == "interrupted"


async def test_a_request_outlives_the_runner_that_it_was_for(database_url: str, model_stub: ModelStub) -> None:
    key = new_id()
    async with open_core(database_url, model_stub.url, lease=0.5) as first:
        thread_id = await first.thread()
        message = await first.send(thread_id, model=script(key, stall_at=3))
        stored = await until(lambda: first.stored_text(message), lambda text: text != "")
        await first.crash()
        await first.database.write(
            lambda c: executions.request_cancel(c, message.execution_id or "", now=SystemClock().now())
        )
        async with open_core(database_url, model_stub.url, user=first.user) as second:
            assert [row.state for row in await second.ended(thread_id)] == ["interrupted"]
            assert await second.stored_text(message) == stored
    assert len(await model_stub.calls(key)) == 1, "the model is not asked again"


async def test_asking_whether_to_stop_reads_one_index(sqlite_url: str, model_stub: ModelStub) -> None:
    async with open_core(sqlite_url, model_stub.url) as core:
        plan = "EXPLAIN QUERY PLAN SELECT id FROM executions WHERE owner = ? AND cancel_requested_at IS NOT NULL"
        rows = await core.database.read(lambda c: c.exec_driver_sql(plan, ("me",)).all())
        assert "USING INDEX ix_executions_owner_cancel_requested_at" in rows[0].detail
        assert not await core.database.read(lambda c: c.scalar(sql("SELECT count(*) FROM executions")))


class ModelThatBreaks:
    """Breaks at its first call, and goes on for ever at the others."""

    def __init__(self) -> None:
        self.calls = 0

    async def stream(self, _request: ModelRequest, take: Callable[[ModelChunks], None]) -> None:
        self.calls += 1
        if self.calls == 2:
            raise AssertionError("a defect")
        if self.calls == 1:
            await asyncio.Event().wait()
        take(ModelChunks([b'{"choices":[]}'], text="whole", finish_reason="stop"))

    async def stop(self, thread_id: str) -> None: ...

    async def models(self) -> list[dict[str, Any]]:
        return [{"id": "m", "object": "model"}]

    async def aclose(self) -> None: ...


async def test_what_broke_is_made_again_while_its_process_runs_others(database_url: str) -> None:
    async with open_core(database_url, ModelThatBreaks(), lease=0.5) as core:
        other = await core.send(await core.thread())
        await until(lambda: core.executions(other.thread_id), lambda rows: rows[0].state == "running")
        thread_id = await core.thread()
        message = await core.send(thread_id)
        (row,) = await core.ended(thread_id)
        assert (row.state, row.attempt) == ("completed", 2)
        assert await core.stored_text(message) == "whole"
        await core.conversation.cancel(core.user, other.thread_id, other.execution_id or "")
