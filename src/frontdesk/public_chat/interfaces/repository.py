from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, text, update

from frontdesk.database.prepared import Prepared
from frontdesk.database.types import UtcDateTime
from frontdesk.errors import NotFoundError
from frontdesk.identity.principal import Principal
from frontdesk.public_chat.interfaces.models import ChatInterface, InterfaceStatus, chat_interfaces

_BY_SLUG = Prepared(
    select(chat_interfaces).where(
        chat_interfaces.c.slug == bindparam("of_slug"),
        chat_interfaces.c.status == InterfaceStatus.published,
        chat_interfaces.c.is_deleted.is_(False),
    )
)
_COUNT_MESSAGE = Prepared(
    update(chat_interfaces)
    .where(chat_interfaces.c.id == bindparam("interface_id"))
    .values(message_count=chat_interfaces.c.message_count + 1, last_activity_at=bindparam("at"))
)
_COUNT_SESSION = Prepared(
    update(chat_interfaces)
    .where(chat_interfaces.c.id == bindparam("interface_id"), chat_interfaces.c.is_deleted.is_(False))
    .values(session_count=chat_interfaces.c.session_count + 1, last_activity_at=bindparam("at"))
)
# One statement that both databases know.
_COUNT_HOUR = text(
    "INSERT INTO chat_interface_hours (interface_id, hour, messages) VALUES (:interface_id, :hour, 1)"
    " ON CONFLICT (interface_id, hour) DO UPDATE SET messages = chat_interface_hours.messages + 1"
).bindparams(bindparam("hour", type_=UtcDateTime))


def _interface(row: Mapping[Any, Any]) -> ChatInterface:
    # The columns' names are of a class of their own, which msgspec does not take.
    return msgspec.convert({str(name): value for name, value in row.items()}, ChatInterface)


def _values(record: ChatInterface) -> dict[str, Any]:
    values = msgspec.structs.asdict(record)
    return {**values, "suggested_prompts": msgspec.to_builtins(record.suggested_prompts)}


def get(connection: Connection, principal: Principal, interface_id: str) -> ChatInterface:
    """One of the principal's own. Raises `NotFoundError`."""
    found = find(connection, interface_id)
    if found is None or found.is_deleted or found.owner_id != principal.id:
        raise NotFoundError
    return found


def find(connection: Connection, interface_id: str) -> ChatInterface | None:
    """Also a deleted one."""
    row = connection.execute(select(chat_interfaces).where(chat_interfaces.c.id == interface_id)).mappings().first()
    return None if row is None else _interface(row)


def find_published(connection: Connection, slug: str) -> ChatInterface | None:
    row = _BY_SLUG.one_or_none(connection, {"of_slug": slug})
    return None if row is None else _interface(row)


def _own(principal: Principal, agent_id: str | None) -> Any:
    own = and_(chat_interfaces.c.owner_id == principal.id, chat_interfaces.c.is_deleted.is_(False))
    return own if agent_id is None else and_(own, chat_interfaces.c.agent_id == agent_id)


def list_page(
    connection: Connection,
    principal: Principal,
    *,
    agent_id: str | None,
    limit: int,
    offset: int = 0,
    after: str | None = None,
) -> list[ChatInterface]:
    """Newest first; `after` continues behind an id."""
    statement = select(chat_interfaces).where(_own(principal, agent_id))
    if after is not None:
        statement = statement.where(chat_interfaces.c.id < after)
    ordered = statement.order_by(chat_interfaces.c.id.desc()).limit(limit).offset(offset)
    return [_interface(row) for row in connection.execute(ordered).mappings()]


def count(connection: Connection, principal: Principal, *, agent_id: str | None) -> int:
    statement = select(func.count()).select_from(chat_interfaces).where(_own(principal, agent_id))
    return int(connection.scalar(statement) or 0)


def add(connection: Connection, record: ChatInterface) -> None:
    connection.execute(insert(chat_interfaces), _values(record))


def change(connection: Connection, interface_id: str, values: dict[str, Any]) -> None:
    if "suggested_prompts" in values:
        values = {**values, "suggested_prompts": msgspec.to_builtins(values["suggested_prompts"])}
    connection.execute(update(chat_interfaces).where(chat_interfaces.c.id == interface_id).values(**values))


def erase(connection: Connection, interface_id: str) -> None:
    """And, through their foreign keys, its figures and the sessions in which nothing was said."""
    connection.execute(delete(chat_interfaces).where(chat_interfaces.c.id == interface_id))


def list_deleted(connection: Connection) -> list[ChatInterface]:
    """Those whose sessions are not all erased yet."""
    found = connection.execute(select(chat_interfaces).where(chat_interfaces.c.is_deleted.is_(True))).mappings()
    return [_interface(row) for row in found]


def count_session(connection: Connection, interface_id: str, *, at: datetime) -> None:
    """Raises `NotFoundError` when it was deleted since it was read."""
    if not _COUNT_SESSION.run(connection, {"interface_id": interface_id, "at": at}):
        raise NotFoundError


def count_message(connection: Connection, interface_id: str, *, at: datetime) -> None:
    """Nothing, when it was erased meanwhile."""
    if not _COUNT_MESSAGE.run(connection, {"interface_id": interface_id, "at": at}):
        return
    hour = at - timedelta(minutes=at.minute, seconds=at.second, microseconds=at.microsecond)
    connection.execute(_COUNT_HOUR, {"interface_id": interface_id, "hour": hour})
