"""The branch of a thread that is in use, in pages from either end. A page costs the same wherever it lies.

Read backwards each message names its parent. Forwards, positions are followed for as long as nothing there was answered
twice; in a thread that forks there, the whole branch is looked up.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, func, literal, select

from frontdesk.conversation.messages.models import Message, messages
from frontdesk.conversation.messages.repository import as_message, get, list_following
from frontdesk.conversation.threads.models import Thread
from frontdesk.database.prepared import Prepared


def _upwards() -> Any:
    start = select(messages, literal(1).label("depth")).where(
        messages.c.id == bindparam("leaf_id"), messages.c.thread_id == bindparam("thread_id")
    )
    branch = start.cte("branch", recursive=True)
    parents = select(messages, (branch.c.depth + 1).label("depth")).join(branch, messages.c.id == branch.c.parent_id)
    branch = branch.union_all(parents.where(branch.c.depth < bindparam("limit")))
    return select(branch).order_by(branch.c.depth)


_UPWARDS = Prepared(_upwards())


def list_backwards(connection: Connection, thread: Thread, *, start: str | None, limit: int) -> list[Message]:
    """Newest first, from the message `start`, itself included, or from the branch's end."""
    leaf = start or thread.leaf_message_id
    if leaf is None:
        return []
    rows = _UPWARDS.all(connection, {"thread_id": thread.id, "leaf_id": leaf, "limit": limit})
    return [_without_depth(row) for row in rows]


def list_forwards(connection: Connection, thread: Thread, *, start: str | None, limit: int) -> list[Message]:
    """Oldest first, from the message `start`, itself included, or from the beginning. Raises `NotFoundError`."""
    position = 1 if start is None else get(connection, thread.id, start).position
    page = list_following(connection, thread.id, after=position - 1, limit=limit)
    if _is_unforked(connection, page):
        return page
    branch = list_backwards(connection, thread, start=None, limit=thread.message_count)
    return [message for message in reversed(branch) if message.position >= position][:limit]


def _is_unforked(connection: Connection, page: list[Message]) -> bool:
    ids = [message.id for message in page]
    if any(message.parent_id != before for message, before in zip(page[1:], ids, strict=False)):
        return False
    forked = (
        select(messages.c.parent_id)
        .where(messages.c.parent_id.in_(ids))
        .group_by(messages.c.parent_id)
        .having(func.count() > 1)
        .limit(1)
    )
    return connection.execute(forked).first() is None


def _without_depth(row: Mapping[Any, Any]) -> Message:
    return as_message({name: value for name, value in row.items() if name != "depth"})
