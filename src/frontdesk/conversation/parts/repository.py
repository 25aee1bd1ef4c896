from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from frontdesk.conversation.messages.models import messages
from frontdesk.conversation.parts.models import Part, message_parts, place_of
from frontdesk.ports.language_model import PartKind


def put(connection: Connection, thread_id: str, parts: Collection[Part]) -> None:
    """Store them in place of what has their keys; a replacement changes an earlier answer of the same thread."""
    for part in parts:
        if part.kind is PartKind.replacement:
            _replace(connection, thread_id, part)
        else:
            _put(connection, part)


def drop_unfinished(connection: Connection, message_id: str, *, steps: int) -> None:
    """Forget what belongs to a step that was given up in the middle."""
    given_up = (message_parts.c.message_id == message_id) & (message_parts.c.step > steps)
    connection.execute(delete(message_parts).where(given_up))


def list_of(connection: Connection, message_ids: Sequence[str]) -> dict[str, list[Part]]:
    """By message, in order."""
    statement = select(message_parts).where(message_parts.c.message_id.in_(message_ids))
    ordered = statement.order_by(message_parts.c.message_id, message_parts.c.step, message_parts.c.number)
    found: dict[str, list[Part]] = {}
    for row in connection.execute(ordered).mappings():
        part = Part(**{**row, "kind": PartKind(row["kind"])})
        found.setdefault(part.message_id, []).append(part)
    return found


def _put(connection: Connection, part: Part) -> None:
    same = (message_parts.c.message_id == part.message_id) & (message_parts.c.key == part.key)
    values = {**msgspec.structs.asdict(part), "kind": part.kind.value}
    if not connection.execute(update(message_parts).where(same).values(data=part.data)).rowcount:
        connection.execute(insert(message_parts), values)


def _replace(connection: Connection, thread_id: str, part: Part) -> None:
    place = place_of(str(part.data.get("item_id", "")))
    if place is None:
        return
    mine = select(messages.c.id).where(messages.c.id == place[0], messages.c.thread_id == thread_id)
    data = {name: value for name, value in part.data.items() if name != "item_id"}
    same = (message_parts.c.message_id == place[0]) & (message_parts.c.key == place[1])
    is_widget = message_parts.c.kind == PartKind.widget
    connection.execute(update(message_parts).where(same, is_widget, mine.exists()).values(data=data))
