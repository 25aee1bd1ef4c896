from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import BigInteger, Column, Index, String, Table

from frontdesk.database.types import Id, Json, UtcDateTime, metadata
from frontdesk.identity.principal import Principal
from frontdesk.kit.file_names import NAME_LENGTH
from frontdesk.ports.blob_store import KEY_LENGTH

MEDIA_TYPE_LENGTH = 128

# No foreign key leads to a thread: a row outlives what it belonged to until its blob is gone.
attachments = Table(
    "attachments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner_kind", String(16), nullable=False),
    Column("owner_id", Id, nullable=False),
    Column("thread_id", Id),
    Column("message_id", Id),
    Column("state", String(16), nullable=False),
    Column("key", String(KEY_LENGTH), nullable=False),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("media_type", String(MEDIA_TYPE_LENGTH)),
    Column("size", BigInteger),
    Column("sha256", String(64)),
    Column("max_bytes", BigInteger, nullable=False),
    Column("allowed", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_attachments_owner_id", "owner_id"),
    Index("ix_attachments_thread_id", "thread_id"),
    Index("ix_attachments_state_created_at", "state", "created_at"),
)


class AttachmentState(StrEnum):
    """`pending`: its bytes are on their way. `deleted`: nobody sees it any more, and its blob is about to go."""

    pending = "pending"
    stored = "stored"
    deleted = "deleted"


class OwnerKind(StrEnum):
    """`session` is one of a public chat: whoever holds it has no account. `interface` is such a chat itself."""

    user = "user"
    visitor = "visitor"
    service = "service"
    session = "session"
    interface = "interface"


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """With whom an attachment comes and goes."""

    kind: OwnerKind
    id: str


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is fit to be shown. `media_type`, `size` in bytes and `sha256` are known once it is stored.

    `thread_id` and `message_id` are those that it was sent with. `max_bytes` and `allowed` are what it is held to.
    """

    id: str
    owner_kind: OwnerKind
    owner_id: str
    thread_id: str | None
    message_id: str | None
    state: AttachmentState
    key: str
    name: str
    media_type: str | None
    size: int | None
    sha256: str | None
    max_bytes: int
    allowed: list[str]
    created_at: datetime

    @property
    def arriving_key(self) -> str:
        """Where somebody else puts its bytes, before they are looked at."""
        return f"arriving/{self.id}"


def owner_of(principal: Principal) -> Owner:
    return Owner(kind=OwnerKind(principal.kind.value), id=principal.id)
