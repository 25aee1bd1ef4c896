from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, select, update

from frontdesk.conversation.messages.models import Role, messages
from frontdesk.conversation.sessions.models import GatewaySession, HeldSession, gateway_sessions
from frontdesk.conversation.threads import repository as threads
from frontdesk.database.prepared import Prepared
from frontdesk.errors import NotFoundError
from frontdesk.identity import access
from frontdesk.identity.principal import Principal, PrincipalKind

_ADD = Prepared(insert(gateway_sessions))
_BY_ID = Prepared(select(gateway_sessions).where(gateway_sessions.c.id == bindparam("session_id")))
_ID_OF_THREAD = Prepared(select(gateway_sessions.c.id).where(gateway_sessions.c.thread_id == bindparam("of_thread")))


def _session(row: Mapping[Any, Any]) -> GatewaySession:
    values: dict[str, Any] = dict(row)
    values["owner_kind"] = PrincipalKind(values["owner_kind"])
    return GatewaySession(**values)


def add(connection: Connection, record: GatewaySession) -> None:
    _ADD.run(connection, msgspec.structs.asdict(record))


def add_or_move(connection: Connection, record: GatewaySession) -> None:
    """One whose thread was deleted goes on with the record's."""
    moved = update(gateway_sessions).where(gateway_sessions.c.id == record.id).values(thread_id=record.thread_id)
    if not connection.execute(moved).rowcount:
        add(connection, record)


def find(connection: Connection, session_id: str) -> GatewaySession | None:
    row = _BY_ID.one_or_none(connection, {"session_id": session_id})
    return None if row is None else _session(row)


def get(connection: Connection, caller: Principal | None, session_id: str) -> HeldSession:
    """The session, if the caller holds it. Raises `NotFoundError`, `NotAllowedError`."""
    session = find(connection, session_id)
    if session is None:
        raise NotFoundError
    principal = access.use_session(caller, owner_kind=session.owner_kind, owner_id=session.owner_id)
    thread = threads.get(connection, principal, session.thread_id)
    return HeldSession(session=session, principal=principal, thread=thread)


def find_id(connection: Connection, thread_id: str) -> str | None:
    """Of the session that a thread is."""
    row = _ID_OF_THREAD.one_or_none(connection, {"of_thread": thread_id})
    return None if row is None else str(row["id"])


def list_answers(connection: Connection, thread_id: str, *, after: int, limit: int) -> list[tuple[str, int]]:
    """Executions with the positions of their messages, in order, from behind the position `after`."""
    statement = (
        select(messages.c.execution_id, messages.c.position)
        .where(messages.c.thread_id == thread_id, messages.c.position > after)
        .where(messages.c.role == Role.assistant, messages.c.execution_id.is_not(None))
        .order_by(messages.c.position)
        .limit(limit)
    )
    return [(row.execution_id, row.position) for row in connection.execute(statement)]
