"""What somebody brings for an answer that waits: the result of a tool of theirs, or leave to use one of ours."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.executions.suspending import resume_execution
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.conversation.tool_calls.making import Tools, failure
from frontdesk.conversation.tool_calls.models import SETTLED, CallState, ToolCall
from frontdesk.database import Database
from frontdesk.errors import BadArgumentsError, CallNotAwaitedError
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.ports.execution_engine import ExecutionEngine
from frontdesk.ports.tool_source import RunsAt


class Decision(StrEnum):
    approve = "approve"
    edit = "edit"
    reject = "reject"


class CallPlace(msgspec.Struct, frozen=True):
    """Which call is meant; `call_id` is the model's name for it."""

    thread_id: str
    execution_id: str
    call_id: str


class Asked(msgspec.Struct, frozen=True):
    """The answer that has made a call: how many characters it had said by then, and all calls that it has made."""

    execution_id: str
    said: int
    calls: list[ToolCall]


class InputService:
    """Whatever has been brought once stands: a repetition, or another answer to the same question, changes nothing."""

    def __init__(self, *, database: Database, engine: ExecutionEngine, tools: Tools, clock: Clock) -> None:
        self._database = database
        self._engine = engine
        self._tools = tools
        self._clock = clock

    async def bring_result(self, principal: Principal, place: CallPlace, *, content: str, is_error: bool) -> ToolCall:
        """The result of a call that is made outside.

        Raises `NotFoundError`, `NotAllowedError`, `CallNotAwaitedError`.
        """
        error = "client_failed" if is_error else None
        content = content.replace("\0", "\ufffd")
        stored = failure("client_failed", content) if is_error else content

        def answer(connection: Connection, call: ToolCall) -> ToolCall | None:
            if call.state in SETTLED:
                return None
            if call.state is not CallState.awaiting_result:
                raise CallNotAwaitedError(f"The call is {call.state.value}")
            now = self._clock.now()
            return tool_calls.settle(connection, call, content=stored, error_code=error, now=now)

        return await self._bring(principal, place, answer)

    async def decide(
        self,
        principal: Principal,
        place: CallPlace,
        *,
        decision: Decision,
        arguments: dict[str, Any] | None = None,
        feedback: str | None = None,
    ) -> ToolCall:
        """Whether a call may be made, and with which arguments. Raises as `bring_result`, and `BadArgumentsError`."""

        def answer(connection: Connection, call: ToolCall) -> ToolCall | None:
            if call.state not in {CallState.awaiting_approval, CallState.awaiting_decision}:
                return None
            now = self._clock.now()
            if decision is Decision.reject:
                told = failure("rejected", feedback or "The user does not want this call to be made")
                return tool_calls.settle(
                    connection, call, content=told, error_code="rejected", now=now, decision=decision.value
                )
            wanted = call.arguments
            if decision is Decision.edit:
                wanted = self._edited(call, arguments)
            if call.state is CallState.awaiting_decision:
                told = _decision(decision, wanted)
                return tool_calls.settle(
                    connection, call, content=told, error_code=None, now=now, decision=decision.value
                )
            state = self._next_state(call)
            return tool_calls.approve(connection, call, arguments=wanted, state=state, decision=decision.value)

        return await self._bring(principal, place, answer)

    async def find_asked(self, principal: Principal, thread_id: str, call_id: str) -> Asked:
        """Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> Asked:
            threads.get(connection, principal, thread_id)
            call = tool_calls.find_in_thread(connection, thread_id, call_id)
            steps = tool_calls.list_steps(connection, call.execution_id or "")
            said = sum(len(step.text) for step in steps if step.number <= call.step)
            return Asked(call.execution_id or "", said, [one for step in steps for one in step.calls])

        return await self._database.read(work)

    async def list_calls(
        self, principal: Principal, thread_id: str, execution_id: str
    ) -> tuple[Execution, list[ToolCall]]:
        """An execution and its calls, in the order in which they were asked for. Raises `NotFoundError`,
        `NotAllowedError`.
        """

        def work(connection: Connection) -> tuple[Execution, list[ToolCall]]:
            threads.get(connection, principal, thread_id)
            execution = executions.get(connection, thread_id, execution_id)
            return execution, tool_calls.list_calls(connection, execution_id)

        return await self._database.read(work)

    async def _bring(
        self,
        principal: Principal,
        place: CallPlace,
        answer: Callable[[Connection, ToolCall], ToolCall | None],
    ) -> ToolCall:
        def work(connection: Connection) -> tuple[ToolCall, bool]:
            threads.get(connection, principal, place.thread_id, lock=True)
            execution = executions.get(connection, place.thread_id, place.execution_id)
            call = tool_calls.find(connection, execution.id, place.call_id)
            answered = answer(connection, call)
            return (call, False) if answered is None else (answered, resume_execution(connection, execution))

        call, resumes = await self._database.write(work)
        if resumes:
            self._engine.resume(place.execution_id)
        return call

    def _edited(self, call: ToolCall, arguments: dict[str, Any] | None) -> str:
        if arguments is None:
            raise BadArgumentsError("An edit needs the arguments")
        if call.state is CallState.awaiting_decision:
            return msgspec.json.encode(arguments).decode()
        fault = self._tools.fault(call.tool, arguments)
        if fault is not None:
            raise BadArgumentsError(fault)
        return msgspec.json.encode(arguments).decode()

    def _next_state(self, call: ToolCall) -> CallState:
        tool = self._tools.find(call.tool)
        return CallState.awaiting_result if tool and tool.runs_at is RunsAt.client else CallState.requested


def _decision(decision: Decision, arguments: str) -> str:
    """What is told to whoever makes the call itself: `modified_arguments` only where they were edited."""
    told: dict[str, Any] = {"decision": decision}
    if decision is Decision.edit:
        told["modified_arguments"] = msgspec.Raw(arguments.encode())
    return msgspec.json.encode(told).decode()
