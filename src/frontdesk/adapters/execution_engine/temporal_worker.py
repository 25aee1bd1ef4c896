"""Runs the steps of workflows: the half of the Temporal engine that `frontdesk worker` is.

A step is one activity. It heartbeats while the answer streams, so that Temporal gives the execution to another worker
some seconds after this one died. When Temporal only believes so, because it was away itself, the answer goes on here:
its lease tells the other worker, and the next attempt here joins it.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from frontdesk import __version__
from frontdesk.adapters.execution_engine.orchestrator import (
    RUN_STEP,
    STALE_ATTEMPT,
    TASK_QUEUE,
    AgentOrchestratorWorkflow,
)
from frontdesk.adapters.execution_engine.runner import ExecutionRunner, RunsElsewhereError
from frontdesk.adapters.execution_engine.temporal_calls import AWAY
from frontdesk.conversation.executions.step import Step
from frontdesk.errors import UnavailableError
from frontdesk.observability.logging import request_bound
from frontdesk.ports.thread_log import StaleAttemptError

_HEARTBEAT = timedelta(seconds=1)
_SOON = timedelta(milliseconds=50)
_ELSEWHERE_DELAY = timedelta(seconds=1)
_STICKY_TIMEOUT = timedelta(seconds=2)
_LEAVE_SECONDS = 3.0
_RECONNECT_SECONDS = 1.0
_CHECK_SECONDS = 1.5
_logger = structlog.get_logger(__name__)


class Steps:
    """The activities."""

    def __init__(self, runner: ExecutionRunner) -> None:
        self._runner = runner

    @activity.defn(name=RUN_STEP)
    async def run_step(self, execution_id: str, request_id: str | None = None) -> Step:
        """Run the execution until it ends, waits, or has done a step. Its log lines name the request."""
        with request_bound(request_id):
            running = self._runner.start(execution_id)
        if running is None:
            raise _retry("no_room", "The worker has no room", after=_ELSEWHERE_DELAY)
        try:
            while not running.done():
                activity.heartbeat()
                await asyncio.wait([running], timeout=_HEARTBEAT.total_seconds())
        except asyncio.CancelledError:
            await self._leave(execution_id)
        if running.cancelled() and not self._runner.is_open:
            # Whichever step hears first that the worker ends drops the answers of all.
            raise _retry("handed_over", "The worker ends", after=_SOON)
        return _result(running)

    async def _leave(self, execution_id: str) -> None:
        """Temporal wants this attempt to end: because the answer is to be stopped, or this worker, or by mistake."""
        details = activity.cancellation_details()
        if details is not None and details.cancel_requested:
            await self._runner.stop(execution_id)
            return
        if details is not None and details.worker_shutdown:
            await self._runner.aclose()
            return
        raise _retry("left_running", "The answer goes on without this attempt", after=_ELSEWHERE_DELAY)


def _result(running: asyncio.Task[Step]) -> Step:
    if running.cancelled():
        raise _stale()
    try:
        return running.result()
    except StaleAttemptError as error:
        raise _stale() from error
    except RunsElsewhereError as error:
        raise _retry("runs_elsewhere", "Another runner keeps its lease", after=_ELSEWHERE_DELAY) from error
    except UnavailableError as error:
        raise _retry("unavailable", error.detail) from error


def _stale() -> ApplicationError:
    return ApplicationError(
        "Another attempt runs it, or it has ended",
        type=STALE_ATTEMPT,
        non_retryable=True,
        category=ApplicationErrorCategory.BENIGN,
    )


def _retry(kind: str, message: str, *, after: timedelta | None = None) -> ApplicationError:
    """An expected failure after which Temporal tries again; without `after` it backs off."""
    return ApplicationError(message, type=kind, next_retry_delay=after, category=ApplicationErrorCategory.BENIGN)


class TemporalWorker:
    """`address` is `HOST:PORT`, `drain` in seconds. It closes the runner when it drains, and never opens it."""

    def __init__(
        self,
        *,
        address: str,
        namespace: str,
        runner: ExecutionRunner,
        concurrency: int,
        drain: float,
        task_queue: str = TASK_QUEUE,
    ) -> None:
        self._address = address
        self._namespace = namespace
        self._runner = runner
        self._concurrency = concurrency
        self._drain = drain
        self._task_queue = task_queue
        self._client: Client | None = None
        self._idle_because = "Temporal is not there yet"

    async def check(self) -> None:
        """Raises `UnavailableError` when it takes no executions: before it has reached Temporal, while Temporal does
        not answer or the leases are not kept, and from when it is told to end.
        """
        self._runner.check()
        if self._client is None:
            raise UnavailableError(self._idle_because)
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._client.service_client.check_health()
        except AWAY as error:
            raise UnavailableError("Temporal cannot be reached") from error

    async def run(self, stop: asyncio.Event, *, announce: Callable[[], None] = lambda: None) -> None:
        """Take executions until `stop`, then let those go on that end in time and hand the others over.

        It waits for a Temporal that is away. `announce` is called when it takes the first.
        """
        stopped = asyncio.create_task(stop.wait())
        try:
            client = await self._connect(stopped)
            if client is not None:
                await self._work(client, stopped, announce)
        finally:
            stopped.cancel()

    async def _connect(self, stopped: asyncio.Task[bool]) -> Client | None:
        has_failed = False
        while not stopped.done():
            try:
                async with asyncio.timeout(_RECONNECT_SECONDS * 5):
                    client = await Client.connect(self._address, namespace=self._namespace)
                    await client.service_client.check_health()
                    return client
            except AWAY as error:
                if not has_failed:
                    _logger.warning("Temporal is not there yet", address=self._address, reason=str(error))
                has_failed = True
            await asyncio.wait([stopped], timeout=_RECONNECT_SECONDS)
        return None

    async def _work(self, client: Client, stopped: asyncio.Task[bool], announce: Callable[[], None]) -> None:
        worker = self._worker(client)
        working = asyncio.create_task(worker.run())
        self._client = client
        announce()
        try:
            await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
            self._client, self._idle_because = None, "The worker ends"
            if not working.done():
                # Without a bound, a Temporal that is away would keep this process.
                async with asyncio.timeout(self._drain + _LEAVE_SECONDS):
                    await worker.shutdown()
            await working
        except TimeoutError:
            _logger.warning("Temporal does not hear that this worker leaves")
            await self._runner.aclose()
        finally:
            working.cancel()

    def _worker(self, client: Client) -> Worker:
        return Worker(
            client,
            task_queue=self._task_queue,
            build_id=__version__,  # else it hashes every module, for half a second in which nothing else runs
            workflows=[AgentOrchestratorWorkflow],
            # The sandbox imports the workflow anew for each execution. The replays in the tests run in it.
            workflow_runner=UnsandboxedWorkflowRunner(),
            activities=[Steps(self._runner).run_step],
            max_concurrent_activities=self._concurrency,
            max_heartbeat_throttle_interval=_HEARTBEAT,
            sticky_queue_schedule_to_start_timeout=_STICKY_TIMEOUT,
            graceful_shutdown_timeout=timedelta(seconds=self._drain),
        )
