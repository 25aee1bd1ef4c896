from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, func, insert, null, or_, select, update

from frontdesk.conversation.executions.models import Execution, ExecutionState, executions
from frontdesk.conversation.threads.models import threads
from frontdesk.database.prepared import Prepared
from frontdesk.database.types import UtcDateTime
from frontdesk.errors import NotFoundError

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
_IS_ABANDONED = and_(executions.c.state == ExecutionState.running, executions.c.lease_until <= bindparam("now"))
_CLAIM = Prepared(
    update(executions)
    .where(executions.c.id == bindparam("execution_id"), or_(_MAY_START, _IS_ABANDONED))
    .values(
        state=ExecutionState.running,
        attempt=executions.c.attempt + 1,
        owner=bindparam("new_owner"),
        lease_until=bindparam("lease"),
        started_at=func.coalesce(executions.c.started_at, bindparam("begun", type_=UtcDateTime)),
        checkpoint_cursor=null(),
    )
    .returning(executions)
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
_DUE = (
    select(executions.c.id)
    .where(or_(and_(_MAY_START, executions.c.created_at <= bindparam("settled")), _IS_ABANDONED))
    .order_by(executions.c.id)
    .limit(bindparam("limit"))
)


def _execution(row: Mapping[Any, Any]) -> Execution:
    values: dict[str, Any] = dict(row)
    values["state"] = ExecutionState(values["state"])
    return Execution(**values)


def get(connection: Connection, thread_id: str, execution_id: str) -> Execution:
    """Raises `NotFoundError` when the thread has no such execution."""
    row = _BY_ID.one_or_none(connection, {"thread_id": thread_id, "execution_id": execution_id})
    if row is None:
        raise NotFoundError
    return _execution(row)


def add(connection: Connection, record: Execution) -> None:
    _ADD.run(connection, msgspec.structs.asdict(record))


def claim(
    connection: Connection, execution_id: str, *, owner: str, now: datetime, lease: timedelta
) -> Execution | None:
    """Take a queued execution that is its thread's turn, or one whose runner let its lease run out; None if neither."""
    values = {"execution_id": execution_id, "new_owner": owner, "now": now, "begun": now, "lease": now + lease}
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


def find_next_queued(connection: Connection, thread_id: str) -> str | None:
    row = _NEXT_QUEUED.one_or_none(connection, {"thread_id": thread_id})
    return None if row is None else row["id"]


def list_unfinished(connection: Connection, thread_id: str) -> list[Execution]:
    """Oldest first."""
    unfinished = executions.c.state.in_([ExecutionState.queued, ExecutionState.running, ExecutionState.waiting])
    statement = select(executions).where(executions.c.thread_id == thread_id, unfinished).order_by(executions.c.id)
    return [_execution(row) for row in connection.execute(statement).mappings()]


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


def list_due(connection: Connection, *, now: datetime, settled: datetime, limit: int) -> list[str]:
    """Executions that nobody runs: abandoned ones, and those that were queued before `settled` and not begun."""
    return list(connection.scalars(_DUE, {"now": now, "settled": settled, "limit": limit}))


def release(connection: Connection, owner: str, *, now: datetime, only: Collection[str] | None = None) -> None:
    """Let leases of the owner end, all or those of some executions, so that another can take over at once."""
    held = and_(executions.c.owner == owner, executions.c.state == ExecutionState.running)
    if only is not None:
        held = and_(held, executions.c.id.in_(only))
    connection.execute(update(executions).where(held).values(lease_until=now))
