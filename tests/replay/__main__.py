"""Records histories of the workflow as it is now, from real runs, to be replayed by every later version.

`make histories`, before a release: they are named after the version, and those of earlier versions stay.
"""

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from deploy.parts.temporal import TemporalServer
from frontdesk import __version__
from frontdesk.adapters.execution_engine.orchestrator import (
    RUN_STEP,
    TASK_QUEUE,
    AgentOrchestratorWorkflow,
    Order,
    workflow_id,
)
from frontdesk.conversation.executions.step import Outcome, Step
from frontdesk.conversation.messages.models import Message
from frontdesk.database.migrations import upgrade
from frontdesk.kit.ids import new_id
from harness.conversations import Core, OverTemporal, open_core, until
from harness.model_stub import ModelStub
from harness.ports import lasting_port
from harness.processes import Process
from harness.temporal import PORTS
from harness.worker import await_worker, worker_process

HISTORIES = Path(__file__).parent / "histories"
LONG = "scripted?tokens=50&pause_ms=100&key=long"
STALLS_ONCE = "scripted?tokens=50&stall_at=30&fail_first=1&key=killed"


@dataclass
class Stage:
    client: Client
    core: Core
    worker: Process

    async def begin(self, model: str) -> tuple[Message, WorkflowHandle[Any, Any]]:
        message = await self.core.send(await self.core.thread(), model=model)
        return message, self.client.get_workflow_handle(workflow_id(message.execution_id or ""))

    async def begin_and_see(self, model: str) -> tuple[Message, WorkflowHandle[Any, Any]]:
        """Begun, and some of its text stored."""
        message, workflow = await self.begin(model)
        await until(lambda: self.core.stored_text(message), lambda text: text != "")
        return message, workflow


async def completed(stage: Stage) -> WorkflowHandle[Any, Any]:
    """One that gives its thread on to the next."""
    message, workflow = await stage.begin("scripted?tokens=20&pause_ms=20&key=completed")
    await stage.core.send(message.thread_id, model="scripted?tokens=5&key=next", if_active="queue")
    await stage.core.ended(message.thread_id)
    return workflow


async def failed(stage: Stage) -> WorkflowHandle[Any, Any]:
    message, workflow = await stage.begin("scripted?tokens=5&error_at=3&key=failed")
    await stage.core.ended(message.thread_id)
    return workflow


async def cancelled(stage: Stage) -> WorkflowHandle[Any, Any]:
    _, workflow = await stage.begin_and_see(LONG)
    await workflow.signal(AgentOrchestratorWorkflow.cancel)
    return workflow


async def killed(stage: Stage) -> WorkflowHandle[Any, Any]:
    _, workflow = await stage.begin_and_see(STALLS_ONCE)
    stage.worker.kill()
    stage.worker.start()
    return workflow


async def continued(stage: Stage) -> WorkflowHandle[Any, Any]:
    """Nothing takes so many steps yet, so these are made up: the workflow and the server are real."""

    @activity.defn(name=RUN_STEP)
    async def step(_execution_id: str, _request_id: str | None) -> Step:
        info = activity.info()
        is_first = info.workflow_run_id == first.first_execution_run_id
        return Step(Outcome.again if is_first else Outcome.ended)

    queue, execution_id = new_id(), new_id()
    first = await stage.client.start_workflow(
        AgentOrchestratorWorkflow.run, Order(execution_id), id=workflow_id(execution_id), task_queue=queue
    )
    async with Worker(stage.client, task_queue=queue, workflows=[AgentOrchestratorWorkflow], activities=[step]):
        await first.result()
    return stage.client.get_workflow_handle(first.id, run_id=first.first_execution_run_id)


SCENES: list[Callable[[Stage], Awaitable[WorkflowHandle[Any, Any]]]] = [completed, failed, cancelled, killed, continued]


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    url = f"sqlite:///{folder}/frontdesk.db"
    await asyncio.to_thread(upgrade, url)
    temporal = TemporalServer(folder, lasting_port(PORTS)).start()
    try:
        with Process("frontdesk.model_stub", "--port", "0", log=folder / "stub.log") as provider:
            stub = ModelStub(provider.ready_line()["url"])
            over = OverTemporal(temporal.address, TASK_QUEUE, works=False)
            process = worker_process(folder, database_url=url, model_url=stub.url, temporal=temporal.address)
            async with open_core(url, stub.url, temporal=over, tick=2) as core:
                with process as worker:
                    await_worker(worker)
                    yield Stage(await Client.connect(temporal.address), core, worker)
    finally:
        temporal.stop()


def without_names(history: Any) -> Any:
    """A machine's name is nobody's business."""
    if isinstance(history, list):
        return [without_names(item) for item in history]
    if isinstance(history, dict):
        return {key: without_names(value) for key, value in history.items()}
    return "recorded" if isinstance(history, str) and socket.gethostname() in history else history


async def main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="histories") as name:
        async with open_stage(Path(name)) as stage:
            for scene in SCENES:
                workflow = await scene(stage)
                await stage.client.get_workflow_handle(workflow.id).result()
                history = await workflow.fetch_history()
                path = HISTORIES / f"{__version__}-{scene.__name__}.json"
                path.write_text(json.dumps(without_names(history.to_json_dict()), indent=1) + "\n")
                print(f"{path.name}: {len(history.events)} events")  # noqa: T201  a command's output


if __name__ == "__main__":
    asyncio.run(main())
