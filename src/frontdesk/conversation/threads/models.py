from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from frontdesk.database.types import Id, Json, UtcDateTime, metadata

TITLE_LENGTH = 500
CONVERSATION_ID_LENGTH = 1024

threads = Table(
    "threads",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("title", String(TITLE_LENGTH)),
    Column("summary", Text),
    Column("metadata", Json, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("last_message_at", UtcDateTime),
    Column("activity_at", UtcDateTime, nullable=False),
    Column("active_execution_id", Id),
    Column("leaf_message_id", Id),
    Column("message_count", Integer, nullable=False),
    Index("ix_threads_user_id_activity_at_id", "user_id", "activity_at", "id"),
)

provider_threads = Table(
    "provider_threads",
    metadata,
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), primary_key=True),
    Column("provider", String(255)),
    Column("conversation_id", String(CONVERSATION_ID_LENGTH)),
    Column("state", Json, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """`activity_at` orders lists: the last message's time, or the thread's own. `leaf_message_id` ends the branch in
    use.
    """

    id: str
    user_id: str
    title: str | None
    summary: str | None
    metadata: dict[str, Any]
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime | None
    activity_at: datetime
    active_execution_id: str | None
    leaf_message_id: str | None
    message_count: int


class ProviderThread(msgspec.Struct, frozen=True, kw_only=True):
    thread_id: str
    provider: str | None
    conversation_id: str | None
    state: dict[str, Any]
    updated_at: datetime
