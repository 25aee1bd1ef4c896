from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, func, insert, select, tuple_, update

from frontdesk.conversation.threads.models import ProviderThread, Thread, provider_threads, threads
from frontdesk.database.prepared import Prepared
from frontdesk.errors import NotFoundError
from frontdesk.identity import access
from frontdesk.identity.principal import Principal

_SELECT = select(threads).where(threads.c.id == bindparam("thread_id"))
_BY_ID = Prepared(_SELECT)
_LOCKED = Prepared(_SELECT.with_for_update())
_ADD = Prepared(insert(threads))
_CHANGE_HEAD = Prepared(
    update(threads)
    .where(threads.c.id == bindparam("thread_id"))
    .values(
        active_execution_id=bindparam("active"),
        leaf_message_id=bindparam("leaf"),
        message_count=bindparam("count"),
        last_message_at=bindparam("at"),
        activity_at=bindparam("at"),
        updated_at=bindparam("at"),
    )
)
_METADATA = Prepared(select(threads.c.metadata).where(threads.c.id == bindparam("thread_id")))
_PROVIDER_THREAD = Prepared(select(provider_threads).where(provider_threads.c.thread_id == bindparam("thread_id")))


_ORDER = (threads.c.activity_at, threads.c.id)


def _thread(row: Mapping[Any, Any]) -> Thread:
    return Thread(**row)


def get(
    connection: Connection, principal: Principal, thread_id: str, *, lock: bool = False, include_deleted: bool = False
) -> Thread:
    """The thread, if the principal may use it. Raises `NotFoundError` and `NotAllowedError`.

    `lock` keeps other transactions from changing it until this one ends.
    """
    thread = get_unscoped(connection, thread_id, lock=lock)
    access.use_thread(principal, owner_id=thread.user_id, metadata=thread.metadata)
    if thread.is_deleted and not include_deleted:
        raise NotFoundError
    return thread


def get_place(connection: Connection, principal: Principal, thread_id: str) -> Thread:
    """One of the principal's threads as a place in their list, which also shows what they may not use now.

    Raises `NotFoundError`.
    """
    thread = get_unscoped(connection, thread_id)
    access.own_thread(principal, owner_id=thread.user_id)
    return thread


def get_unscoped(connection: Connection, thread_id: str, *, lock: bool = False) -> Thread:
    """For the engine alone, which acts for nobody. Raises `NotFoundError`."""
    row = (_LOCKED if lock else _BY_ID).one_or_none(connection, {"thread_id": thread_id})
    if row is None:
        raise NotFoundError
    return _thread(row)


def add(connection: Connection, thread: Thread) -> None:
    _ADD.run(connection, msgspec.structs.asdict(thread))


def change(connection: Connection, thread_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(threads).where(threads.c.id == thread_id).values(**values))


def change_head(
    connection: Connection, thread_id: str, *, active: str | None, leaf: str | None, count: int, at: datetime
) -> None:
    """What a new message or a finished answer moves on."""
    values = {"thread_id": thread_id, "active": active, "leaf": leaf, "count": count, "at": at}
    _CHANGE_HEAD.run(connection, values)


def count_messages(connection: Connection, thread_ids: Sequence[str]) -> dict[str, int]:
    """For those that look for what they were not told: how many messages each thread has, by its id."""
    statement = select(threads.c.id, threads.c.message_count).where(threads.c.id.in_(thread_ids))
    return {row.id: row.message_count for row in connection.execute(statement)}


def erase(connection: Connection, thread_id: str) -> None:
    """The thread and, through its foreign keys, all that belongs to it."""
    connection.execute(delete(threads).where(threads.c.id == thread_id))


def _own(principal: Principal, *, include_deleted: bool) -> Select[Any]:
    statement = select(threads).where(threads.c.user_id == principal.id)
    return statement if include_deleted else statement.where(threads.c.is_deleted.is_(False))


def count(connection: Connection, principal: Principal, *, include_deleted: bool) -> int:
    inner = _own(principal, include_deleted=include_deleted).subquery()
    return int(connection.scalar(select(func.count()).select_from(inner)) or 0)


def list_page(
    connection: Connection,
    principal: Principal,
    *,
    include_deleted: bool,
    limit: int,
    offset: int = 0,
    after: Thread | None = None,
    is_ascending: bool = False,
) -> list[Thread]:
    """Newest activity first, or the oldest; `after` continues behind a thread."""
    statement = _own(principal, include_deleted=include_deleted)
    if after is not None:
        place, of_after = tuple_(*_ORDER), tuple_(bindparam("activity", after.activity_at), after.id)
        statement = statement.where(place > of_after if is_ascending else place < of_after)
    order = _ORDER if is_ascending else [column.desc() for column in _ORDER]
    ordered = statement.order_by(*order).limit(limit).offset(offset)
    return [_thread(row) for row in connection.execute(ordered).mappings()]


def list_by_ids(connection: Connection, principal: Principal, thread_ids: Collection[str]) -> list[Thread]:
    """Those that are not deleted and that the principal may use, in no order."""
    statement = _own(principal, include_deleted=False).where(threads.c.id.in_(thread_ids))
    found = [_thread(row) for row in connection.execute(statement).mappings()]
    return [thread for thread in found if access.may_use_metadata(principal, thread.metadata)]


def find_agent_id(connection: Connection, thread_id: str) -> str | None:
    """Which agent answers in the thread, as its metadata names it."""
    row = _METADATA.one_or_none(connection, {"thread_id": thread_id})
    named = None if row is None else row["metadata"].get("agent_id")
    return named if isinstance(named, str) else None


def find_provider_thread(connection: Connection, thread_id: str) -> ProviderThread | None:
    row = _PROVIDER_THREAD.one_or_none(connection, {"thread_id": thread_id})
    return None if row is None else ProviderThread(**row)


def put_provider_thread(connection: Connection, record: ProviderThread) -> None:
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    changed = connection.execute(
        update(provider_threads).where(provider_threads.c.thread_id == record.thread_id).values(**values)
    )
    if not changed.rowcount:
        connection.execute(insert(provider_threads), values)
