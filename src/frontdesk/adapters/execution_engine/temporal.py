"""The execution engine over Temporal: this process starts workflows, and `frontdesk worker` runs their steps.

The database is the truth: a start that does not reach Temporal is found there by the next tick, and a workflow that is
started twice is one. So nothing that was accepted is lost while Temporal is away, and nobody waits for it.
"""

from datetime import UTC, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from frontdesk.adapters.execution_engine.orchestrator import (
    RESUME,
    TASK_QUEUE,
    AgentOrchestratorWorkflow,
    Order,
    workflow_id,
)
from frontdesk.adapters.execution_engine.temporal_calls import TemporalCalls
from frontdesk.adapters.execution_engine.ticker import Ticker
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.housekeeping import Housekeeping
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock
from frontdesk.observability.logging import bound_request_id

_CHECK_SECONDS = 1.5
_MOST_SILENCE_SECONDS = 10.0
_DUE_IN_A_TICK = 200
_REMEMBERED_SECONDS = 20.0
_POLL_SECONDS = 90.0  # a worker's poll lasts up to a minute
_WORKFLOW_TASK_TIMEOUT = timedelta(seconds=5)


class TemporalExecutionEngine:
    """`tick` is in seconds. It opens and closes `calls`."""

    def __init__(
        self,
        *,
        calls: TemporalCalls,
        namespace: str,
        database: Database,
        housekeeping: Housekeeping,
        clock: Clock,
        tick: float,
        task_queue: str = TASK_QUEUE,
    ) -> None:
        self._calls = calls
        self._namespace = namespace
        self._database = database
        self._housekeeping = housekeeping
        self._clock = clock
        self._tick = tick
        self._task_queue = task_queue
        self._ticker = Ticker("start what is due", self._start_due, interval=tick, clock=clock)
        self._started: dict[str, float] = {}
        self._after = ""

    @property
    def running(self) -> int:
        return 0

    async def open(self) -> None:
        await self._calls.open()
        self._ticker.open()

    async def aclose(self) -> None:
        await self._ticker.aclose()
        await self._calls.aclose()

    def start(self, execution_id: str) -> None:
        self._calls.begin(execution_id, lambda client: self._start(client, execution_id))

    def resume(self, execution_id: str) -> None:
        self._calls.begin(execution_id, lambda client: self._start(client, execution_id, signal=RESUME))

    async def cancel(self, execution_id: str) -> bool:
        """Nothing runs here: its runner is asked through the database. The workflow is told for one that waits."""
        self._calls.begin(f"cancel {execution_id}", lambda client: _cancel(client, execution_id))
        return False

    async def check(self) -> None:
        """Raises `UnavailableError` when Temporal does not answer, or when no worker has asked it for work lately."""
        self._ticker.check(_MOST_SILENCE_SECONDS)
        request = DescribeTaskQueueRequest(
            namespace=self._namespace,
            task_queue=TaskQueue(name=self._task_queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        found = await self._calls.ask(
            lambda client: client.workflow_service.describe_task_queue(request), seconds=_CHECK_SECONDS
        )
        if not self._has_workers(found):
            raise UnavailableError("No worker takes executions: run frontdesk worker")

    def _has_workers(self, queue: DescribeTaskQueueResponse) -> bool:
        since = self._clock.now() - timedelta(seconds=_POLL_SECONDS)
        return any(poller.last_access_time.ToDatetime(tzinfo=UTC) > since for poller in queue.pollers)

    async def _start(self, client: Client, execution_id: str, *, signal: str | None = None) -> None:
        await client.start_workflow(
            AgentOrchestratorWorkflow.run,
            Order(execution_id, bound_request_id()),
            id=workflow_id(execution_id),
            task_queue=self._task_queue,
            task_timeout=_WORKFLOW_TASK_TIMEOUT,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=signal,
        )
        self._started[execution_id] = self._clock.monotonic()

    async def _start_due(self) -> None:
        """Start what nobody runs and what was not started lately, some of it in each tick."""
        await self._housekeeping.run_if_due()
        if self._calls.room <= 0:
            return
        now = self._clock.now()
        settled = now - timedelta(seconds=self._tick)
        due = await self._database.read(
            lambda connection: executions.list_due(
                connection, now=now, settled=settled, limit=_DUE_IN_A_TICK, after=self._after
            )
        )
        self._after = due[-1].id if len(due) == _DUE_IN_A_TICK else ""
        since = self._clock.monotonic() - _REMEMBERED_SECONDS
        self._started = {name: at for name, at in self._started.items() if at > since}
        for execution in due:
            if execution.id in self._started:
                continue
            if execution.was_begun:
                self.resume(execution.id)  # it may wait
            else:
                self.start(execution.id)  # a signal would cost Temporal a task more


async def _cancel(client: Client, execution_id: str) -> None:
    try:
        await client.get_workflow_handle(workflow_id(execution_id)).signal(AgentOrchestratorWorkflow.cancel)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended, or was never started
            raise
