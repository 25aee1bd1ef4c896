"""One turn: from a claimed execution to its end. It streams the model onto the log and stores the answer.

An agent is asked again for as long as it calls tools; each asking is a step, and what a step said and called is stored
before its calls are made, so that another runner goes on behind it. An answer that needs something of a person is
stored and let go of, and goes on when that has come.

The stored end comes before the end on the log, so whoever hears of it finds it. A stopped turn stores what it has;
one that is merely abandoned (its process dies) stores nothing more, and another runner begins its last step again.
"""

import asyncio

import msgspec
import structlog
from anyio import CancelScope
from opentelemetry import trace
from sqlalchemy import Connection

from frontdesk.agents.models import Agent
from frontdesk.conversation.answer import Answer, Claim
from frontdesk.conversation.asking import Asking, Heartbeat
from frontdesk.conversation.executions.ending import (
    Ending,
    finish_execution,
    has_ended_so,
    last_entries,
)
from frontdesk.conversation.executions.models import ExecutionState
from frontdesk.conversation.executions.step import Outcome, Step
from frontdesk.conversation.executions.suspending import suspend_execution
from frontdesk.conversation.grounding import Grounding
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.tool_calls.making import ToolCaller
from frontdesk.conversation.tool_calls.models import AWAITING
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.identity.message_limits import MessageLimits
from frontdesk.kit.clock import Clock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.language_model import ModelCallError
from frontdesk.ports.thread_log import Entry, ThreadLog

_log = structlog.get_logger(__name__)
_tracer = trace.get_tracer(__name__)
_RETRY_SECONDS = 0.5
_GIVEN_UP = frozenset({"time_limit", "step_limit", "token_limit"})  # by us, while a runtime may go on
_EXHAUSTED = Ending(
    state=ExecutionState.failed,
    text=None,
    model=None,
    error_code="attempts_exhausted",
    error_message="The answer was begun too often and never finished",
)
_NO_AGENT = Ending(
    state=ExecutionState.failed,
    text=None,
    model=None,
    error_code="agent_not_found",
    error_message="The thread's agent is not there, or not yours to use",
)


class Turn:
    """`heartbeat` is in seconds: how long the log may be silent while the answer is under way. It is begun at most
    `max_attempts` times, not counting those at which it went to wait.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: ThreadLog,
        asking: Asking,
        caller: ToolCaller,
        grounding: Grounding,
        clock: Clock,
        limits: MessageLimits,
        measurements: Measurements,
        heartbeat: float,
        max_attempts: int,
    ) -> None:
        self._heartbeat = heartbeat
        self._max_attempts = max_attempts
        self._database = database
        self._log = log
        self._asking = asking
        self._caller = caller
        self._grounding = grounding
        self._clock = clock
        self._limits = limits
        self._measurements = measurements

    async def run(self, claim: Claim, answer: Answer, scope: CancelScope) -> Step:
        """Run to the end, or to where somebody outside is needed.

        Cancelling `scope` stops the answer: its text so far is stored as interrupted. Raises `StaleAttemptError` when
        another runner has taken over, with nothing changed.
        """
        execution = claim.execution
        place = (execution.thread_id, execution.id, execution.attempt)
        leave = self._log.abandon
        with _tracer.start_as_current_span("execution", attributes={"execution.id": execution.id}):
            try:
                if execution.restarts >= self._max_attempts:
                    return await self._end(answer, msgspec.structs.replace(_EXHAUSTED, spent=answer.spent))
                if claim.lacks_agent:
                    return await self._end(answer, _NO_AGENT)
                step = await self._answer(claim, answer, scope)
                if step.outcome is Outcome.waiting:
                    leave = self._log.pause
                return step
            finally:
                leave(*place)

    async def _answer(self, claim: Claim, answer: Answer, scope: CancelScope) -> Step:
        self._asking.announce(claim, answer)
        heartbeat = Heartbeat(self._log, answer, self._heartbeat)
        error: ModelCallError | None = None
        try:
            with scope:
                if await self._work(claim, answer, heartbeat):
                    return Step(Outcome.waiting)
        except ModelCallError as failure:
            error = failure
        finally:
            heartbeat.stop()
        stopped = scope.cancelled_caught
        if stopped or (error is not None and error.kind in _GIVEN_UP):
            await self._asking.stop(claim)  # before the thread is free: nothing may be begun in it until then
        return await self._end(answer, _ending(answer, error, stopped=stopped))

    async def _work(self, claim: Claim, answer: Answer, heartbeat: Heartbeat) -> bool:
        """To the answer's end; True when it waits for somebody instead."""
        agent = claim.agent
        if agent is None:
            await self._asking.ask(claim, answer, behind=(), heartbeat=heartbeat)
            return False
        if not claim.has_sources:
            return await self._take_steps_in_time(claim, agent, answer=answer, heartbeat=heartbeat)
        grounds = await self._grounding.prepare(claim, answer)
        claim, agent = grounds.claim, grounds.claim.agent or agent
        if await self._take_steps_in_time(claim, agent, answer=answer, heartbeat=heartbeat):
            return True
        await self._grounding.cite(answer, grounds)
        return False

    async def _take_steps_in_time(self, claim: Claim, agent: Agent, *, answer: Answer, heartbeat: Heartbeat) -> bool:
        seconds = agent.limits.max_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._take_steps(claim, agent, answer=answer, heartbeat=heartbeat)
        except TimeoutError as error:
            raise ModelCallError("time_limit", f"The agent worked for {seconds:g} seconds without an end") from error

    async def _take_steps(self, claim: Claim, agent: Agent, *, answer: Answer, heartbeat: Heartbeat) -> bool:
        steps = list(claim.steps)
        while True:
            if steps:
                steps[-1] = await self._caller.make(answer, steps[-1])
                if any(call.state in AWAITING for call in steps[-1].calls):
                    if await self._suspend(answer, heartbeat):
                        return True
                    continue
            if len(steps) >= agent.limits.max_steps:
                raise ModelCallError("step_limit", f"The agent called tools {len(steps)} times without an end")
            await self._asking.ask(claim, answer, behind=steps, heartbeat=heartbeat)
            if not answer.calls:
                return False
            steps.append(await self._caller.record(answer, agent.tools, steps))

    async def _suspend(self, answer: Answer, heartbeat: Heartbeat) -> bool:
        """Let it wait; False when what it would wait for has come meanwhile."""
        heartbeat.stop()
        answer.ending = True  # nothing may take it away between here and the stored state
        execution, text, cursor = answer.execution, answer.text, answer.cursor or ""
        shown = tuple(answer.parts.values())
        while True:
            try:
                waits = await self._database.write(
                    lambda connection: suspend_execution(connection, execution, text=text, cursor=cursor, shown=shown)
                )
            except UnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        if not waits:
            answer.ending = False
            heartbeat.start()
        return waits

    async def _end(self, answer: Answer, ending: Ending) -> Step:
        execution = answer.execution
        thread_id, execution_id = execution.thread_id, execution.id
        answer.ending = True
        held = ending.text is not None or await self._log.holds(thread_id, execution_id)
        in_doubt = False

        def work(connection: Connection) -> tuple[str | None, list[Entry]]:
            if in_doubt and has_ended_so(connection, execution, ending):
                next_id = threads.get_unscoped(connection, thread_id).active_execution_id
            else:
                next_id = finish_execution(connection, execution, ending, now=self._clock.now())
            return next_id, last_entries(connection, execution, ending, held=held)

        while True:
            try:
                next_id, entries = await self._database.write(work)
            except UnavailableError:
                in_doubt = True  # the connection may have been lost behind the commit
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                break
        await self._limits.settle(execution.reservation, ending.spent)
        self._log.append(thread_id, execution_id, execution.attempt, entries=entries)
        self._measurements.execution_ended(ending.state, answer.tokens)
        _log.info("execution ended", execution_id=execution_id, state=ending.state, error=ending.error_code)
        return Step(Outcome.ended, next_id)


def _ending(answer: Answer, error: ModelCallError | None, *, stopped: bool) -> Ending:
    if stopped:
        state = ExecutionState.interrupted
    elif error is not None or answer.agent_status == "failed":
        state = ExecutionState.failed
        error = error or ModelCallError("failed_by_provider", "The model provider reported a failure")
    elif answer.agent_status == "interrupted":
        state = ExecutionState.interrupted
    else:
        state = ExecutionState.completed
    return Ending.of(answer, state, error)
