from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Select,
    String,
    bindparam,
    cast,
    delete,
    exists,
    false,
    func,
    insert,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.sql.selectable import TableValuedAlias

from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.models import executions as ran
from frontdesk.conversation.messages.models import Role, messages
from frontdesk.database.prepared import Prepared
from frontdesk.database.types import UtcDateTime
from frontdesk.errors import NotFoundError, SessionEndedError, SessionExpiredError
from frontdesk.identity.users.models import users
from frontdesk.ports.language_model import Visit
from frontdesk.public_chat.interfaces.models import ChatInterface, InterfaceStatus, chat_interfaces
from frontdesk.public_chat.sessions.models import (
    EXECUTION_STATUS,
    SessionStatus,
    Standing,
    TokenKind,
    VisitorSession,
    chat_interface_sessions,
    chat_interface_tokens,
)
from frontdesk.public_chat.sessions.tokens import find_digest

_MOST_TOKENS = 20  # of each kind and session: the oldest leave
_BY_TOKEN = Prepared(
    select(chat_interface_sessions)
    .join(
        chat_interface_tokens,
        chat_interface_tokens.c.session_id == chat_interface_sessions.c.id,
    )
    .where(
        chat_interface_tokens.c.hash == bindparam("of_hash"),
        chat_interface_tokens.c.kind == bindparam("of_kind"),
        chat_interface_sessions.c.interface_id == bindparam("of_interface"),
    )
)
_NOTE_MESSAGE = Prepared(
    update(chat_interface_sessions)
    .where(
        chat_interface_sessions.c.id == bindparam("session_id"),
        chat_interface_sessions.c.status == SessionStatus.active,
    )
    .values(
        current_execution_id=bindparam("execution_id"),
        message_count=chat_interface_sessions.c.message_count + 1,
        duration_seconds=bindparam("seconds"),
        last_activity_at=bindparam("at", type_=UtcDateTime),
    )
)
_ANSWERS = Prepared(
    select(messages.c.id, messages.c.execution_id, messages.c.position)
    .where(
        messages.c.thread_id == bindparam("of_thread"),
        messages.c.position > bindparam("behind"),
        messages.c.role == Role.assistant,
        messages.c.execution_id.is_not(None),
    )
    .order_by(messages.c.position)
    .limit(bindparam("most"))
)


def _closed(held: TableValuedAlias) -> Select[Any]:
    tokens, sessions, interfaces = chat_interface_tokens, chat_interface_sessions, chat_interfaces
    visit = cast(held.c.value, String)
    is_active = (sessions.c.id == tokens.c.session_id) & (sessions.c.status == SessionStatus.active)
    is_public = (
        (interfaces.c.id == sessions.c.interface_id)
        & (interfaces.c.status == InterfaceStatus.published)
        & interfaces.c.is_deleted.is_(False)
    )
    return (
        select(visit)
        .select_from(
            held.outerjoin(tokens, (tokens.c.hash == visit) & (tokens.c.kind == TokenKind.session))
            .outerjoin(sessions, is_active)
            .outerjoin(interfaces, is_public)
            .outerjoin(users, (users.c.id == interfaces.c.owner_id) & users.c.is_active)
        )
        .where(users.c.id.is_(None))
    )


_HELD = bindparam("held", type_=String)
_CLOSED = {
    "sqlite": _closed(func.json_each(_HELD).table_valued("value", name="held")),
    "postgresql": _closed(func.json_array_elements_text(cast(_HELD, JSON)).table_valued("value", name="held")),
}


_VISIT = select(
    chat_interface_sessions.c.id,
    chat_interface_sessions.c.interface_id,
    chat_interface_sessions.c.identity_subject,
    chat_interface_sessions.c.identity_name,
    chat_interface_sessions.c.identity_email,
).where(chat_interface_sessions.c.id == bindparam("of_thread"))


class Place(msgspec.Struct, frozen=True):
    """Of an answer in its thread."""

    execution_id: str
    message_id: str
    position: int


def _session(row: Mapping[Any, Any]) -> VisitorSession:
    values: dict[str, Any] = dict(row)
    values["status"] = SessionStatus(values["status"])
    return VisitorSession(**values)


def add(connection: Connection, record: VisitorSession) -> None:
    connection.execute(insert(chat_interface_sessions), msgspec.structs.asdict(record))


def add_token(connection: Connection, session_id: str, *, digest: str, kind: TokenKind, now: datetime) -> None:
    """Another way into the session; too many push out the oldest."""
    tokens = chat_interface_tokens
    connection.execute(insert(tokens), {"hash": digest, "session_id": session_id, "kind": kind, "created_at": now})
    held = select(tokens.c.hash).where(tokens.c.session_id == session_id, tokens.c.kind == kind)
    oldest = held.order_by(tokens.c.created_at.desc(), tokens.c.hash).limit(_MOST_TOKENS).offset(_MOST_TOKENS)
    connection.execute(delete(tokens).where(tokens.c.hash.in_(oldest)))


def find(connection: Connection, interface_id: str, token: str, *, kind: TokenKind) -> VisitorSession | None:
    """Of this interface: its token opens nothing of another."""
    digest = find_digest(token, kind)
    if digest is None:
        return None
    row = _BY_TOKEN.one_or_none(connection, {"of_hash": digest, "of_kind": kind, "of_interface": interface_id})
    return None if row is None else _session(row)


def get(connection: Connection, interface: ChatInterface, token: str) -> VisitorSession:
    """Whatever its state. Raises `NotFoundError`."""
    found = find(connection, interface.id, token, kind=TokenKind.session)
    if found is None:
        raise NotFoundError
    return found


def get_active(connection: Connection, interface: ChatInterface, token: str, *, now: datetime) -> VisitorSession:
    """Raises `NotFoundError`, `SessionExpiredError`, `SessionEndedError`."""
    session = get(connection, interface, token)
    status = status_of(connection, interface, session, now=now)
    if status is SessionStatus.expired:
        raise SessionExpiredError
    if status is SessionStatus.ended:
        raise SessionEndedError
    return session


def list_closed(connection: Connection, visits: Sequence[str]) -> list[str]:
    """Of these tokens, by their digests, those that open no session which goes on: it was ended or erased, or its chat
    is not public any more. Silence ends none here.
    """
    values = {"held": msgspec.json.encode(visits).decode()}
    return [str(visit) for visit in connection.execute(_CLOSED[connection.dialect.name], values).scalars()]


def get_listed(connection: Connection, interface_id: str, session_id: str) -> VisitorSession:
    """By its id, for the interface's owner. Raises `NotFoundError`."""
    sessions = chat_interface_sessions
    own = (sessions.c.id == session_id) & (sessions.c.interface_id == interface_id)
    row = connection.execute(select(sessions).where(own)).mappings().first()
    if row is None:
        raise NotFoundError
    return _session(row)


def find_visit(connection: Connection, thread_id: str) -> Visit | None:
    """Of a thread that a session of a visitor's has; a session's id is its thread's."""
    row = connection.execute(_VISIT, {"of_thread": thread_id}).one_or_none()
    return None if row is None else Visit(*row)


def find_latest(connection: Connection, interface_id: str, subject: str) -> VisitorSession | None:
    """The one that a visitor with this identity used last and did not end."""
    sessions = chat_interface_sessions
    statement = (
        select(sessions)
        .where(sessions.c.interface_id == interface_id, sessions.c.identity_subject == subject)
        .where(sessions.c.status == SessionStatus.active)
        .order_by(sessions.c.last_activity_at.desc(), sessions.c.id.desc())
        .limit(1)
    )
    row = connection.execute(statement).mappings().first()
    return None if row is None else _session(row)


def change(connection: Connection, session_id: str, values: dict[str, Any]) -> None:
    connection.execute(
        update(chat_interface_sessions).where(chat_interface_sessions.c.id == session_id).values(**values)
    )


def note_message(connection: Connection, session: VisitorSession, execution_id: str | None, *, now: datetime) -> None:
    """Raises `SessionEndedError` when it was ended since it was read."""
    seconds = max(0, int((now - session.created_at).total_seconds()))
    values = {"session_id": session.id, "execution_id": execution_id, "seconds": seconds, "at": now}
    if not _NOTE_MESSAGE.run(connection, values):
        raise SessionEndedError


def lock_without_thread(connection: Connection, session_id: str) -> bool:
    """Keep others out of a session until this transaction ends. False when it has a thread, or is gone."""
    sessions = chat_interface_sessions
    bare = (sessions.c.id == session_id) & sessions.c.thread_id.is_(None)
    return connection.execute(select(sessions.c.id).where(bare).with_for_update()).first() is not None


def lock(connection: Connection, session_id: str) -> None:
    """Keep others who lock it out until this transaction ends. Raises `NotFoundError`."""
    sessions = chat_interface_sessions
    own = select(sessions.c.id).where(sessions.c.id == session_id).with_for_update()
    if connection.execute(own).first() is None:
        raise NotFoundError


def erase(connection: Connection, session_id: str) -> None:
    connection.execute(delete(chat_interface_sessions).where(chat_interface_sessions.c.id == session_id))


def standing(connection: Connection, interface: ChatInterface, session: VisitorSession, *, now: datetime) -> Standing:
    execution_id = session.current_execution_id
    state = None if execution_id is None else executions.find_state(connection, execution_id)
    return Standing(session, status_of(connection, interface, session, now=now), EXECUTION_STATUS[state])


def status_of(
    connection: Connection, interface: ChatInterface, session: VisitorSession, *, now: datetime
) -> SessionStatus:
    """A visitor who waits for an answer is not silent: the time begins anew with its end."""
    status = session.status_at(now, interface)
    if status is not SessionStatus.expired or session.thread_id is None or session.current_execution_id is None:
        return status
    ended_at = executions.get(connection, session.thread_id, session.current_execution_id).finished_at
    heard = msgspec.structs.replace(session, last_activity_at=max(session.last_activity_at, ended_at or now))
    return heard.status_at(now, interface)


def in_state(interface: ChatInterface, status: SessionStatus, *, now: datetime) -> ColumnElement[bool]:
    """Those of which `status_of` says this."""
    sessions = chat_interface_sessions
    minutes = interface.session_timeout_minutes
    if status is SessionStatus.ended or (minutes == 0 and status is SessionStatus.active):
        return sessions.c.status == status
    if minutes == 0:
        return false()
    since = now - timedelta(minutes=minutes)
    answer = ran.c.id == sessions.c.current_execution_id
    is_answered = exists().where(answer, ran.c.finished_at.is_(None) | (ran.c.finished_at > since))
    is_silent = (sessions.c.last_activity_at <= since) & ~is_answered
    return (sessions.c.status == SessionStatus.active) & (is_silent if status is SessionStatus.expired else ~is_silent)


def list_page(
    connection: Connection,
    interface_id: str,
    *,
    limit: int,
    offset: int = 0,
    after: VisitorSession | None = None,
    those: ColumnElement[bool] | None = None,
) -> list[VisitorSession]:
    """Newest first; `after` continues behind a session."""
    sessions = chat_interface_sessions
    statement = select(sessions).where(sessions.c.interface_id == interface_id, true() if those is None else those)
    if after is not None:
        statement = statement.where(
            tuple_(sessions.c.created_at, sessions.c.id) < tuple_(bindparam("began", after.created_at), after.id)
        )
    ordered = statement.order_by(sessions.c.created_at.desc(), sessions.c.id.desc()).limit(limit).offset(offset)
    return [_session(row) for row in connection.execute(ordered).mappings()]


def count(connection: Connection, interface_id: str, *, those: ColumnElement[bool] | None = None) -> int:
    own = chat_interface_sessions.c.interface_id == interface_id
    found = select(func.count()).select_from(chat_interface_sessions).where(own, true() if those is None else those)
    return int(connection.scalar(found) or 0)


def list_answers(connection: Connection, thread_id: str, *, behind: int, most: int) -> list[Place]:
    """The thread's answers, whatever their state, in order from behind a position."""
    rows = _ANSWERS.all(connection, {"of_thread": thread_id, "behind": behind, "most": most})
    return [Place(row["execution_id"], row["id"], row["position"]) for row in rows]


def find_answer(connection: Connection, thread_id: str, execution_id: str) -> Place | None:
    """Of an execution; None when it was erased."""
    statement = select(messages.c.id, messages.c.position).where(
        messages.c.thread_id == thread_id, messages.c.execution_id == execution_id, messages.c.role == Role.assistant
    )
    row = connection.execute(statement).first()
    return None if row is None else Place(execution_id, row.id, row.position)
