"""Making the calls that a model asks for: each is recorded, checked, made at most once, and told to whoever follows."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.answer import Answer, CallAsked
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.parts import repository as parts
from frontdesk.conversation.sessions import repository as sessions
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.models import (
    AWAITING,
    CALL_ID_LENGTH,
    SETTLED,
    TOOL_LENGTH,
    AnswerStep,
    CallState,
    ToolCall,
)
from frontdesk.conversation.tool_calls.telling import ENDS, told_call
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.thread_log import EventType, StaleAttemptError, ThreadLog
from frontdesk.ports.tool_source import CallContext, RunsAt, Tool, ToolCallError, ToolOutput

_MOST_CALLS = 32  # of one step
_MOST_ARGUMENT_BYTES = 262_144
_RETRY_SECONDS = 0.5
T = TypeVar("T")


class Tools(Protocol):
    """The catalogue, as answers use it."""

    def find(self, name: str) -> Tool | None: ...

    def fault(self, name: str, arguments: object) -> str | None:
        """Where and why the tool's schema does not allow the arguments; None when it does."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: CallContext) -> ToolOutput:
        """As `ToolSource.call` has it."""
        ...


class ToolCaller:
    def __init__(
        self, *, database: Database, log: ThreadLog, tools: Tools, clock: Clock, measurements: Measurements
    ) -> None:
        self._database = database
        self._log = log
        self._tools = tools
        self._clock = clock
        self._measurements = measurements

    def described(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """The tools as OpenAI has them, without those that are not there now."""
        found = [tool for name in names if (tool := self._tools.find(name)) is not None]
        return [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in found
        ]

    async def record(self, answer: Answer, permitted: Sequence[str], earlier: Sequence[AnswerStep]) -> AnswerStep:
        """Store what the model has just asked for, as the step behind the earlier ones, with the parts that the answer
        has shown so far: the next attempt begins behind it. What cannot be made has failed already.
        """
        execution = answer.execution
        taken = {call.call_id for step in earlier for call in step.calls}
        number = len(earlier) + 1
        calls = [
            self._call(execution, asked, permitted if position < _MOST_CALLS else (), number=number, taken=taken)
            for position, asked in enumerate(answer.calls)
        ]
        step = AnswerStep(
            execution_id=execution.id,
            number=number,
            text=answer.said,
            usage=answer.step_usage,
            created_at=self._clock.now(),
            calls=calls,
        )

        shown = dict(answer.parts)

        def store(connection: Connection) -> None:
            executions.require_fence(connection, execution)
            tool_calls.add_step(connection, step)
            parts.put(connection, execution.thread_id, shown.values())

        await self._persist(store)
        answer.forget_parts(shown)
        for call in calls:
            if call.state is CallState.failed:
                self._tell(answer, EventType.tool_call_failed, call)
        return step

    async def make(self, answer: Answer, step: AnswerStep) -> AnswerStep:
        """Make all of the step's calls that are to be made here; the step as it then is, with what is awaited."""
        execution = answer.execution
        await self._take_over(answer, step)
        wanted = [call.id for call in await self._calls(step) if call.state is CallState.requested]
        if wanted:
            now = self._clock.now()
            begun, session_id = await self._persist(
                lambda connection: (
                    tool_calls.begin(connection, wanted, attempt=execution.attempt, now=now),
                    sessions.find_id(connection, execution.thread_id),
                )
            )
            if not begun:
                raise StaleAttemptError
            await self._make_all(answer, begun, session_id=session_id or execution.thread_id)
        calls = await self._calls(step)
        awaited = [call for call in calls if call.state in AWAITING]
        for call in awaited:
            self._tell(answer, EventType.input_requested, call, awaited=len(awaited))
        return msgspec.structs.replace(step, calls=calls)

    async def _make_all(self, answer: Answer, calls: Sequence[ToolCall], *, session_id: str) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(self._make(answer, call, session_id=session_id))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _make(self, answer: Answer, call: ToolCall, *, session_id: str) -> None:
        self._tell(answer, EventType.tool_call_started, call)
        content, error = await self._result(call, session_id=session_id)
        self._measurements.tool_called(call.tool, error or "completed")
        await self._settle(answer, call, content=content, error=error)

    async def _result(self, call: ToolCall, *, session_id: str) -> tuple[str, str | None]:
        tool = self._tools.find(call.tool)
        if tool is None:
            return failure("unknown_tool", "The tool is not there any more"), "unknown_tool"
        context = CallContext(idempotency_key=call.id, session_id=session_id, thread_id=call.thread_id)
        try:
            async with asyncio.timeout(tool.timeout):
                output = await self._tools.call(call.tool, msgspec.json.decode(call.arguments), context)
        except TimeoutError:
            return failure("timeout", f"The tool did not answer within {tool.timeout:g} seconds"), "timeout"
        except ToolCallError as error:
            return failure(error.kind, error.detail), error.kind
        return output.content, "tool_failed" if output.is_error else None

    async def _settle(self, answer: Answer, call: ToolCall, *, content: str, error: str | None) -> None:
        now = self._clock.now()
        content = content.replace("\0", "\ufffd")
        settled = await self._persist(
            lambda connection: tool_calls.settle(connection, call, content=content, error_code=error, now=now)
        )
        if settled is not None:
            self._tell(answer, ENDS[settled.state], settled)

    async def _take_over(self, answer: Answer, step: AnswerStep) -> None:
        """What an earlier attempt left under way, and what somebody has brought since."""
        execution = answer.execution
        calls = await self._calls(step)
        for call in [call for call in calls if call.state in SETTLED and call.attempt == 0]:
            await self._persist(partial(tool_calls.take, call_id=call.id, attempt=execution.attempt))
            self._tell(answer, ENDS[call.state], call)
        for call in [call for call in calls if call.state is CallState.running and call.attempt < execution.attempt]:
            tool = self._tools.find(call.tool)
            if tool is not None and tool.retry_safe:
                await self._persist(partial(tool_calls.request_again, call_id=call.id, attempt=execution.attempt))
            else:
                lost = failure("outcome_unknown", "The call was interrupted: whether it took effect is not known")
                await self._settle(answer, call, content=lost, error="outcome_unknown")

    def _call(
        self,
        execution: Execution,
        asked: CallAsked,
        permitted: Sequence[str],
        *,
        number: int,
        taken: set[str],
    ) -> ToolCall:
        name = asked.name.replace("\0", "\ufffd")[:TOOL_LENGTH]
        tool = self._tools.find(name) if name in permitted else None
        arguments, error = self._checked(tool, asked)
        record_id, now = new_id(), self._clock.now()
        return ToolCall(
            id=record_id,
            thread_id=execution.thread_id,
            execution_id=execution.id,
            step=number,
            call_id=_call_id(asked, record_id, taken),
            tool=name,
            arguments=arguments,
            state=CallState.failed if error is not None else _first_state(tool, asked),
            attempt=0 if error is None else execution.attempt,
            content=None if error is None else failure(*error),
            error_code=None if error is None else error[0],
            created_at=now,
            started_at=None,
            finished_at=None if error is None else now,
        )

    def _checked(self, tool: Tool | None, asked: CallAsked) -> tuple[str, tuple[str, str] | None]:
        """The arguments as they are stored, and why the call cannot be made with them."""
        arguments = asked.arguments or "{}"
        try:
            value = msgspec.json.decode(arguments[:_MOST_ARGUMENT_BYTES])
        except msgspec.DecodeError:
            return _excerpt(arguments), ("bad_arguments", "The arguments are not JSON, or too large")
        if asked.decision_only or asked.to_client:
            return arguments, None
        if tool is None:
            return arguments, ("unknown_tool", "There is no such tool, or too many calls at once")
        fault = self._tools.fault(tool.name, value)
        return arguments, None if fault is None else ("bad_arguments", fault)

    async def _calls(self, step: AnswerStep) -> list[ToolCall]:
        found = await self._persist(lambda connection: tool_calls.list_calls(connection, step.execution_id))
        return [call for call in found if call.step == step.number]

    async def _persist(self, work: Callable[[Connection], T]) -> T:
        """What is stored here bears being stored again. A database that is away is waited for."""
        while True:
            try:
                return await self._database.write(work)
            except UnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)

    def _tell(self, answer: Answer, kind: EventType, call: ToolCall, **more: Any) -> None:
        execution = answer.execution
        entry = told_call(kind, call, **more)
        answer.cursor = self._log.append(execution.thread_id, execution.id, execution.attempt, entries=[entry])


def failure(code: str, message: str) -> str:
    """What the model is told of a call that failed."""
    return msgspec.json.encode({"error": {"code": code, "message": message}}).decode()


def _excerpt(arguments: str) -> str:
    """Some of what was asked for, as JSON: what is not JSON cannot be given back to a model."""
    return msgspec.json.encode({"unreadable": arguments[:1_000]}).decode()


def _first_state(tool: Tool | None, asked: CallAsked) -> CallState:
    if asked.to_client and not asked.decision_only:
        return CallState.awaiting_result
    if tool is None or asked.decision_only:
        return CallState.awaiting_decision
    if tool.requires_approval:
        return CallState.awaiting_approval
    return CallState.awaiting_result if tool.runs_at is RunsAt.client else CallState.requested


def _call_id(asked: CallAsked, record_id: str, taken: set[str]) -> str:
    """The model's own, where that names one call and nothing else."""
    own = asked.id or ""
    usable = own.isascii() and own.isprintable() and 0 < len(own) <= CALL_ID_LENGTH and own not in taken
    taken.add(own)
    return own if usable else f"call_{record_id}"
