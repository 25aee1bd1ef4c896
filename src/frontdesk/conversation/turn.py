"""One turn: from a claimed execution to its end. It streams the model onto the log and stores the answer.

The stored end comes before the end on the log, so whoever hears of it finds it. A stopped turn stores what it has;
one that is merely abandoned (its process dies) stores nothing more, and another runner begins it again.
"""

import asyncio

import structlog
from anyio import CancelScope
from opentelemetry import trace
from sqlalchemy import Connection

from frontdesk.conversation.answer import Answer, Claim
from frontdesk.conversation.executions.ending import (
    Ending,
    finish_execution,
    has_ended_so,
    last_entries,
)
from frontdesk.conversation.executions.models import ExecutionState
from frontdesk.conversation.model_list import ModelList
from frontdesk.conversation.threads import repository as threads
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.language_model import LanguageModel, ModelCallError, ModelChunks, ModelRequest
from frontdesk.ports.thread_log import Entry, EventType, StaleAttemptError, ThreadLog

_log = structlog.get_logger(__name__)
_tracer = trace.get_tracer(__name__)
_RETRY_SECONDS = 0.5
_EXHAUSTED = Ending(
    state=ExecutionState.failed,
    text=None,
    model=None,
    error_code="attempts_exhausted",
    error_message="The answer was begun too often and never finished",
)


class Turn:
    """`heartbeat` is in seconds: how long the log may be silent while the model is. An answer is begun `max_attempts`
    times.
    """

    def __init__(
        self,
        *,
        database: Database,
        log: ThreadLog,
        model: LanguageModel,
        models: ModelList,
        clock: Clock,
        measurements: Measurements,
        heartbeat: float,
        max_attempts: int,
    ) -> None:
        self._max_attempts = max_attempts
        self._database = database
        self._log = log
        self._model = model
        self._models = models
        self._clock = clock
        self._measurements = measurements
        self._heartbeat = heartbeat

    async def run(self, claim: Claim, answer: Answer, scope: CancelScope) -> str | None:
        """Run to the end and return the thread's next execution, if one waits.

        Cancelling `scope` stops the answer: its text so far is stored as interrupted. Raises `StaleAttemptError` when
        another runner has taken over, with nothing changed.
        """
        execution = claim.execution
        with _tracer.start_as_current_span("execution", attributes={"execution.id": execution.id}):
            try:
                if execution.attempt > self._max_attempts:
                    return await self._end(answer, _EXHAUSTED)
                return await self._answer(claim, answer, scope)
            finally:
                self._log.abandon(execution.thread_id, execution.id, execution.attempt)

    async def _answer(self, claim: Claim, answer: Answer, scope: CancelScope) -> str | None:
        self._announce(answer)
        error: ModelCallError | None = None
        try:
            with scope:
                await self._stream(claim, answer)
        except ModelCallError as failure:
            error = failure
        return await self._end(answer, _ending(answer, error, stopped=scope.cancelled_caught))

    def _announce(self, answer: Answer) -> None:
        first = answer.execution.attempt == 1
        self._append(answer, EventType.execution_started if first else EventType.execution_restarted, b"{}")

    def _append(self, answer: Answer, kind: EventType, payload: bytes) -> None:
        execution = answer.execution
        answer.cursor = self._log.append(
            execution.thread_id, execution.id, execution.attempt, entries=[(kind, payload)]
        )

    async def _stream(self, claim: Claim, answer: Answer) -> None:
        execution = claim.execution
        thread_id, execution_id, attempt = execution.thread_id, execution.id, execution.attempt
        append = self._log.append_chunks
        model = execution.model or await self._models.default()
        answer.model = model
        begun: float | None = self._clock.monotonic()
        request = ModelRequest(model, claim.history, claim.conversation_id)
        heartbeat = _Heartbeat(self, answer, self._heartbeat)

        def take(chunks: ModelChunks) -> None:
            nonlocal begun
            if begun is not None:
                self._measurements.first_chunk(self._clock.monotonic() - begun)
                begun = None
            answer.absorb(chunks)
            answer.cursor = append(thread_id, execution_id, attempt, chunks=chunks.data)
            heartbeat.defer()

        try:
            await self._model.stream(request, take)
        finally:
            heartbeat.stop()

    async def _end(self, answer: Answer, ending: Ending) -> str | None:
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
        self._log.append(thread_id, execution_id, execution.attempt, entries=entries)
        self._measurements.execution_ended(ending.state, answer.tokens)
        _log.info("execution ended", execution_id=execution_id, state=ending.state, error=ending.error_code)
        return next_id


class _Heartbeat:
    """Puts a `progress` on the log when nothing else came for so long. One timer, moved on only when it fires."""

    __slots__ = ("_answer", "_interval", "_last", "_loop", "_timer", "_turn")

    def __init__(self, turn: Turn, answer: Answer, interval: float) -> None:
        self._turn = turn
        self._answer = answer
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(interval, self._beat)

    def defer(self) -> None:
        self._last = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()

    def _beat(self) -> None:
        silence = self._loop.time() - self._last
        if silence >= self._interval:
            try:
                self._turn._append(self._answer, EventType.progress, b'{"status":"running"}')  # noqa: SLF001
            except StaleAttemptError:
                return
            self._last, silence = self._loop.time(), 0.0
        self._timer = self._loop.call_later(self._interval - silence, self._beat)


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
