from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, insert, null, select, update

from frontdesk.conversation.executions.models import ExecutionState, executions
from frontdesk.conversation.tool_calls.models import (
    AWAITING,
    SETTLED,
    AnswerStep,
    CallState,
    ToolCall,
    execution_steps,
    tool_calls,
)
from frontdesk.database.prepared import Prepared
from frontdesk.errors import NotFoundError
from frontdesk.ports.language_model import Usage

_ADD = Prepared(insert(tool_calls))
_SETTLE = Prepared(
    update(tool_calls)
    .where(tool_calls.c.id == bindparam("of_id"), tool_calls.c.attempt == bindparam("of_attempt"))
    .where(and_(*(tool_calls.c.state != state for state in sorted(SETTLED))))
    .values(
        state=bindparam("to_state"),
        content=bindparam("result"),
        error_code=bindparam("code"),
        finished_at=bindparam("at"),
        lease_until=null(),
        decision=bindparam("decided"),
    )
    .returning(tool_calls)
)
_FAIL_OPEN = Prepared(
    update(tool_calls)
    .where(tool_calls.c.execution_id == bindparam("of_execution"), tool_calls.c.finished_at.is_(None))
    .values(
        state=CallState.failed, content=bindparam("result"), error_code=bindparam("code"), finished_at=bindparam("at")
    )
)


def _call(row: Mapping[Any, Any]) -> ToolCall:
    values: dict[str, Any] = dict(row)
    values["state"] = CallState(values["state"])
    return ToolCall(**values)


def _of(execution_ids: Sequence[str]) -> Any:
    return tool_calls.c.execution_id.in_(execution_ids)


def add_step(connection: Connection, step: AnswerStep) -> None:
    """With its calls; one that is there already stays as it is."""
    of_step = (execution_steps.c.execution_id == step.execution_id) & (execution_steps.c.number == step.number)
    if connection.execute(select(execution_steps.c.number).where(of_step)).first() is not None:
        return
    values = {name: getattr(step, name) for name in ("execution_id", "number", "text", "created_at")}
    usage = None if step.usage is None else msgspec.to_builtins(step.usage)
    connection.execute(insert(execution_steps), {**values, "usage": usage})
    connection.execute(insert(tool_calls), [msgspec.structs.asdict(call) for call in step.calls])


def list_steps(connection: Connection, *execution_ids: str) -> list[AnswerStep]:
    """In order, with their calls in the order in which they were asked for."""
    statement = select(execution_steps).where(execution_steps.c.execution_id.in_(execution_ids))
    ordered = statement.order_by(execution_steps.c.execution_id, execution_steps.c.number)
    rows = list(connection.execute(ordered).mappings())
    if not rows:
        return []
    calls = connection.execute(select(tool_calls).where(_of(execution_ids)).order_by(tool_calls.c.id)).mappings()
    of_step: dict[tuple[str | None, int], list[ToolCall]] = {}
    for call in map(_call, calls):
        of_step.setdefault((call.execution_id, call.step), []).append(call)
    return [_step(row, of_step.get((row["execution_id"], row["number"]), [])) for row in rows]


def steps_by_execution(connection: Connection, execution_ids: Sequence[str]) -> dict[str, list[AnswerStep]]:
    steps = list_steps(connection, *execution_ids)
    return {execution_id: list(of) for execution_id, of in groupby(steps, key=lambda step: step.execution_id)}


def calls_by_execution(connection: Connection, execution_ids: Sequence[str]) -> dict[str, list[ToolCall]]:
    """In the order in which they were asked for."""
    if not execution_ids:
        return {}
    statement = select(tool_calls).where(_of(execution_ids)).order_by(tool_calls.c.execution_id, tool_calls.c.id)
    calls = [_call(row) for row in connection.execute(statement).mappings()]
    return {execution_id or "": list(of) for execution_id, of in groupby(calls, key=lambda call: call.execution_id)}


def _step(row: Mapping[Any, Any], calls: list[ToolCall]) -> AnswerStep:
    values: dict[str, Any] = dict(row)
    values["usage"] = None if values["usage"] is None else msgspec.convert(values["usage"], Usage)
    return AnswerStep(**values, calls=calls)


def find(connection: Connection, execution_id: str, call_id: str) -> ToolCall:
    """Raises `NotFoundError`."""
    statement = select(tool_calls).where(_of([execution_id]), tool_calls.c.call_id == call_id)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFoundError("The execution has no such call")
    return _call(row)


def find_in_thread(connection: Connection, thread_id: str, call_id: str) -> ToolCall:
    """The latest of that name that an answer asked for. Raises `NotFoundError`."""
    named = (tool_calls.c.thread_id == thread_id) & (tool_calls.c.call_id == call_id)
    statement = select(tool_calls).where(named, tool_calls.c.execution_id.is_not(None))
    row = connection.execute(statement.order_by(tool_calls.c.id.desc()).limit(1)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("There is no such call")
    return _call(row)


def add(connection: Connection, call: ToolCall) -> None:
    """One that belongs to no execution."""
    _ADD.run(connection, msgspec.structs.asdict(call))


def renew(connection: Connection, call_ids: Sequence[str], *, until: datetime) -> None:
    mine = tool_calls.c.id.in_(call_ids) & tool_calls.c.lease_until.is_not(None)
    connection.execute(update(tool_calls).where(mine).values(lease_until=until))


def list_lapsed(connection: Connection, *, now: datetime, limit: int) -> list[ToolCall]:
    """Calls whose process did not renew its lease."""
    statement = select(tool_calls).where(tool_calls.c.lease_until < now).order_by(tool_calls.c.lease_until).limit(limit)
    return [_call(row) for row in connection.execute(statement).mappings()]


def list_calls(connection: Connection, execution_id: str) -> list[ToolCall]:
    """In the order in which they were asked for."""
    return calls_by_execution(connection, [execution_id]).get(execution_id, [])


def is_awaiting(connection: Connection, execution_id: str) -> bool:
    """Whether somebody outside has something to bring for one of its calls."""
    awaited = select(tool_calls.c.id).where(_of([execution_id]), tool_calls.c.state.in_(AWAITING)).limit(1)
    return connection.execute(awaited).first() is not None


def begin(connection: Connection, call_ids: Sequence[str], *, attempt: int, now: datetime) -> list[ToolCall]:
    """Mark these records as under way by the attempt, in the order in which they were asked for.

    None unless the attempt is still the one that runs the execution; nor is one that another attempt has begun.
    """
    fence = select(executions.c.id).where(
        executions.c.id == tool_calls.c.execution_id,
        executions.c.attempt == attempt,
        executions.c.state == ExecutionState.running,
    )
    mine = (tool_calls.c.state == CallState.running) & (tool_calls.c.attempt == attempt)
    statement = (
        update(tool_calls)
        .where(
            tool_calls.c.id.in_(call_ids),
            (tool_calls.c.state == CallState.requested) | mine,
            fence.exists(),
        )
        .values(state=CallState.running, attempt=attempt, started_at=now)
        .returning(tool_calls)
    )
    return sorted(map(_call, connection.execute(statement).mappings()), key=lambda call: call.id)


def take(connection: Connection, *, call_id: str, attempt: int) -> None:
    """Note that this attempt has told of what somebody brought."""
    connection.execute(update(tool_calls).where(tool_calls.c.id == call_id).values(attempt=attempt))


def request_again(connection: Connection, *, call_id: str, attempt: int) -> None:
    """One that an earlier attempt began and that may be repeated."""
    under_way = (tool_calls.c.state == CallState.running) & (tool_calls.c.attempt < attempt)
    connection.execute(
        update(tool_calls).where(tool_calls.c.id == call_id, under_way).values(state=CallState.requested)
    )


def settle(
    connection: Connection,
    call: ToolCall,
    *,
    content: str,
    error_code: str | None,
    now: datetime,
    decision: str | None = None,
) -> ToolCall | None:
    """Store its result unless it has one; None when it has."""
    given = {
        "of_id": call.id,
        "of_attempt": call.attempt,
        "to_state": CallState.completed if error_code is None else CallState.failed,
        "result": content,
        "code": error_code,
        "at": now,
        "decided": decision or call.decision,
    }
    row = _SETTLE.one_or_none(connection, given)
    return None if row is None else _call(row)


def approve(connection: Connection, call: ToolCall, *, arguments: str, state: CallState, decision: str) -> ToolCall:
    """Let one that awaits approval be made, with these arguments."""
    statement = (
        update(tool_calls)
        .where(tool_calls.c.id == call.id, tool_calls.c.state == CallState.awaiting_approval)
        .values(state=state, arguments=arguments, decision=decision)
        .returning(tool_calls)
    )
    return _call(connection.execute(statement).mappings().one())


def fail_open(connection: Connection, execution_id: str, *, content: str, error_code: str, now: datetime) -> None:
    """What its execution's end leaves without a result gets this one."""
    values = {"of_execution": execution_id, "result": content, "code": error_code, "at": now}
    _FAIL_OPEN.run(connection, values)
