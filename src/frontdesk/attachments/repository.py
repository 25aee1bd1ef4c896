from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from frontdesk.attachments.models import Attachment, AttachmentState, Owner, OwnerKind, attachments
from frontdesk.errors import NotFoundError, UnknownAttachmentError
from frontdesk.ports.blob_store import StoredBlob

_LIVE = attachments.c.state != AttachmentState.deleted


def _attachment(row: Mapping[Any, Any]) -> Attachment:
    values: dict[str, Any] = dict(row)
    values["state"] = AttachmentState(values["state"])
    values["owner_kind"] = OwnerKind(values["owner_kind"])
    return Attachment(**values)


def _of(owner: Owner) -> ColumnElement[bool]:
    return and_(attachments.c.owner_kind == owner.kind, attachments.c.owner_id == owner.id)


def get(connection: Connection, owner: Owner, attachment_id: str) -> Attachment:
    """Raises `NotFoundError` for what is not there, is deleted, or is another's."""
    statement = select(attachments).where(attachments.c.id == attachment_id, _of(owner), _LIVE)
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise NotFoundError
    return _attachment(row)


def get_of_kind(connection: Connection, kind: OwnerKind, attachment_id: str) -> Attachment:
    """Whoever of this kind it belongs to. Raises `NotFoundError`."""
    found = and_(attachments.c.id == attachment_id, attachments.c.owner_kind == kind, _LIVE)
    row = connection.execute(select(attachments).where(found)).mappings().one_or_none()
    if row is None:
        raise NotFoundError
    return _attachment(row)


def list_pending(connection: Connection, owner: Owner, ids: Sequence[str]) -> list[Attachment]:
    pending = attachments.c.state == AttachmentState.pending
    statement = select(attachments).where(attachments.c.id.in_(ids), _of(owner), pending)
    return [_attachment(row) for row in connection.execute(statement).mappings()]


def list_of(connection: Connection, owner: Owner) -> list[Attachment]:
    """All that there are, oldest first."""
    statement = select(attachments).where(_of(owner), _LIVE).order_by(attachments.c.id)
    return [_attachment(row) for row in connection.execute(statement).mappings()]


def count_unsent(connection: Connection, owner: Owner) -> int:
    """Those that came or are coming and that no message has."""
    unsent = and_(_of(owner), _LIVE, attachments.c.thread_id.is_(None))
    return int(connection.scalar(select(func.count()).select_from(attachments).where(unsent)) or 0)


def add(connection: Connection, attachment: Attachment) -> None:
    connection.execute(insert(attachments), msgspec.structs.asdict(attachment))


def settle(connection: Connection, attachment_id: str, stored: StoredBlob, *, media_type: str) -> None:
    """Its bytes are there, if they were still awaited."""
    connection.execute(
        update(attachments)
        .where(attachments.c.id == attachment_id, attachments.c.state == AttachmentState.pending)
        .values(state=AttachmentState.stored, media_type=media_type, size=stored.size, sha256=stored.sha256)
    )


def claim(
    connection: Connection, owner: Owner, ids: Sequence[str], *, thread_id: str, message_id: str
) -> list[Attachment]:
    """They belong to the thread from now on, and go when it goes; in the order given.

    Raises `UnknownAttachmentError` unless each is the owner's, stored, and not in another thread.
    """
    free = or_(attachments.c.thread_id.is_(None), attachments.c.thread_id == thread_id)
    stored = attachments.c.state == AttachmentState.stored
    mine = and_(attachments.c.id.in_(ids), _of(owner), stored, free)
    connection.execute(update(attachments).where(mine).values(thread_id=thread_id, message_id=message_id))
    rows = connection.execute(select(attachments).where(mine)).mappings()
    found = {row["id"]: _attachment(row) for row in rows}
    if missing := [one for one in ids if one not in found]:
        raise UnknownAttachmentError(f"There is no attachment {', '.join(missing)} to send here")
    return [found[one] for one in ids]


def mark_deleted(connection: Connection, *, owner: Owner, attachment_id: str) -> None:
    _mark(connection, and_(attachments.c.id == attachment_id, _of(owner)))


def mark_threads_deleted(connection: Connection, thread_id: str) -> None:
    _mark(connection, attachments.c.thread_id == thread_id)


def mark_owners_deleted(connection: Connection, owner: Owner) -> None:
    _mark(connection, _of(owner))


def mark_unused_deleted(connection: Connection, *, before: datetime) -> None:
    """What was never whole, and what nobody sent with a message. Those of an interface are shown as they are."""
    shown = and_(attachments.c.owner_kind == OwnerKind.interface, attachments.c.state == AttachmentState.stored)
    unused = and_(attachments.c.thread_id.is_(None), ~shown)
    _mark(connection, and_(unused, _LIVE, attachments.c.created_at < before))


def _mark(connection: Connection, condition: ColumnElement[bool]) -> None:
    connection.execute(update(attachments).where(condition).values(state=AttachmentState.deleted))


def list_deleted(connection: Connection, *, limit: int) -> list[Attachment]:
    statement = select(attachments).where(attachments.c.state == AttachmentState.deleted).limit(limit)
    return [_attachment(row) for row in connection.execute(statement).mappings()]


def erase(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(attachments).where(attachments.c.id.in_(ids)))
