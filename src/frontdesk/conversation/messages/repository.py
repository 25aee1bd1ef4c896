from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, insert, literal, select, update

from frontdesk.conversation.messages.models import Feedback, Message, MessageStatus, Role, feedback, messages
from frontdesk.database.prepared import Prepared
from frontdesk.errors import NotFoundError
from frontdesk.ports.language_model import Usage
from frontdesk.retrieval import outbox

_ADD = Prepared(insert(messages))
_BY_ID = Prepared(
    select(messages).where(messages.c.id == bindparam("message_id"), messages.c.thread_id == bindparam("thread_id"))
)
_SET_STATUS = Prepared(
    update(messages)
    .where(messages.c.execution_id == bindparam("of_execution"))
    .values(status=bindparam("status"), updated_at=bindparam("at"))
)
_FINISH = Prepared(
    update(messages)
    .where(messages.c.id == bindparam("message_id"))
    .values(text=bindparam("text"), model=bindparam("model"), usage=bindparam("usage"))
)
_CHECKPOINT = Prepared(update(messages).where(messages.c.id == bindparam("message_id")).values(text=bindparam("text")))


def _branch() -> Any:
    """The message and its ancestors, nearest first: one indexed look-up for each, however long the thread is."""
    start = select(
        messages.c.id,
        messages.c.parent_id,
        messages.c.role,
        messages.c.text,
        messages.c.execution_id,
        literal(1).label("depth"),
    ).where(messages.c.id == bindparam("leaf_id"), messages.c.thread_id == bindparam("thread_id"))
    branch = start.cte("branch", recursive=True)
    parents = select(
        messages.c.id,
        messages.c.parent_id,
        messages.c.role,
        messages.c.text,
        messages.c.execution_id,
        (branch.c.depth + 1).label("depth"),
    ).join(branch, messages.c.id == branch.c.parent_id)
    branch = branch.union_all(parents.where(branch.c.depth < bindparam("limit")))
    return select(branch.c.role, branch.c.text, branch.c.execution_id).order_by(branch.c.depth)


_BRANCH = Prepared(_branch())


def as_message(row: Mapping[Any, Any]) -> Message:
    values: dict[str, Any] = dict(row)
    values["usage"] = None if values["usage"] is None else msgspec.convert(values["usage"], Usage)
    values["role"] = Role(values["role"])
    values["status"] = MessageStatus(values["status"])
    return Message(**values)


def get(connection: Connection, thread_id: str, message_id: str) -> Message:
    """Raises `NotFoundError` when the thread has no such message."""
    row = _BY_ID.one_or_none(connection, {"thread_id": thread_id, "message_id": message_id})
    if row is None:
        raise NotFoundError
    return as_message(row)


def add(connection: Connection, *records: Message) -> None:
    """Search is told of those that say something: an answer's place is empty, and what it says is told at its end."""
    _ADD.run_many(connection, [_values(record) for record in records])
    for record in records:
        if record.text:
            outbox.queue_message(connection, record.id, at=record.created_at)


def _values(record: Message) -> dict[str, Any]:
    values = msgspec.structs.asdict(record)
    values["usage"] = None if record.usage is None else msgspec.to_builtins(record.usage)
    return values


def change(connection: Connection, message_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(messages).where(messages.c.id == message_id).values(**values))


def set_status(connection: Connection, execution_id: str, status: MessageStatus, *, at: Any) -> None:
    """Of the answer and of the message that it answers."""
    _SET_STATUS.run(connection, {"of_execution": execution_id, "status": status, "at": at})


def store_answer(connection: Connection, message_id: str, *, text: str, model: str | None, usage: Usage | None) -> None:
    stored = None if usage is None else msgspec.to_builtins(usage)
    _FINISH.run(connection, {"message_id": message_id, "text": text, "model": model, "usage": stored})


def checkpoint(connection: Connection, texts: list[tuple[str, str]]) -> None:
    """Store what there is so far of answers under way, as `(message_id, text)`."""
    _CHECKPOINT.run_many(connection, [{"message_id": message_id, "text": text} for message_id, text in texts])


def list_page(connection: Connection, thread_id: str, *, limit: int, before: int | None = None) -> list[Message]:
    """Newest first; `before` is the position to continue behind."""
    statement = select(messages).where(messages.c.thread_id == thread_id)
    if before is not None:
        statement = statement.where(messages.c.position < before)
    return [
        as_message(row)
        for row in connection.execute(statement.order_by(messages.c.position.desc()).limit(limit)).mappings()
    ]


def list_following(connection: Connection, thread_id: str, *, after: int, limit: int) -> list[Message]:
    """Oldest first, from behind the position `after`."""
    statement = select(messages).where(messages.c.thread_id == thread_id, messages.c.position > after)
    return [
        as_message(row) for row in connection.execute(statement.order_by(messages.c.position).limit(limit)).mappings()
    ]


def list_branch(
    connection: Connection, thread_id: str, leaf_id: str, *, limit: int
) -> list[tuple[Role, str, str | None]]:
    """Role, text and execution of the last `limit` messages of the branch that ends in `leaf_id`, oldest first."""
    rows = _BRANCH.all(connection, {"thread_id": thread_id, "leaf_id": leaf_id, "limit": limit})
    return [(Role(row["role"]), row["text"], row["execution_id"]) for row in reversed(rows)]


def put_feedback(connection: Connection, record: Feedback) -> Feedback:
    """One opinion of each user on each message: the latest stands."""
    mine = (feedback.c.message_id == record.message_id) & (feedback.c.user_id == record.user_id)
    known = connection.execute(select(feedback.c.created_at).where(mine)).one_or_none()
    if known is not None:
        record = msgspec.structs.replace(record, created_at=known.created_at)
        values = {"kind": record.kind, "comment": record.comment, "updated_at": record.updated_at}
        connection.execute(update(feedback).where(mine).values(**values))
    else:
        connection.execute(insert(feedback), {name: getattr(record, name) for name in record.__struct_fields__})
    return record
