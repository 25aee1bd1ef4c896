"""Runs executions in this process, for whichever engine hands them over.

Owns the leases of what it runs, its partial texts and its end: one tick renews all leases and stores all texts in one
transaction. Whoever asks through the database has an execution stopped within a quarter of a second. It refuses to
choose what to run.
"""

import asyncio
import secrets
from datetime import timedelta

import structlog
from anyio import CancelScope
from sqlalchemy import Connection

from frontdesk.adapters.execution_engine.ticker import Ticker
from frontdesk.agents.models import Agent
from frontdesk.conversation.answer import Answer, Claim
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.claiming import FindVisit, claim_execution
from frontdesk.conversation.executions.models import ExecutionState
from frontdesk.conversation.executions.step import Outcome, Step
from frontdesk.conversation.executions.stopping import Stopper
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.parts import repository as parts
from frontdesk.conversation.turn import Turn
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import StaleAttemptError

_STOP_SECONDS = 5.0
_END_SECONDS = 1.0
_REQUESTS_SECONDS = 0.25
_logger = structlog.get_logger(__name__)


class RunsElsewhereError(Exception):
    """Another runner keeps its lease."""


class _Run:
    """One execution in this process; `answer` is there once it is claimed."""

    __slots__ = ("_scope", "_stopped", "answer", "task")

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.task: asyncio.Task[Step]
        self._scope: CancelScope | None = None
        self._stopped = False

    @property
    def is_ending(self) -> bool:
        return self.answer is not None and self.answer.ending

    def scope(self) -> CancelScope:
        """What `stop` cancels. For the task to make: outside of one there are no scopes."""
        self._scope = CancelScope()
        if self._stopped:
            self._scope.cancel()
        return self._scope

    def stop(self) -> None:
        self._stopped = True
        if self._scope is not None:
            self._scope.cancel()


class ExecutionRunner:
    """`lease` and `tick` are in seconds; at most `concurrency` executions run at once.

    `patience` is for how many seconds another runner must not have renewed its lease before this one takes over: that
    is the whole lease, unless who hands executions over knows better when their runner is dead.
    """

    def __init__(
        self,
        *,
        database: Database,
        turn: Turn,
        stopper: Stopper,
        clock: Clock,
        concurrency: int,
        lease: float,
        tick: float,
        context_messages: int,
        find_visit: FindVisit,
        patience: float | None = None,
        default_agent: Agent | None = None,
    ) -> None:
        self._database = database
        self._turn = turn
        self._stopper = stopper
        self._clock = clock
        self._concurrency = concurrency
        self._lease = timedelta(seconds=lease)
        # A lease that ends within so long has not been renewed for the patience.
        self._head_start = timedelta(seconds=0 if patience is None else max(0.0, lease - patience))
        self._context_messages = context_messages
        self._find_visit = find_visit
        self._default_agent = default_agent
        self._owner = secrets.token_hex(16)
        self._runs: dict[str, _Run] = {}
        self._is_open = False
        self._closing = asyncio.Lock()
        self._ticker = Ticker("checkpoint", self._checkpoint, interval=tick, clock=clock)
        self._requests = Ticker("stop requests", self._stop_requested, interval=_REQUESTS_SECONDS, clock=clock)

    @property
    def is_open(self) -> bool:
        """False from the moment on at which it begins to let go."""
        return self._is_open

    @property
    def running(self) -> int:
        return len(self._runs)

    @property
    def lease(self) -> float:
        """In seconds."""
        return self._lease.total_seconds()

    @property
    def room(self) -> int:
        """How many more may be started now."""
        return self._concurrency - len(self._runs) if self._is_open else 0

    async def open(self) -> None:
        self._is_open = True
        self._ticker.open()
        self._requests.open()

    async def aclose(self) -> None:
        """Stop here without ending the answers: their leases are given up, so that another runner continues at once.

        Safe to repeat, and at the same time: each call returns when it is done.
        """
        async with self._closing:
            if not self._is_open:
                return
            self._is_open = False
            await self._ticker.aclose()
            await self._requests.aclose()
            try:
                await self._checkpoint()
            except UnavailableError as error:
                _logger.warning("the last texts are not stored", reason=error.detail)
            await self._drop_all()
            await self._release()

    def runs(self, execution_id: str) -> bool:
        return execution_id in self._runs

    def start(self, execution_id: str) -> asyncio.Task[Step] | None:
        """What runs it, begun now or before; None when there is no room. It is not to be cancelled.

        Its result raises `RunsElsewhereError`, `StaleAttemptError` when it was taken over, or `UnavailableError`.
        """
        run = self._runs.get(execution_id)
        if run is None:
            if self.room <= 0:
                return None
            run = self._runs[execution_id] = _Run()
            run.task = asyncio.create_task(self._run(execution_id, run))
            run.task.add_done_callback(lambda task: self._settle(execution_id, task))
        return run.task

    async def stop(self, execution_id: str) -> bool:
        """As `ExecutionEngine.cancel` has it."""
        run = self._runs.get(execution_id)
        if run is None:
            return False
        run.stop()
        done, _ = await asyncio.wait([run.task], timeout=_STOP_SECONDS)
        if not done:
            raise UnavailableError("The answer is stopped, but cannot be stored yet")
        return True

    def check(self) -> None:
        """Raises `UnavailableError` when the leases are not kept."""
        self._ticker.check(self.lease)

    async def _run(self, execution_id: str, run: _Run) -> Step:
        claim = await self._claim(execution_id)
        if not isinstance(claim, Claim):
            return _not_claimed(claim)
        if claim.execution.cancel_requested_at is not None:
            return Step(Outcome.ended, await self._stopper.end(claim.execution))
        run.answer = claim.answer()
        return await self._turn.run(claim, run.answer, run.scope())

    async def _claim(self, execution_id: str) -> Claim | ExecutionState | None:
        """The claim, or the state of what cannot be claimed."""

        def work(connection: Connection) -> Claim | ExecutionState | None:
            now = self._clock.now()
            claim = claim_execution(
                connection,
                execution_id,
                owner=self._owner,
                now=now,
                lease=self._lease,
                expired=now + self._head_start,
                context_messages=self._context_messages,
                find_visit=self._find_visit,
                default_agent=self._default_agent,
            )
            return claim or executions.find_state(connection, execution_id)

        return await self._database.write(work)

    def _settle(self, execution_id: str, task: asyncio.Task[Step]) -> None:
        del self._runs[execution_id]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StaleAttemptError):
            _logger.info("execution was taken over or ended elsewhere", execution_id=execution_id)
        elif isinstance(error, UnavailableError):
            _logger.warning("execution waits for the next sweep", execution_id=execution_id, reason=error.detail)
        elif error is not None and not isinstance(error, RunsElsewhereError):
            _logger.error("execution broke", execution_id=execution_id, exc_info=error)

    async def _checkpoint(self) -> None:
        """Keep the leases, store the texts, and stop what is no longer ours."""
        claimed = [run.answer for run in self._runs.values() if run.answer is not None]
        if not claimed:
            return
        grown = [(answer, answer.cursor, answer.text) for answer in claimed if answer.cursor != answer.stored_cursor]
        shown = {answer.execution.id: dict(answer.parts) for answer, _, _ in grown if answer.parts}

        def work(connection: Connection) -> dict[str, int]:
            now = self._clock.now()
            held = executions.renew(connection, self._owner, until=now + self._lease)
            # What broke here is still ours: it is given up, or its lease would be kept for it.
            broken = [execution_id for execution_id in held if execution_id not in self._runs]
            if broken:
                executions.release(connection, self._owner, now=now, only=broken)
            ours = [item for item in grown if held.get(item[0].execution.id) == item[0].execution.attempt]
            if ours:
                messages.checkpoint(connection, [(answer.execution.message_id, text) for answer, _, text in ours])
                for answer, _, _ in ours:
                    new = shown.get(answer.execution.id, {})
                    parts.put(connection, answer.execution.thread_id, new.values())
                executions.checkpoint(
                    connection, [(a.execution.id, a.execution.attempt, cursor or "") for a, cursor, _ in ours]
                )
            return held

        held = await self._database.write(work)
        for answer, cursor, _ in grown:
            answer.stored_cursor = cursor
            answer.forget_parts(shown.get(answer.execution.id, {}))
        self._drop_lost(claimed, held)

    def _drop_lost(self, claimed: list[Answer], held: dict[str, int]) -> None:
        for answer in claimed:
            run = self._runs.get(answer.execution.id)
            lost = held.get(answer.execution.id) != answer.execution.attempt
            if lost and not answer.ending and run is not None and run.answer is answer:
                _logger.warning("lost the lease", execution_id=answer.execution.id)
                self._drop(run)

    def _drop(self, run: _Run) -> None:
        """Nothing more comes from this attempt: here is where a log that keeps something for it is told."""
        run.task.cancel()

    async def _drop_all(self) -> None:
        """What is just storing its end may do that first."""
        runs = list(self._runs.values())
        for run in runs:
            if not run.is_ending:
                self._drop(run)
        if not runs:
            return
        _, pending = await asyncio.wait([run.task for run in runs], timeout=_END_SECONDS)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _release(self) -> None:
        try:
            await self._database.write(
                lambda connection: executions.release(connection, self._owner, now=self._clock.now())
            )
        except UnavailableError as error:
            _logger.warning("the leases are not given up: they run out", reason=error.detail)

    async def _stop_requested(self) -> None:
        """Stop what somebody in another process wants stopped."""
        if not self._runs:
            return
        wanted = await self._database.read(lambda connection: executions.list_cancel_requested(connection, self._owner))
        for execution_id in wanted:
            if (run := self._runs.get(execution_id)) is not None:
                run.stop()


def _not_claimed(state: ExecutionState | None) -> Step:
    if state is ExecutionState.running:
        raise RunsElsewhereError
    return Step(Outcome.waiting if state is ExecutionState.waiting else Outcome.ended)
