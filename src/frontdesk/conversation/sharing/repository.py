from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select

from frontdesk.conversation.sharing.models import Share, SharedMessage, Snapshot, thread_shares
from frontdesk.conversation.threads.models import threads

_SHARE = [thread_shares.c[name] for name in Share.__struct_fields__]
_OPEN = (
    select(
        thread_shares.c.user_id,
        thread_shares.c.title,
        thread_shares.c.messages,
        thread_shares.c.is_cut,
        thread_shares.c.created_at,
        threads.c.metadata.label("thread_metadata"),
    )
    .join(threads, threads.c.id == thread_shares.c.thread_id)
    .where(thread_shares.c.token_digest == bindparam("digest"), threads.c.is_deleted.is_(False))
)


class OpenShare(msgspec.Struct, frozen=True):
    """`owner_id` and `metadata` are for who decides whether it may be read."""

    snapshot: Snapshot
    owner_id: str
    metadata: dict[str, Any]


def add(connection: Connection, share: Share, *, digest: str, messages: Sequence[SharedMessage]) -> None:
    stored = msgspec.to_builtins(messages)
    values = {**msgspec.structs.asdict(share), "token_digest": digest, "messages": stored}
    connection.execute(insert(thread_shares), values)


def count(connection: Connection, thread_id: str) -> int:
    statement = select(func.count()).select_from(thread_shares).where(thread_shares.c.thread_id == thread_id)
    return int(connection.scalar(statement) or 0)


def list_all(connection: Connection, thread_id: str) -> list[Share]:
    """The latest first."""
    statement = select(*_SHARE).where(thread_shares.c.thread_id == thread_id).order_by(thread_shares.c.id.desc())
    return [Share(**row) for row in connection.execute(statement).mappings()]


def erase(connection: Connection, thread_id: str, share_id: str) -> bool:
    """False when the thread has no such share."""
    which = (thread_shares.c.id == share_id) & (thread_shares.c.thread_id == thread_id)
    return connection.execute(delete(thread_shares).where(which)).rowcount > 0


def find_open(connection: Connection, digest: str) -> OpenShare | None:
    """None also where the thread is hidden."""
    row = connection.execute(_OPEN, {"digest": digest}).one_or_none()
    if row is None:
        return None
    snapshot = Snapshot(
        title=row.title,
        created_at=row.created_at,
        is_cut=row.is_cut,
        messages=tuple(msgspec.convert(row.messages, list[SharedMessage])),
    )
    return OpenShare(snapshot, row.user_id, row.thread_metadata)
