"""What has changed since it was indexed, written in the transaction of the change and taken off when indexes have it.

A row names a message or a thread and no content: who takes it makes the indexes agree with what is stored then, so that
order does not matter and doing it twice does no harm. A change of what is under way raises the row's `revision`.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Select,
    bindparam,
    delete,
    false,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from frontdesk.database.prepared import Prepared
from frontdesk.retrieval.models import Subject, messages, search_outbox

_ROW = {
    "subject": bindparam("subject"),
    "kind": bindparam("kind"),
    "user_id": bindparam("user_id"),
    "revision": 1,
    "has_words": False,
    "queued_at": bindparam("queued_at"),
}
_AGAIN = {"revision": search_outbox.c.revision + 1, "has_words": False}
_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert(search_outbox), "postgresql": postgresql.insert(search_outbox)}


def _upsert(insert: Any) -> Insert:
    changed: Insert = insert.on_conflict_do_update(index_elements=["subject"], set_=_AGAIN)
    return changed


_QUEUE = {name: Prepared(_upsert(insert.values(_ROW))) for name, insert in _INSERTS.items()}


class Claimed(msgspec.Struct, frozen=True):
    """A row as it was when it was taken."""

    subject: str
    kind: Subject
    user_id: str | None
    revision: int
    has_words: bool


class Backlog(msgspec.Struct, frozen=True):
    rows: int
    oldest: datetime | None


def queue_message(connection: Connection, message_id: str, *, at: datetime) -> None:
    """For the message path: one statement, in the message's own transaction."""
    _queue(connection, {"subject": message_id, "kind": Subject.message, "user_id": None, "queued_at": at})


def queue_thread(connection: Connection, thread_id: str, user_id: str, *, at: datetime) -> None:
    """When a thread was hidden, shown again, or erased."""
    _queue(connection, {"subject": thread_id, "kind": Subject.thread, "user_id": user_id, "queued_at": at})


def _queue(connection: Connection, row: dict[str, Any]) -> None:
    _QUEUE[connection.dialect.name].run(connection, row)


def queue_messages_of(connection: Connection, thread_ids: Collection[str], *, at: datetime) -> None:
    """All messages of threads that are shown again."""
    chosen = select(
        messages.c.id,
        literal(Subject.message.value),
        literal(None, search_outbox.c.user_id.type),
        literal(1),
        false(),
        literal(at, search_outbox.c.queued_at.type),
    ).where(messages.c.thread_id.in_(thread_ids), messages.c.text != "")
    connection.execute(_upsert(_INSERTS[connection.dialect.name].from_select(list(_ROW), chosen)))


def claim(
    connection: Connection, owner: str, *, now: datetime, lease: float, limit: int, with_words: bool
) -> list[Claimed]:
    """Take the oldest rows that nobody has for `lease` seconds; `with_words`, also those whose words are indexed."""
    free: ColumnElement[bool] = or_(search_outbox.c.claimed_until.is_(None), search_outbox.c.claimed_until < now)
    chosen: Select[Any] = select(search_outbox).where(free)
    if not with_words:
        chosen = chosen.where(search_outbox.c.has_words.is_(False))
    chosen = chosen.order_by(search_outbox.c.queued_at).limit(limit).with_for_update(skip_locked=True)
    rows = connection.execute(chosen).all()
    if rows:
        taken = update(search_outbox).where(search_outbox.c.subject.in_([row.subject for row in rows]))
        connection.execute(taken.values(claimed_by=owner, claimed_until=now + timedelta(seconds=lease)))
    return [Claimed(row.subject, Subject(row.kind), row.user_id, row.revision, row.has_words) for row in rows]


def list_settled(connection: Connection, owner: str, claimed: Sequence[Claimed], *, at: datetime) -> set[str]:
    """Subjects that have not changed since they were claimed; their rows are locked until the transaction ends.

    The others are free again, to be done once more: also those that another has taken over meanwhile, whose work may
    have been overwritten by ours.
    """
    subjects = [row.subject for row in claimed]
    mine = select(search_outbox.c.subject, search_outbox.c.revision).where(
        search_outbox.c.subject.in_(subjects), search_outbox.c.claimed_by == owner
    )
    standing = {row.subject: row.revision for row in connection.execute(mine.with_for_update())}
    settled = {row.subject for row in claimed if standing.get(row.subject) == row.revision}
    changed = [subject for subject in standing if subject not in settled]
    if changed:
        release(connection, changed, until=None, has_words=False)
    for row in claimed:
        if row.subject not in standing:
            _queue(connection, {"subject": row.subject, "kind": row.kind, "user_id": row.user_id, "queued_at": at})
    return settled


def release(connection: Connection, subjects: Collection[str], *, until: datetime | None, has_words: bool) -> None:
    """Nobody's from `until` on."""
    values = {"claimed_by": None, "claimed_until": until, "has_words": has_words}
    connection.execute(update(search_outbox).where(search_outbox.c.subject.in_(subjects)).values(values))


def give_back(connection: Connection, owner: str, subjects: Collection[str]) -> None:
    """What a process that ends has claimed, and not done."""
    mine = search_outbox.c.subject.in_(subjects) & (search_outbox.c.claimed_by == owner)
    connection.execute(update(search_outbox).where(mine).values(claimed_by=None, claimed_until=None))


def take_off(connection: Connection, subjects: Collection[str]) -> None:
    connection.execute(delete(search_outbox).where(search_outbox.c.subject.in_(subjects)))


def measure(connection: Connection) -> Backlog:
    row = connection.execute(select(func.count(), func.min(search_outbox.c.queued_at)).select_from(search_outbox)).one()
    return Backlog(row[0], row[1])


def has_hidden(connection: Connection, user_id: str) -> bool:
    """Whether threads of the user's have left, or come back, and the indexes may not know yet."""
    waiting = select(search_outbox.c.subject).where(
        search_outbox.c.kind == Subject.thread.value, search_outbox.c.user_id == user_id
    )
    return connection.execute(waiting.limit(1)).first() is not None
