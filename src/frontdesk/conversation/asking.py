"""Asking a model once: the request that an answer has come to, and the model's chunks onto the log."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from frontdesk.agents.models import Agent, AgentKind
from frontdesk.conversation.answer import Answer, Claim, StoredText
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.model_list import ModelList
from frontdesk.conversation.parts.telling import told_part
from frontdesk.conversation.tool_calls.activity import told_activity
from frontdesk.conversation.tool_calls.making import ToolCaller
from frontdesk.conversation.tool_calls.models import AnswerStep
from frontdesk.identity.message_limits import prompt_tokens
from frontdesk.kit.clock import Clock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.language_model import LanguageModel, ModelCallError, ModelChunks, ModelRequest
from frontdesk.ports.thread_log import Entry, EventType, Resumed, StaleAttemptError, ThreadLog


class Asking:
    """`model_of` says what stands behind an agent, or behind none. Raises `ModelCallError` when nothing does."""

    def __init__(
        self,
        *,
        log: ThreadLog,
        model_of: Callable[[Agent | None], LanguageModel],
        models: ModelList,
        caller: ToolCaller,
        clock: Clock,
        measurements: Measurements,
    ) -> None:
        self._log = log
        self._model_of = model_of
        self._models = models
        self._caller = caller
        self._clock = clock
        self._measurements = measurements

    def announce(self, claim: Claim, answer: Answer) -> None:
        """Say that the answer begins, begins again behind what its steps said, or goes on where it waited."""
        execution = claim.execution
        entries: list[Entry] = [(EventType.execution_started, b"{}")]
        if execution.resumes:
            entries = [(EventType.execution_resumed, msgspec.json.encode(Resumed(execution.resume_cursor or "")))]
        elif execution.attempt > 1:
            entries = [(EventType.execution_restarted, b"{}")]
            if answer.text:
                created = int(execution.created_at.timestamp())
                text = StoredText(answer.text, answer.model, execution.message_id, created, None)
                entries.append((EventType.snapshot, msgspec.json.encode(text)))
        answer.cursor = self._log.append(execution.thread_id, execution.id, execution.attempt, entries=entries)

    async def ask(self, claim: Claim, answer: Answer, *, behind: Sequence[AnswerStep], heartbeat: "Heartbeat") -> None:
        """Stream the model's next words onto the log and into the answer, behind the steps. Raises `ModelCallError`."""
        execution = claim.execution
        thread_id, execution_id, attempt = execution.thread_id, execution.id, execution.attempt
        append, append_entries = self._log.append_chunks, self._log.append
        request = await self._request(claim, answer, behind)
        answer.begin_step(prompt_tokens(request.messages))
        answer.model = request.model or (None if claim.agent is None else claim.agent.runtime)
        begun: float | None = None if behind else self._clock.monotonic()

        def take(chunks: ModelChunks) -> None:
            nonlocal begun
            if begun is not None:
                self._measurements.first_chunk(self._clock.monotonic() - begun)
                begun = None
            answer.absorb(chunks)
            if chunks.data:
                answer.cursor = append(thread_id, execution_id, attempt, chunks=chunks.data)
            if chunks.activity or chunks.parts:
                entries = _told(answer, chunks)
                answer.cursor = append_entries(thread_id, execution_id, attempt, entries=entries)
            heartbeat.defer()

        await self._model_of(claim.agent).stream(request, take)

    async def stop(self, claim: Claim) -> None:
        """Nothing of this answer is wanted any more."""
        with suppress(ModelCallError):  # its runtime is not configured any more
            await self._model_of(claim.agent).stop(claim.execution.thread_id)

    async def _request(self, claim: Claim, answer: Answer, steps: Sequence[AnswerStep]) -> ModelRequest:
        agent, execution = claim.agent, claim.execution
        if agent is None:
            model = execution.model or await self._models.default()
            most = None if execution.reservation is None else execution.reservation.answer_tokens
            return ModelRequest(model, claim.history, claim.conversation_id, max_tokens=most)
        first: list[dict[str, Any]] = []
        if agent.instructions:
            first.append({"role": "system", "content": agent.instructions})
        return ModelRequest(
            await self._model_name(agent, execution),
            [*first, *claim.history, *(message for step in steps for message in step.messages())],
            claim.conversation_id,
            tools=self._caller.described(agent.tools),
            temperature=agent.temperature,
            max_tokens=_tokens_left(agent, answer),
            thread_id=execution.thread_id,
            key=f"{execution.id}-{len(steps)}",
            steps_left=agent.limits.max_steps - len(steps),
            user_id=execution.user_id,
            visit=claim.visit,
            action=None if steps else claim.action,
        )

    async def _model_name(self, agent: Agent, execution: Execution) -> str:
        """Of what has a runtime of its own, only a name that somebody gave."""
        named = execution.model or agent.model
        if named or agent.kind is not AgentKind.model:
            return named or ""
        return await self._models.default()


class Heartbeat:
    """Puts a `progress` on the log when nothing else came for so long. One timer, moved on only when it fires.

    `interval` is in seconds.
    """

    __slots__ = ("_answer", "_interval", "_last", "_log", "_loop", "_timer")

    def __init__(self, log: ThreadLog, answer: Answer, interval: float) -> None:
        self._log = log
        self._answer = answer
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self.start()

    def start(self) -> None:
        self._last = self._loop.time()
        self._timer = self._loop.call_later(self._interval, self._beat)

    def defer(self) -> None:
        self._last = self._loop.time()

    def stop(self) -> None:
        self._timer.cancel()

    def _beat(self) -> None:
        silence = self._loop.time() - self._last
        if silence >= self._interval:
            answer, execution = self._answer, self._answer.execution
            beat = [(EventType.progress, b'{"status":"running"}')]
            try:
                answer.cursor = self._log.append(execution.thread_id, execution.id, execution.attempt, entries=beat)
            except StaleAttemptError:
                return
            self._last, silence = self._loop.time(), 0.0
        self._timer = self._loop.call_later(self._interval - silence, self._beat)


def _told(answer: Answer, chunks: ModelChunks) -> list[Entry]:
    answer.take_activity(chunks.activity)
    return [*told_activity(chunks.activity), *(told_part(part) for part in answer.take_parts(chunks.parts))]


def _tokens_left(agent: Agent, answer: Answer) -> int | None:
    """What the answer may still use. Raises `ModelCallError` when that is nothing."""
    reserved = None if answer.execution.reservation is None else answer.execution.reservation.answer_tokens
    most = min((most for most in (agent.limits.max_tokens, reserved) if most is not None), default=None)
    if most is None:
        return None
    used = 0 if answer.usage is None else answer.usage.completion_tokens
    if used >= most:
        raise ModelCallError("token_limit", f"The agent used the {most} tokens that it has for one answer")
    return most - used
