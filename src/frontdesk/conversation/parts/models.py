from typing import Any

import msgspec
from sqlalchemy import Column, ForeignKey, Integer, String, Table

from frontdesk.database.types import Id, Json, metadata
from frontdesk.ports.language_model import PartKind

MOST_PARTS = 256  # of one answer
KEY_LENGTH = 64
_TRANSIENT = frozenset({PartKind.effect, PartKind.progress})

message_parts = Table(
    "message_parts",
    metadata,
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(KEY_LENGTH), primary_key=True),
    Column("step", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("data", Json, nullable=False),
)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """It stands behind the first `at` characters of the answer's text, in the order of step and number.

    A `replacement` is stored as what it changes: the part of the answer that its `item_id` names.
    """

    message_id: str
    key: str
    step: int
    number: int
    at: int
    kind: PartKind
    data: dict[str, Any]

    @property
    def is_stored(self) -> bool:
        return self.kind not in _TRANSIENT

    @property
    def item_id(self) -> str:
        """What clients call it."""
        return f"{self.message_id}.p.{self.key}"


def place_of(item_id: str) -> tuple[str, str] | None:
    """The message and key that `Part.item_id` was made of."""
    message_id, kind, key = (*item_id.split(".", 2), "", "")[:3]
    return (message_id, key) if kind == "p" and key else None
