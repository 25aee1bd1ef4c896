from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, case, func, insert, null, or_, select, update

from frontdesk.conversation.executions.models import Execution, ExecutionState, executions
from frontdesk.conversation.threads.models import threads
from frontdesk.database.prepared import Prepared
from frontdesk.database.types import UtcDateTime
from frontdesk.errors import NotFoundError
from frontdesk.identity.message_limits import Reserved
from frontdesk.ports.thread_log import StaleAttemptError

_UNFINISHED = (ExecutionState.queued, ExecutionState.running, ExecutionState.waiting)
_ADD = Prepared(insert(executions))
_BY_ID = Prepared(
    select(executions).where(
        executions.c.id == bindparam("execution_id"), executions.c.thread_id == bindparam("thread_id")
    )
)
_MAY_START = and_(
    executions.c.state == ExecutionState.queued,
    select(threads.c.id)
    .where(threads.c.id == executions.c.thread_id, threads.c.active_execution_id == executions.c.id)
    .exists(),
)
_IS_ABANDONED = and_(executions.c.state == ExecutionState.running, executions.c.lease_until <= bindparam("expired"))
_CLAIM = Prepared(
    update(executions)
    .where(executions.c.id == bindparam("execution_id"), or_(_MAY_START, _IS_ABANDONED))
    .values(
        state=ExecutionState.running,
        attempt=executions.c.attempt + 1,
        owner=bindparam("new_owner"),
        lease_until=bindparam("lease"),
        started_at=func.coalesce(executions.c.started_at, bindparam("begun", type_=UtcDateTime)),
        # What went to wait goes on behind what is stored; what was given up in the middle begins again.
        checkpoint_cursor=case(
            (executions.c.state == ExecutionState.running, null()), else_=executions.c.checkpoint_cursor
        ),
        restarts=executions.c.restarts + case((executions.c.state == ExecutionState.running, 1), else_=0),
    )
    .returning(executions)
)
_SUSPEND = Prepared(
    update(executions)
    .where(
        executions.c.id == bindparam("execution_id"),
        executions.c.attempt == bindparam("fence"),
        executions.c.state == ExecutionState.running,
    )
    .values(
        state=ExecutionState.waiting,
        owner=null(),
        lease_until=null(),
        checkpoint_cursor=bindparam("cursor"),
        resume_cursor=bindparam("cursor"),
    )
)
_RESUME = Prepared(
    update(executions)
    .where(executions.c.id == bindparam("execution_id"), executions.c.state == ExecutionState.waiting)
    .values(state=ExecutionState.queued)
)
_FINISH = Prepared(
    update(executions)
    .where(
        executions.c.id == bindparam("execution_id"),
        executions.c.attempt == bindparam("fence"),
        executions.c.finished_at.is_(None),
    )
    .values(
        state=bindparam("new_state"),
        finished_at=bindparam("at"),
        owner=null(),
        lease_until=null(),
        error_code=bindparam("code"),
        error_message=bindparam("message"),
    )
)
_NEXT_QUEUED = Prepared(
    select(executions.c.id)
    .where(executions.c.thread_id == bindparam("thread_id"), executions.c.state == ExecutionState.queued)
    .order_by(executions.c.id)
    .limit(1)
)
_RENEW = Prepared(
    update(executions)
    .where(executions.c.owner == bindparam("of_owner"), executions.c.state == ExecutionState.running)
    .values(lease_until=bindparam("lease"))
    .returning(executions.c.id, executions.c.attempt)
)
_CHECKPOINT = Prepared(
    update(executions)
    .where(executions.c.id == bindparam("execution_id"), executions.c.attempt == bindparam("fence"))
    .values(checkpoint_cursor=bindparam("cursor"))
)
_STATE = Prepared(select(executions.c.state).where(executions.c.id == bindparam("execution_id")))
_REQUEST_CANCEL = Prepared(
    update(executions)
    .where(executions.c.id == bindparam("execution_id"), executions.c.finished_at.is_(None))
    .values(cancel_requested_at=func.coalesce(executions.c.cancel_requested_at, bindparam("at", type_=UtcDateTime)))
)
_CANCEL_REQUESTED = Prepared(
    select(executions.c.id).where(
        executions.c.owner == bindparam("of_owner"), executions.c.cancel_requested_at.is_not(None)
    )
)
_DUE = (
    select(executions.c.id, (executions.c.attempt > 0).label("was_begun"))
    .where(
        or_(and_(_MAY_START, executions.c.created_at <= bindparam("settled")), _IS_ABANDONED),
        executions.c.id > bindparam("after"),
    )
    .order_by(executions.c.id)
    .limit(bindparam("limit"))
)


@dataclass(frozen=True)
class Due:
    """An execution that somebody should run."""

    id: str
    was_begun: bool


def _execution(row: Mapping[Any, Any]) -> Execution:
    values: dict[str, Any] = dict(row)
    values["state"] = ExecutionState(values["state"])
    if values["reservation"] is not None:
        values["reservation"] = msgspec.convert(values["reservation"], Reserved)
    return Execution(**values)


def get(connection: Connection, thread_id: str, execution_id: str) -> Execution:
    """Raises `NotFoundError` when the thread has no such execution."""
    row = _BY_ID.one_or_none(connection, {"thread_id": thread_id, "execution_id": execution_id})
    if row is None:
        raise NotFoundError
    return _execution(row)


def add(connection: Connection, record: Execution) -> None:
    reservation = None if record.reservation is None else msgspec.to_builtins(record.reservation)
    _ADD.run(connection, {**msgspec.structs.asdict(record), "reservation": reservation})


def find_state(connection: Connection, execution_id: str) -> ExecutionState | None:
    row = _STATE.one_or_none(connection, {"execution_id": execution_id})
    return None if row is None else ExecutionState(row["state"])


def claim(
    connection: Connection, execution_id: str, *, owner: str, now: datetime, lease: timedelta, expired: datetime
) -> Execution | None:
    """Take a queued execution that is its thread's turn, or one whose lease ends by `expired`; None if neither."""
    values = {"execution_id": execution_id, "new_owner": owner, "begun": now, "lease": now + lease, "expired": expired}
    row = _CLAIM.one_or_none(connection, values)
    return None if row is None else _execution(row)


def finish(
    connection: Connection,
    execution_id: str,
    *,
    attempt: int,
    state: ExecutionState,
    at: datetime,
    error: tuple[str, str] | None = None,
) -> bool:
    """False when the attempt is no longer the one that runs, or the execution has ended."""
    code, message = error or (None, None)
    values = {"execution_id": execution_id, "fence": attempt, "new_state": state, "at": at}
    return _FINISH.run(connection, {**values, "code": code, "message": message}) == 1


def require_fence(connection: Connection, execution: Execution) -> None:
    """Keep other attempts out until this transaction ends. Raises `StaleAttemptError` when one has taken over."""
    fence = (executions.c.id == execution.id) & (executions.c.attempt == execution.attempt)
    running = executions.c.state == ExecutionState.running
    if connection.execute(select(executions.c.id).where(fence, running).with_for_update()).first() is None:
        raise StaleAttemptError


def suspend(connection: Connection, execution_id: str, *, attempt: int, cursor: str) -> bool:
    """Let it wait at the log's `cursor`. False when the attempt is no longer the one that runs."""
    return _SUSPEND.run(connection, {"execution_id": execution_id, "fence": attempt, "cursor": cursor}) == 1


def resume(connection: Connection, execution_id: str) -> bool:
    """What it waited for is there. False when it does not wait."""
    return _RESUME.run(connection, {"execution_id": execution_id}) == 1


def find_next_queued(connection: Connection, thread_id: str) -> str | None:
    row = _NEXT_QUEUED.one_or_none(connection, {"thread_id": thread_id})
    return None if row is None else row["id"]


def list_unfinished(connection: Connection, thread_id: str) -> list[Execution]:
    """Oldest first."""
    unfinished = executions.c.state.in_(_UNFINISHED)
    statement = select(executions).where(executions.c.thread_id == thread_id, unfinished).order_by(executions.c.id)
    return [_execution(row) for row in connection.execute(statement).mappings()]


def count_unfinished(connection: Connection) -> dict[str, int]:
    state = executions.c.state
    rows = connection.execute(select(state, func.count()).where(state.in_(_UNFINISHED)).group_by(state))
    found = {ExecutionState(name): count for name, count in rows}
    return {name.value: found.get(name, 0) for name in _UNFINISHED}


def list_ids(connection: Connection, thread_id: str) -> list[str]:
    return list(connection.scalars(select(executions.c.id).where(executions.c.thread_id == thread_id)))


def renew(connection: Connection, owner: str, *, until: datetime) -> dict[str, int]:
    """Keep the owner's leases; what it still runs, as attempt by id."""
    return {row["id"]: row["attempt"] for row in _RENEW.all(connection, {"of_owner": owner, "lease": until})}


def checkpoint(connection: Connection, cursors: Sequence[tuple[str, int, str]]) -> None:
    """Note up to which cursor the answers' texts are stored, as `(execution_id, attempt, cursor)`."""
    _CHECKPOINT.run_many(
        connection, [{"execution_id": id_, "fence": attempt, "cursor": cursor} for id_, attempt, cursor in cursors]
    )


def list_due(connection: Connection, *, now: datetime, settled: datetime, limit: int, after: str = "") -> list[Due]:
    """Executions that nobody runs: abandoned ones, and those that were queued before `settled` and not begun.

    By id, from behind the id `after`.
    """
    rows = connection.execute(_DUE, {"expired": now, "settled": settled, "limit": limit, "after": after})
    return [Due(row.id, was_begun=row.was_begun) for row in rows]


def request_cancel(connection: Connection, execution_id: str, *, now: datetime) -> None:
    """Ask the runner of an unfinished execution to stop it; the first request stands."""
    _REQUEST_CANCEL.run(connection, {"execution_id": execution_id, "at": now})


def list_cancel_requested(connection: Connection, owner: str) -> list[str]:
    """Which of the owner's executions somebody wants stopped."""
    return [row["id"] for row in _CANCEL_REQUESTED.all(connection, {"of_owner": owner})]


def release(connection: Connection, owner: str, *, now: datetime, only: Sequence[str] | None = None) -> None:
    """Let the owner's leases end, or those of `only`, so that another can take over at once."""
    statement = update(executions).where(executions.c.owner == owner, executions.c.state == ExecutionState.running)
    if only is not None:
        statement = statement.where(executions.c.id.in_(only))
    connection.execute(statement.values(lease_until=now))
