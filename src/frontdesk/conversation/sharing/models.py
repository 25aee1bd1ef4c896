from datetime import datetime

import msgspec
from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from frontdesk.conversation.threads.models import TITLE_LENGTH
from frontdesk.database.types import Id, Json, UtcDateTime, metadata

DIGEST_LENGTH = 64

thread_shares = Table(
    "thread_shares",
    metadata,
    Column("id", Id, primary_key=True),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_digest", String(DIGEST_LENGTH), nullable=False, unique=True),
    Column("title", String(TITLE_LENGTH)),
    Column("messages", Json, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("is_cut", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)


class SharedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`files` are the names of what was sent with it."""

    role: str
    text: str
    created_at: datetime
    files: tuple[str, ...] = ()


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """`is_cut` when the thread's beginning is left out, because it is too long."""

    id: str
    thread_id: str
    user_id: str
    title: str | None
    message_count: int
    is_cut: bool
    created_at: datetime


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All that a reader is told."""

    title: str | None
    created_at: datetime
    is_cut: bool
    messages: tuple[SharedMessage, ...]
