"""The workflow that brings an execution to its end, step by step.

It decides nothing: every step asks the database what there is to do, so that a step too many changes nothing. Its
history holds ids and outcomes, no texts. A change here must still replay the recorded histories (`make test` does), or
stand behind `workflow.patched`: workflows that wait for somebody's answer are days old.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError, is_cancelled_exception

from frontdesk.conversation.executions.step import Outcome, Step

TASK_QUEUE = "agent-queue"
WORKFLOW = "agentOrchestratorWorkflow"
RUN_STEP = "runStep"
RESUME = "resume"
STALE_ATTEMPT = "stale_attempt"
HEARTBEAT_TIMEOUT = timedelta(seconds=5)

_STEPS_IN_HISTORY = 50
_LONGEST_STEP = timedelta(days=1)
_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
    non_retryable_error_types=[STALE_ATTEMPT],
)


def workflow_id(execution_id: str) -> str:
    return f"agent-execution-{execution_id}"


@dataclass(frozen=True)
class Order:
    """What a workflow is started with. `request_id` is of the request that asked for the answer, for the logs."""

    execution_id: str
    request_id: str | None = None


@workflow.defn(name=WORKFLOW)
class AgentOrchestratorWorkflow:
    def __init__(self) -> None:
        self._is_woken = False
        self._step: workflow.ActivityHandle[Step] | None = None

    @workflow.run
    async def run(self, order: Order) -> None:
        for _ in range(_STEPS_IN_HISTORY):
            step = await self._run_step(order)
            if step.outcome is Outcome.ended:
                await self._give_on(step)
                return
            if step.outcome is Outcome.waiting:
                # No timer: nobody knows how long a person takes.
                await workflow.wait_condition(lambda: self._is_woken)
            self._is_woken = False
        workflow.continue_as_new(order)

    @workflow.signal
    def cancel(self) -> None:
        """The execution is to be stopped: a step that runs stops and stores what it has, and one that waits looks."""
        self._is_woken = True
        if self._step is not None:
            self._step.cancel()

    @workflow.signal(name=RESUME)
    def resume(self) -> None:
        """What the execution waited for is in the database."""
        self._is_woken = True

    async def _run_step(self, order: Order) -> Step:
        self._step = workflow.start_activity(
            RUN_STEP,
            args=[order.execution_id, order.request_id],
            result_type=Step,
            start_to_close_timeout=_LONGEST_STEP,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=_RETRIES,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        )
        try:
            return await self._step
        except ActivityError as error:
            # Somebody else runs it, or it was stopped while nobody did: either way it is in the database.
            if is_cancelled_exception(error) or _is_stale(error):
                return Step(Outcome.ended)
            raise
        except asyncio.CancelledError:
            # The cancellation came together with the step's own end: what that was is in the database.
            return Step(Outcome.again)
        finally:
            self._step = None

    async def _give_on(self, step: Step) -> None:
        """Start the thread's next execution, which is nobody's child."""
        if step.next_execution_id is None:
            return
        try:
            _ = await workflow.start_child_workflow(
                AgentOrchestratorWorkflow.run,
                Order(step.next_execution_id),
                id=workflow_id(step.next_execution_id),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                cancellation_type=workflow.ChildWorkflowCancellationType.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return


def _is_stale(error: ActivityError) -> bool:
    return isinstance(error.cause, ApplicationError) and error.cause.type == STALE_ATTEMPT
