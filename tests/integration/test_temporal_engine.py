"""The execution engine over a real Temporal server: workers that die or leave, a Temporal that is away."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType as TemporalEventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

from deploy.parts.temporal import TemporalServer
from frontdesk.adapters.execution_engine.orchestrator import AgentOrchestratorWorkflow, Order, workflow_id
from frontdesk.conversation.messages.models import Message
from frontdesk.errors import UnavailableError
from frontdesk.kit.ids import new_id
from frontdesk.ports.thread_log import EventType
from harness.answers import script, shown, tokens
from harness.conversations import Core, OverTemporal, in_process_log, open_core, read_all, read_until, until
from harness.model_stub import ModelStub

NEVER = 3600.0


@pytest.mark.alone  # a full machine is late with heartbeats, and begins some once more
async def test_200_that_are_started_at_once_all_run(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer
) -> None:
    async with open_core(database_url, model_stub.url, temporal=OverTemporal(temporal.address), lease=30) as core:
        threads = [await core.thread() for _ in range(200)]
        sent = await asyncio.gather(*(core.send(thread_id, model=script(new_id())) for thread_id in threads))
        readers = [await core.feed.join(message.thread_id, message.execution_id or "") for message in sent]
        for reader in readers:
            assert shown(await read_all(reader)) == tokens(5)
        rows = [row for thread_id in threads for row in await core.executions(thread_id)]
        assert {(row.state, row.attempt) for row in rows} == {("completed", 1)}


@pytest.mark.parametrize("way", ["stop", "pause"])
async def test_what_was_accepted_while_temporal_was_away_is_done_when_it_is_back(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer, way: str
) -> None:
    """And what ran meanwhile goes on: it is not made twice. Temporal has no more to do than otherwise."""
    slow = new_id()
    over = OverTemporal(temporal.address)
    async with open_core(database_url, model_stub.url, temporal=over, tick=0.5, lease=4) as core:
        running = await core.send(await core.thread(), model=script(slow, pause_ms=100, tokens=80))
        await read_until(await core.feed.join(running.thread_id, running.execution_id or ""), EventType.chunk)
        (temporal.stop if way == "stop" else temporal.pause)()
        sent = []
        for _ in range(20):
            begun = asyncio.get_running_loop().time()
            sent.append(await core.send(await core.thread(), model=script(new_id())))
            assert asyncio.get_running_loop().time() - begun < 1, "nobody waits for Temporal"
            await asyncio.sleep(0.1)
        begun = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError, match="Temporal"):
            await core.engine.check()
        assert asyncio.get_running_loop().time() - begun < 2
        await asyncio.to_thread(temporal.ensure)
        for message in sent:
            assert [row.state for row in await core.ended(message.thread_id)] == ["completed"]
        await core.ended(running.thread_id)
        assert await core.stored_text(running) == tokens(80)
        assert len(await model_stub.calls(slow)) == 1
        await core.engine.check()
        client = await Client.connect(temporal.address)
        for message in sent:
            events = await _history(client, message)
            kinds = {event.event_type for event in events}
            assert TemporalEventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED not in kinds


async def test_a_worker_that_leaves_hands_its_answers_over(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer
) -> None:
    """Readers are told, and get the whole text."""
    key, log = new_id(), in_process_log()
    over = OverTemporal(temporal.address)
    async with open_core(
        database_url, model_stub.url, log=log, temporal=OverTemporal(temporal.address, over.task_queue, works=False)
    ) as api:
        leaves = open_core(database_url, model_stub.url, log=log, temporal=over, lease=60, tick=NEVER)
        async with leaves as worker:
            message = await api.send(await api.thread(), model=script(key, stall_at=3, fail_first=1))
            reader = await api.feed.join(message.thread_id, message.execution_id or "")
            events = await read_until(reader, EventType.chunk)
            assert worker.runner.running == 1
        async with _worker(database_url, model_stub, log=log, temporal=over):
            events += await read_all(reader)
    assert EventType.execution_restarted in {event.type for event in events}
    assert shown(events) == tokens(5)
    await log.aclose()


async def test_a_worker_that_leaves_hands_all_of_them_over_at_once(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer
) -> None:
    """By Temporal, one as another: no tick comes to find what was forgotten."""
    over, log = OverTemporal(temporal.address), in_process_log()
    elsewhere = OverTemporal(temporal.address, over.task_queue, works=False)
    async with _worker(database_url, model_stub, log=log, temporal=elsewhere) as api:
        async with _worker(database_url, model_stub, log=log, temporal=over, lease=60) as worker:
            threads = [await api.thread() for _ in range(60)]
            sent = [await api.send(each, model=script(new_id(), stall_at=3, fail_first=1)) for each in threads]
            ids = {message.execution_id or "" for message in sent}
            await until(lambda: _unclaimed(api, worker, ids), lambda unclaimed: not unclaimed)
        async with _worker(database_url, model_stub, log=log, temporal=over):
            rows = [row for thread_id in threads for row in await api.ended(thread_id)]
    assert {(row.state, row.attempt) for row in rows} == {("completed", 2)}
    await log.aclose()


async def _unclaimed(api: Core, worker: Core, ids: set[str]) -> set[str]:
    """Those that the worker does not run yet, which are started again: a busy Temporal may miss the first time."""
    claimed = {name for name, run in worker.runner._runs.items() if run.answer is not None}
    for execution_id in ids - claimed:
        api.engine.start(execution_id)
    return ids - claimed


def _worker(url: str, stub: ModelStub, **options: Any) -> AbstractAsyncContextManager[Core]:
    return open_core(url, stub.url, tick=NEVER, **options)


async def test_an_answer_that_ends_in_time_is_not_handed_over(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer
) -> None:
    key, log = new_id(), in_process_log()
    over = OverTemporal(temporal.address, drain=5)
    async with open_core(
        database_url, model_stub.url, log=log, temporal=OverTemporal(temporal.address, over.task_queue, works=False)
    ) as api:
        async with _worker(database_url, model_stub, log=log, temporal=over):
            message = await api.send(await api.thread(), model=script(key, pause_ms=20, tokens=50))
            reader = await api.feed.join(message.thread_id, message.execution_id or "")
            events = await read_until(reader, EventType.chunk)
        events += await read_all(reader)
        assert shown(events) == tokens(50)
        assert [row.attempt for row in await api.executions(message.thread_id)] == [1]
    await log.aclose()


async def test_a_workflow_that_is_cancelled_stops_its_answer(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer
) -> None:
    """By an operator, past the program."""
    client = await Client.connect(temporal.address)
    async with open_core(database_url, model_stub.url, temporal=OverTemporal(temporal.address), tick=NEVER) as core:
        for number in range(2):
            message = await core.send(await core.thread(), model=script(new_id(), pause_ms=10, tokens=2000))
            reader = await core.feed.join(message.thread_id, message.execution_id or "")
            events = await read_until(reader, EventType.chunk)
            workflow = client.get_workflow_handle(workflow_id(message.execution_id or ""))
            await (workflow.cancel() if number else workflow.signal(AgentOrchestratorWorkflow.cancel))
            events += await read_all(reader)
            assert events[-1].type is EventType.execution_interrupted
            assert shown(events) == await core.stored_text(message)


async def test_a_workflow_too_many_changes_nothing(
    database_url: str, model_stub: ModelStub, temporal: TemporalServer
) -> None:
    client, key = await Client.connect(temporal.address), new_id()
    over = OverTemporal(temporal.address)
    async with open_core(database_url, model_stub.url, temporal=over) as core:
        message = await core.send(await core.thread(), model=script(key))
        (before,) = await core.ended(message.thread_id)
        for execution_id in (message.execution_id or "", new_id()):
            await client.execute_workflow(
                AgentOrchestratorWorkflow.run, Order(execution_id), id=new_id(), task_queue=over.task_queue
            )
        assert await core.executions(message.thread_id) == [before]
    assert len(await model_stub.calls(key)) == 1


async def test_a_history_has_no_words(database_url: str, model_stub: ModelStub, temporal: TemporalServer) -> None:
    client = await Client.connect(temporal.address)
    async with open_core(database_url, model_stub.url, temporal=OverTemporal(temporal.address)) as core:
        message = await core.send(await core.thread(), "a very private question", model=script(new_id(), tokens=30))
        await core.ended(message.thread_id)
        history = b"".join(event.SerializeToString() for event in await _history(client, message))
        assert (message.execution_id or "?").encode() in history
        assert b"private" not in history
        assert b"t29" not in history


async def _history(client: Client, message: Message) -> Sequence[HistoryEvent]:
    workflow = client.get_workflow_handle(workflow_id(message.execution_id or ""))
    await workflow.result()
    return (await workflow.fetch_history()).events


async def test_without_a_worker_it_is_not_ready(
    sqlite_url: str, model_stub: ModelStub, temporal: TemporalServer
) -> None:
    over = OverTemporal(temporal.address, works=False)
    async with open_core(sqlite_url, model_stub.url, temporal=over) as api:
        with pytest.raises(UnavailableError, match="No worker"):
            await api.engine.check()
        async with _worker(sqlite_url, model_stub, temporal=OverTemporal(temporal.address, over.task_queue)):
            await until(lambda: _is_ready(api), lambda ready: ready)


async def _is_ready(core: Core) -> bool:
    try:
        await core.engine.check()
    except UnavailableError:
        return False
    return True
